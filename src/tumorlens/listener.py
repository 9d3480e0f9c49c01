"""What long work tells while it runs: messages, progress, epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Is called with (done, total), files, scans or steps."""


@dataclass(frozen=True)
class Epoch:
    """One row of a training run's log.

    Attributes:
        val_loss: Loss over the validation part, with the averaged weights; NaN where there is no such part.
        val_accuracy: Accuracy over the validation part, 0 to 1; NaN where there is none.
        learning_rate: At the epoch's end.
        seconds: What it took, validation included.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Listener:
    """Callbacks of long work; each defaults to silence.

    Attributes:
        say: Called with what is being done, in a few words.
        progress: Called with (done, total), files, scans or steps of what was said last.
        batch: Called with (done, total), batches of the epoch that a training is at.
        epoch: Called with (the finished epoch of a training, how many there are at most).
        reading: Called with the file that is read and decoded from now on; None while none is.
        failed: Called with (a file that is corrupt, or not wholly sound; what is wrong with it).
    """

    say: Callable[[str], None] = lambda _: None
    progress: Progress = lambda _done, _total: None
    batch: Progress = lambda _done, _total: None
    epoch: Callable[[Epoch, int], None] = lambda _epoch, _total: None
    reading: Callable[[str | None], None] = lambda _: None
    failed: Callable[[str, str], None] = lambda _file, _problem: None


SILENT = Listener()
"""Who wants to hear nothing."""


def counted(items: Sequence[T], progress: Progress) -> Iterator[T]:
    """Goes through items, and tells of each that is done."""
    for number, item in enumerate(items, 1):
        yield item
        progress(number, len(items))
