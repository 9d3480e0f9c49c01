from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_settings_and_public_sets_are_listed(run: Run) -> None:
    code, out, _ = run("settings")
    assert code == 0
    assert "label_smoothing" in out
    code, out, _ = run("data", "list")
    assert code == 0
    assert "cheng" in out
    assert "masoud" in out


def test_phantoms_are_written_where_asked(run: Run, tmp_path: Path) -> None:
    code, out, err = run("data", "phantoms", "made", "--count", "4", "--size", "64")
    assert (code, out) == (0, "")
    assert "synthetic" in err
    assert (tmp_path / "made" / "manifest.csv").is_file()
    assert len(list((tmp_path / "made").rglob("*.png"))) == 4
