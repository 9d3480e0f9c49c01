"""Two processes by one command: either dies alone, wrong settings end both, and nobody outlives the command."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tumorlens.cli.together import WRONG, Half, run_together
from tumorlens.errors import ConfigError


def stand(folder: Path, name: str) -> None:
    """Notes its process, and goes on for ever."""
    with (folder / name).open("a") as file:
        file.write(f"{os.getpid()}\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        time.sleep(0.05)


def refuse(folder: Path) -> None:
    raise ConfigError("node.yaml: says nothing")


def command(folder: Path) -> None:
    """The command itself, in a process that can be killed."""
    sys.exit(run_together([Half("node", stand, folder, "node"), Half("page", stand, folder, "page")]))


def pids(folder: Path, name: str) -> list[int]:
    path = folder / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_for(check: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until
        time.sleep(0.05)


def alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[multiprocessing.context.SpawnProcess]:
    process = multiprocessing.get_context("spawn").Process(target=command, args=(tmp_path,))
    process.start()
    wait_for(lambda: pids(tmp_path, "node") and pids(tmp_path, "page"))
    yield process
    process.kill()
    process.join()


@pytest.mark.parametrize(("killed", "other"), [("node", "page"), ("page", "node")])
def test_one_that_is_killed_is_started_again_and_the_other_goes_on(
    running: multiprocessing.context.SpawnProcess, tmp_path: Path, killed: str, other: str
) -> None:
    os.kill(pids(tmp_path, killed)[0], signal.SIGKILL)
    wait_for(lambda: len(pids(tmp_path, killed)) == 2)
    assert len(pids(tmp_path, other)) == 1
    assert alive(pids(tmp_path, other)[0])
    os.kill(running.pid or 0, signal.SIGTERM)
    running.join(60)
    assert running.exitcode == 0
    assert not any(alive(pid) for name in ("node", "page") for pid in pids(tmp_path, name))


def test_neither_outlives_a_command_that_is_killed(
    running: multiprocessing.context.SpawnProcess, tmp_path: Path
) -> None:
    running.kill()
    wait_for(lambda: not any(alive(pid) for name in ("node", "page") for pid in pids(tmp_path, name)))


def test_wrong_settings_of_one_end_both(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_together([Half("page", stand, tmp_path, "page"), Half("node", refuse, tmp_path)]) == WRONG
    assert "error: node.yaml: says nothing" in capfd.readouterr().err
    assert not any(alive(pid) for pid in pids(tmp_path, "page"))
