"""`tumorlens node`: what it prints, and its exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rehearsal.phantoms import make_instance, write_study
from tumorlens import cli
from tumorlens.node.inbox import Inbox
from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short
from tumorlens.node.spool import Spool

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `tumorlens node` in this process, in a folder with a node.yaml; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "node.yaml").write_text("folder: node\nport: 0\n")

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tumorlens", "node", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def test_check_says_of_each_series_why(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder / "good", "cli", 3)
    write_study(folder / "scout", "cli 2", 2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesDescription="Scout")
    code, out, _ = run("check", folder)
    assert code == 0
    good, scout = (next(line for line in out.splitlines() if word in line) for word in ("T1 axial", "Scout"))
    assert "3 of 3" in good
    assert "0 of 2" in scout
    assert "image type LOCALIZER" in scout


def test_check_of_a_folder_without_dicom_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run("check", tmp_path / "empty")
    assert code == 1
    assert "no DICOM file" in err


def test_a_wrong_configuration_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text("folder: node\nprt: 1\n")
    for command in (("run",), ("status",), ("retry", "--all"), ("check", tmp_path)):
        code, _, err = run(*command)
        assert code == 2
        assert "prt: there is no such setting" in err


def test_status_before_any_run_says_so(run: Run) -> None:
    code, _, err = run("status")
    assert code == 2
    assert "no node has run there yet" in err


@pytest.fixture
def dead(tmp_path: Path) -> str:
    """A node's folder with one dead letter; gives its SOPInstanceUID."""
    spool = Spool(tmp_path / "node")
    ledger = Ledger(spool.folder / "node.sqlite")
    sop = str(make_instance("cli dead").SOPInstanceUID)
    Inbox(spool, ledger).take(b"\0" * 128 + b"DICM", sop)
    ledger.write("UPDATE instances SET study = '1.2'")
    ledger.close()
    return sop


def test_status_lists_dead_letters_by_their_stand_ins(run: Run, dead: str) -> None:
    code, out, _ = run("status")
    assert code == 0
    assert short(dead) in out
    assert "StudyInstanceUID is missing" in out
    assert dead not in out
    assert dead in run("status", "--uids")[1].replace("\n", "")


def test_retry_takes_names_or_all(run: Run, dead: str) -> None:
    assert run("retry")[0] == 2
    assert run("retry", "x1")[0] == 2
    code, _, err = run("retry", "i1")
    assert (code, err.strip()) == (0, "will be tried again: 1")
    assert run("retry", "--all")[2].strip() == "will be tried again: 0"


def test_pull_from_nowhere_is_wrong_usage(run: Run) -> None:
    code, _, err = run("pull", "--from", "pacs", "--study", "1.2.3")
    assert code == 2
    assert "there is no such source" in err


def test_run_without_weights_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text("folder: node\nport: 0\nweights: nowhere\n")
    code, _, err = run("run")
    assert code == 2
    assert "nowhere" in err
