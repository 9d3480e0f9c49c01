"""Page and node by one command: two processes that fail alone. One that dies is started again; the other goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

import typer

from tumorlens.errors import TumorLensError

WRONG = 2
"""Exit code of a process whose settings are wrong: then there is nothing to start again."""

_FIRST, _LONGEST = 1.0, 60.0  # seconds until one that died is started again
_STANDS = 60.0  # seconds after which it counts as having stood
_LOOK = 0.5  # seconds between two looks
_END = 40.0  # seconds that it has to end


class Half:
    """One of the processes: what it does, called in a process of its own.

    `target` and `arguments` must be such as can be pickled.
    """

    def __init__(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        self.name, self._target, self._arguments = name, target, arguments
        self.process: SpawnProcess | None = None
        self.starts, self._since, self._due, self._pause = 0, 0.0, 0.0, _FIRST

    def start(self) -> None:
        """Starts the process beside this one."""
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_main, args=(self._target, self._arguments), name=self.name)
        self.process.start()
        self.starts += 1
        self._since = time.monotonic()

    def look(self) -> bool:
        """Starts it again if it died a while ago. Gives whether it can go on: not if its settings are wrong."""
        if self.process is None:
            if time.monotonic() >= self._due:
                self.start()
            return True
        if (code := self.process.exitcode) is None:
            return True
        self.process = None
        if code == WRONG and self.starts == 1:
            return False
        self._pause = _FIRST if time.monotonic() - self._since > _STANDS else min(_LONGEST, 2 * self._pause)
        self._due = time.monotonic() + self._pause
        typer.echo(f"the {self.name} ended (exit code {code}); it is started again in {self._pause:g} s", err=True)
        return True

    def end(self) -> None:
        """Has it end, and waits until it has."""
        if self.process is not None:
            self.process.terminate()
            self.process.join(_END)
            self.process.kill()
            self.process.join()


def run_together(halves: Sequence[Half]) -> int:
    """Runs processes beside one another until SIGINT or SIGTERM, or until the settings of one are wrong.

    Returns:
        The exit code.
    """
    with _signalled() as ended:
        for half in halves:
            half.start()
        code = 0
        while not ended.is_set():
            wrong = [half for half in halves if not half.look()]
            if wrong:
                code = WRONG
                break
            wait([half.process.sentinel for half in halves if half.process is not None], _LOOK)
        for half in halves:
            half.end()
    return code


@contextmanager
def _signalled() -> Iterator[threading.Event]:
    """An event that is set by SIGINT and SIGTERM."""
    ended = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in numbers}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _main(target: Callable[..., None], arguments: Sequence[Any]) -> None:
    """A process: ends as asked to when the command is gone, however that ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        target(*arguments)
    except TumorLensError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(WRONG)
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
