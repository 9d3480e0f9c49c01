"""Attacks on the node's port, the page's port, its API, and what is written, on this machine alone."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MB = 1024**2
MOST_GROWTH = 64 * MB
"""Bytes that a process may grow by, whatever is pushed into its port."""

_POINTS = 6  # of a curve


@dataclass(frozen=True)
class Size:
    """How much is tried.

    Attributes:
        name: "small", in a few minutes, or "full".
        times: Times that a cheap thing is tried.
        megabytes: What is pushed into a port.
        pushing: Seconds after which that is given up.
        seconds: How long something goes on.
        connections: Idle connections.
        kills: Processes that are killed.
        requests: Requests of readers and programs, made up.
        rounds: Cases that several requests race for.
        patience: Seconds for an answer amid it all; more in CI, whose machines are slow.
    """

    name: str
    times: int
    megabytes: int
    pushing: float
    seconds: float
    connections: int
    kills: int
    requests: int
    rounds: int
    patience: float


SMALL = Size("small", 25, 50, 3, 5, 1100, 2, 150, 6, 5)
FULL = Size("full", 500, 1024, 180, 600, 1100, 100, 5000, 200, 1)


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        name: What was tried.
        tried: How often.
        held: How often it held.
        note: Figures.
    """

    name: str
    tried: int
    held: int
    note: str = ""

    def __str__(self) -> str:
        verdict = "held" if self.held == self.tried else f"FELL {self.tried - self.held}"
        return f"{self.name:56} tried {self.tried:5}  held {self.held:5}  {verdict:9} {self.note}".rstrip()


Attack = Callable[[Size, Path], Iterator[Line]]
"""Tries things, in a folder for its files."""


def memory(pid: int) -> int:
    """Bytes that a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


class Watch:
    """What a process's memory does in the block, compared with a number of bytes."""

    def __init__(self, pid: int, before: int) -> None:
        self._pid, self._before = pid, before
        self._grown: list[int] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self._grown.append(memory(self._pid) - self._before)
            if self._done.wait(0.05):
                return

    @property
    def most(self) -> int:
        """Bytes that it grew by, at most."""
        return max(self._grown)

    @property
    def curve(self) -> str:
        """How it grew: points at equal distances from the beginning to the end, and the most."""
        last = len(self._grown) - 1
        points = [self._grown[last * i // (_POINTS - 1)] for i in range(_POINTS)]
        return f"memory {' '.join(f'{point / MB:+.0f}' for point in points)}, at most {self.most / MB:+.0f} MB"


def connect(port: int, *, address: str = "127.0.0.1", seconds: float = 5.0) -> socket.socket:
    """A connection to a port of this machine."""
    return socket.create_connection((address, port), seconds)


def push(opened: Callable[[], socket.socket], first: bytes, again: bytes, size: Size) -> tuple[int, int]:
    """Sends something again and again, and in another connection when the other side ends one.

    Gives the bytes that went, and the connections they took.
    """
    gone = connections = 0
    until, most = time.monotonic() + size.pushing, size.megabytes * MB
    while gone < most and time.monotonic() < until:
        connections += 1
        try:
            with opened() as connection:
                connection.sendall(first)
                rest = memoryview(again)
                while gone < most and time.monotonic() < until:
                    sent = connection.send(rest)
                    gone, rest = gone + sent, rest[sent:] or memoryview(again)
        except OSError:
            continue
    return gone, connections


def environment() -> dict[str, str]:
    """Of a process that imports what this one does."""
    here = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}
