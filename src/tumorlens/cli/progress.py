"""Bars on a terminal, and a line now and then where there is none, as in a log."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_EVERY = 15.0  # seconds between lines of progress in a log
_REFRESH = 0.1  # seconds between two pictures of a bar


class Bar:
    """A bar for something that is counted, drawn whenever it is told of.

    No thread draws it: a training forks processes, and one that held a lock at that moment would hang them.
    """

    def __init__(self, console: RichConsole, what: str, unit: str = "") -> None:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            *([RateColumn(unit)] if unit else []),
            TextColumn("left"),
            TimeRemainingColumn(),
        ]
        self._progress = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self._task = self._progress.add_task(what, total=None)
        self._drawn = 0.0
        self._progress.start()
        self._progress.refresh()

    def __call__(self, done: int, total: int) -> None:
        """Shows that `done` of `total` are done."""
        self._progress.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if now - self._drawn >= _REFRESH or done >= total:
            self._drawn = now
            self._progress.refresh()

    def close(self) -> None:
        """Takes the bar away."""
        self._progress.stop()


class Steps:
    """Shows what long work tells: a line for what it does, and a bar for what it counts, one at a time.

    A bar bears the name of what was said last. It goes when all is done, when something else is said, and when the work
    ends or fails, for which somebody calls `close`.

    Args:
        console: The terminal, if it is one.
        say: Writes a line that stays.
        quiet: Whether nothing is shown.
    """

    def __init__(self, console: RichConsole, say: Callable[[str], None], *, quiet: bool) -> None:
        self._console, self._write = console, say
        self._quiet, self._terminal = quiet, console.is_terminal
        self._what = "working"
        self._bar: Bar | Lines | None = None

    def say(self, text: str) -> None:
        """What is done from now on."""
        self.close()
        self._what = text
        self._write(text)

    def progress(self, done: int, total: int) -> None:
        """How much of it is done."""
        self._show(done, total, self._what, in_logs=True)

    def batch(self, done: int, total: int) -> None:
        """How much of an epoch is done; in a log, epochs have lines of their own."""
        self._show(done, total, "epoch", in_logs=False)

    def close(self) -> None:
        """Takes away the bar, if there is one."""
        if isinstance(self._bar, Bar):
            self._bar.close()
        self._bar = None

    def _show(self, done: int, total: int, what: str, *, in_logs: bool) -> None:
        if self._quiet or not (self._terminal or in_logs):
            return
        if self._bar is None:
            self._bar = Bar(self._console, what) if self._terminal else Lines(what, "", self._write)
        self._bar(done, total)
        if done >= total:
            self.close()


class RateColumn(ProgressColumn):
    """How many a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """The rate, or nothing while there is none."""
        return Text(f"{task.speed:,.0f} {self.unit}/s" if task.speed else "")


class Lines:
    """Progress as a line every quarter of a minute, for logs."""

    def __init__(self, what: str, unit: str, say: Callable[[str], None]) -> None:
        self.what, self.unit, self.say = what, f" {unit}" if unit else "", say
        self.began = self.last = time.monotonic()
        self.before: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Notes that `done` of `total` are done, and says so if it is time."""
        now = time.monotonic()
        if self.before is None:
            self.began, self.before = now, done
        if now - self.last < _EVERY:
            return
        self.last = now
        rate = (done - self.before) / max(now - self.began, 1e-3)
        left = f", {(total - done) / rate / 60:.1f} min left" if rate else ""
        self.say(f"{self.what}: {done:,} of {total:,}{self.unit}, {rate:,.0f} a second{left}")
