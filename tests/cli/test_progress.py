"""Bars on a terminal, lines in a log."""

from __future__ import annotations

import pytest
from rich.console import Console as RichConsole

from tumorlens.cli.console import Console
from tumorlens.cli.progress import Bar, Steps
from tumorlens.listener import Epoch


def test_progress_shows_on_a_terminal_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def show() -> str:
        with Console().progress("reading scans") as progress:
            progress(3, 7)
        return capsys.readouterr().err

    assert show() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    assert "3/7" in show()


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))  # ten seconds between calls
    monkeypatch.setattr("tumorlens.cli.progress.time.monotonic", lambda: float(next(clock)))
    with Console().progress("reading scans", "files") as progress:
        for done in range(0, 6000, 1000):
            progress(done, 12_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("reading scans: ") and " of 12,000 files, 100 a second, " in line for line in lines)
    assert "1.5 min left" in lines[-1] or "1.2 min left" in lines[-1]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal


@pytest.mark.usefixtures("terminal")
def test_long_work_shows_a_bar_under_what_was_said_last(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().listening() as listener:
        listener.say("reading 7 files")
        listener.progress(3, 7)
        shown = capsys.readouterr().err
        assert "reading 7 files" in shown
        assert "3/7" in shown
        listener.progress(7, 7)
        assert "7/7" in capsys.readouterr().err
        listener.say("scoring")
        assert capsys.readouterr().err == "scoring\n"  # the bar is gone


@pytest.mark.usefixtures("terminal")
def test_an_epoch_has_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().listening() as listener:
        listener.batch(2, 5)
        assert "2/5" in capsys.readouterr().err


def test_in_a_log_an_epoch_has_its_line_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().listening() as listener:
        for done in range(1, 6):
            listener.batch(done, 5)
        listener.epoch(Epoch(1, 0.5, 0.4, 0.9, 1e-3, 2.0), 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("epoch   1/3")


@pytest.mark.usefixtures("terminal")
def test_a_bar_is_taken_away_when_the_work_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with Console().listening() as listener:
            listener.progress(1, 7)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr().err.endswith("\x1b[2K")  # the last line is cleared


@pytest.mark.usefixtures("terminal")
def test_quiet_shows_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(quiet=True).listening() as listener:
        listener.say("reading")
        listener.progress(1, 7)
        listener.batch(1, 7)
    assert capsys.readouterr().err == ""


def test_no_thread_draws_a_bar() -> None:
    import threading

    before = threading.active_count()
    bar = Bar(RichConsole(stderr=True, force_terminal=True), "reading")
    assert threading.active_count() == before
    bar.close()
    Steps(RichConsole(stderr=True), print, quiet=True).progress(1, 2)
    assert threading.active_count() == before
