"""`tumorlens results`: what it writes, prints and exits with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from tests.studies import GRIDS, classic, save
from tumorlens import cli
from tumorlens.classifier import Classifier

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bright: Classifier, tmp_path: Path) -> Run:
    """Runs the command with the classifier that finds what is bright."""
    monkeypatch.setattr(Classifier, "load", lambda *_, **__: bright)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tumorlens", "results", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def test_a_study_s_results_are_written_and_listed(run: Run, make_study: Callable[..., Path], tmp_path: Path) -> None:
    code, out, err = run(make_study(), "-o", tmp_path / "out", "--fhir")
    files = sorted(p.name for p in (tmp_path / "out").iterdir())

    assert code == 0
    assert len(files) == 8
    assert all(name in out for name in files)
    assert "glioma" in err
    assert pydicom.dcmread(tmp_path / "out" / "07-report.dcm").Modality == "SR"
    assert json.loads((tmp_path / "out" / "bundle.json").read_text())["type"] == "transaction"


def test_a_bad_file_makes_it_exit_with_1(run: Run, make_study: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_study()
    (folder / "broken.dcm").write_bytes(b"DICM")
    code, out, err = run(folder, "-o", tmp_path / "out")

    assert code == 1
    assert "07-report.dcm" in out
    assert "broken.dcm" in err


@pytest.mark.parametrize("case", ["missing", "empty", "two studies"])
def test_no_study_or_two_are_an_error_in_one_line(
    case: str, run: Run, make_study: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "nowhere"
    if case == "empty":
        folder.mkdir()
    if case == "two studies":
        folder = make_study()
        save(classic(GRIDS["axial"], GRIDS["axial"].position(0, 1), study="1.2.99"), folder / "other.dcm")
    code, out, err = run(folder, "-o", tmp_path / "out")

    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert "PH-1" not in err


def test_candidate_codes_are_used_when_asked_for(run: Run, make_study: Callable[..., Path], tmp_path: Path) -> None:
    run(make_study(), "-o", tmp_path / "out", "--candidate-codes", "--fhir", "--quiet")

    assert "393564001" in (tmp_path / "out" / "bundle.json").read_text()
