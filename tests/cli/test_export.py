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
