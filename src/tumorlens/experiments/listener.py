"""What is told while an experiment runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tumorlens.training.callbacks import Epoch


@dataclass(frozen=True)
class Listener:
    """What an experiment tells while it runs; each defaults to silence.

    Attributes:
        say: Called with what is being done.
        progress: Called with (done, total) while scans are read.
        epoch: Called with (the finished epoch, how many there are at most).
    """

    say: Callable[[str], None] = lambda _: None
    progress: Callable[[int, int], None] = lambda _done, _total: None
    epoch: Callable[[Epoch, int], None] = lambda _epoch, _total: None
