"""`tumorlens export`: forms, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("form", "file", "said"),
    [
        ("huggingface", "model.safetensors", "hf upload OWNER/NAME FOLDER"),
        ("monai", "configs/inference.json", "python -m monai.bundle run"),
    ],
)
def test_a_folder_is_written_and_its_use_said(
    run: Run, tiny_weights: Path, tmp_path: Path, form: str, file: str, said: str
) -> None:
    code, out, err = run("export", "--weights", tiny_weights, "--format", form, "-o", "made")
    assert (code, out) == (0, "")
    assert said in err
    assert (tmp_path / "made" / file).is_file()
    code, _, err = run("export", "--weights", tiny_weights, "--format", form, "-o", "made")
    assert code == 2
    assert "exists already" in err


@pytest.mark.parametrize("form", ["huggingface", "monai"])
def test_a_folder_has_to_be_named(run: Run, tiny_weights: Path, form: str) -> None:
    code, _, err = run("export", "--weights", tiny_weights, "--format", form)
    assert code == 2
    assert err == f"error: --format {form} writes a folder; name it with --output\n"


def test_another_form_is_wrong_usage(run: Run) -> None:
    assert run("export", "--format", "keras")[0] == 2


@pytest.mark.parametrize("named", [True, False])
def test_a_graph_that_becomes_the_engine_is_said_to(
    run: Run, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    def export_graph(_weights: str, path: Path | None) -> tuple[Path, float]:
        target = path or tmp_path / "weights.onnx"
        target.write_bytes(bytes(1_200_000))
        return target, 2.4e-6

    monkeypatch.setattr("tumorlens.engines.export.export_graph", export_graph)
    code, _, err = run("export", "--weights", tiny_weights, *(["-o", tmp_path / "own.onnx"] if named else []))
    assert code == 0
    assert f"{'own' if named else 'weights'}.onnx, 1.2 MB; its answers differ from PyTorch's by at most 2e-06" in err
    assert ("answers from now on" in err) != named


def test_weights_that_are_not_there_are_told_at_once(run: Run) -> None:
    code, _, err = run("export", "--weights", "nothing")
    assert code == 2
    assert err.startswith("error: nothing: no such weights")
