"""Attacks on the node's port, the page's port and the output folder, on this machine alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MB = 1024**2
MOST_GROWTH = 64 * MB
"""Bytes that a process may grow by, whatever is pushed into its port."""


@dataclass(frozen=True)
class Size:
    """How much is tried.

    Attributes:
        name: "small", in a minute, or "full".
        times: Times that a cheap thing is tried.
        megabytes: What is pushed into a port.
        seconds: How long something goes on.
        connections: Idle connections.
        kills: Processes that are killed.
        patience: Seconds for an answer amid it all; more in CI, whose machines are slow.
    """

    name: str
    times: int
    megabytes: int
    seconds: float
    connections: int
    kills: int
    patience: float


SMALL = Size("small", times=25, megabytes=100, seconds=6, connections=1100, kills=2, patience=5)
FULL = Size("full", times=500, megabytes=1024, seconds=600, connections=1100, kills=100, patience=1)


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
        return f"{self.name:52} tried {self.tried:5}  held {self.held:5}  {verdict:9} {self.note}".rstrip()


Attack = Callable[[Size, Path], Iterator[Line]]
"""Tries things, in a folder for its files."""


def memory(pid: int) -> int:
    """Bytes that a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def memory_of_all(pid: int) -> int:
    """Bytes that a process and those below it hold."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return memory(pid) + sum(memory_of_all(int(child)) for child in children)


def connect(port: int, *, address: str = "127.0.0.1", seconds: float = 5.0) -> socket.socket:
    """A connection to a port of this machine."""
    return socket.create_connection((address, port), seconds)


def push(connection: socket.socket, block: bytes, size: int) -> int:
    """Sends a block again and again until so many bytes have gone or the other side ends it; gives their number."""
    gone = 0
    try:
        while gone < size:
            connection.sendall(block)
            gone += len(block)
    except OSError:
        pass
    return gone


def environment() -> dict[str, str]:
    """Of a process that imports what this one does."""
    here = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}
