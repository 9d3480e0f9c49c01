"""Attacks on the page's port."""

from __future__ import annotations

import http.client
import math
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from rehearsal.attack import MB, MOST_GROWTH, Line, Size, Watch, connect, environment, memory, push
from rehearsal.kills import free_port, wait_for
from tumorlens import limits

_FILES = 1024  # that the page may open, a common default of shells
_LOG = 1 * MB  # bytes that the log may grow by
_LONGEST = 60.0  # seconds that anything takes
_OTHER = "127.0.0.2"  # the address of somebody else, while the first is attacking


class Page:
    """A page in a process of its own, that may open few files."""

    def __init__(self, folder: Path, patience: float, *options: str) -> None:
        self.patience = patience
        self.port, self.home, self._log = free_port(), folder / "home", folder / "log"
        folder.mkdir(parents=True, exist_ok=True)
        command = f"ulimit -n {_FILES}; exec {sys.executable} -m tumorlens serve --no-open --port {self.port} "
        command += f"--home {shlex.quote(str(self.home))} --workers 1 {' '.join(options)}"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                ["/bin/sh", "-c", command], stdout=log, stderr=log, env=environment()
            )
        wait_for(lambda: self.is_well(patience=60), 1200)

    def is_well(self, patience: float = 0.0) -> bool:
        """Whether it answers /healthz in time."""
        return self.answers_in() < (patience or self.patience)

    def answers_in(self, address: str = "127.0.0.1") -> float:
        """Seconds that it takes to answer /healthz; infinity if it does not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, _LONGEST, source_address=(address, 0))
        began = time.monotonic()
        try:
            connection.request("GET", "/healthz")
            return time.monotonic() - began if connection.getresponse().status == 200 else math.inf
        except (OSError, http.client.HTTPException):
            return math.inf
        finally:
            connection.close()

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait(30)


def attack(size: Size, folder: Path) -> Iterator[Line]:
    """The port, as strangers on the network may treat it."""
    page = Page(folder / "http", size.patience)
    try:
        yield _held(page, f"{size.connections} idle connections, {_FILES} files", size.connections, b"")
        yield _held(page, "slow heads", 300, b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n")
        body = b"POST /api/v1/findings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
        yield _held(page, "slow bodies", 100, body, b"x")
        stream = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        yield _held(page, "event streams", 300, stream, address=_OTHER)
        greedy = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20
        yield _held(page, "answers that nobody takes", 50, greedy, address=_OTHER)
        yield from _pushed(page, size)
        if size.name == "full":
            yield from _timed(page)
        log = page.log()
        yield Line("HTTP: no traceback in the log", 1, int("Traceback" not in log))
        yield Line("HTTP: log below 1 MB", 1, int(len(log) < _LOG), f"{len(log) // 1024} KB")
    finally:
        page.end()


def _held(page: Page, name: str, count: int, first: bytes, drip: bytes = b"", *, address: str = "127.0.0.1") -> Line:
    """Connections that are held, and whether others are answered meanwhile."""
    held, took, alone = list[socket.socket](), list[float](), page.answers_in()
    with Watch(page.process.pid, memory(page.process.pid)) as watch:
        try:
            for _ in range(count):
                with suppress(OSError):
                    held.append(connect(page.port))
                    held[-1].sendall(first)
            for _ in range(5):
                for connection in held if drip else ():
                    with suppress(OSError):
                        connection.sendall(drip)
                took.append(page.answers_in(address))
                time.sleep(0.2)
        finally:
            for connection in held:
                connection.close()
    wait_for(page.is_well)
    answers = sum(seconds < page.patience for seconds in took)
    note = f"slowest {max(took):.2f} s, {alone:.2f} s before; {watch.curve}"
    return Line(f"HTTP: /healthz amid {name}", 5, answers if watch.most < MOST_GROWTH else 0, note)


def _pushed(page: Page, size: Size) -> Iterator[Line]:
    """Bytes without end, in one connection after the other."""
    chunked = b"POST /api/v1/%s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (MB, bytes(MB))
    kinds = {
        "heads without end": (b"GET / HTTP/1.1\r\n", b"X-Header: " + b"y" * 1000 + b"\r\n"),
        "uploads without end": (chunked % b"findings", chunk),
        "bodies without end": (chunked % b"cases", chunk),
        "requests without waiting": (b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000),
    }
    for name, (first, again) in kinds.items():
        with Watch(page.process.pid, memory(page.process.pid)) as watch:
            gone, connections = push(partial(connect, page.port), first, again, size)
        held = watch.most < MOST_GROWTH and page.is_well()
        yield Line(f"HTTP: {gone // MB} MB in {name}", connections, connections if held else 0, watch.curve)


def _timed(page: Page) -> Iterator[Line]:
    """How long a connection lasts that does nothing, or too little."""
    body = b"POST /api/v1/findings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    kinds: dict[str, tuple[bytes, bytes, float]] = {
        "an idle connection": (b"", b"", limits.HEAD_SECONDS),
        "a slow head": (b"GET / HTTP/1.1\r\n", b"X: y\r\n", limits.HEAD_SECONDS),
        "a slow body": (body, b"x", 2 * limits.BODY_SECONDS),
    }
    for name, (first, drip, most) in kinds.items():
        with connect(page.port, seconds=0.5) as connection:
            connection.sendall(first)
            seconds = _lasts(connection, drip, most + 10)
        yield Line(f"HTTP: {name} ends", 1, int(seconds < most + 5), f"after {seconds:.0f} s")


def _lasts(connection: socket.socket, drip: bytes, most: float) -> float:
    began = time.monotonic()
    while time.monotonic() - began < most:
        try:
            connection.sendall(drip)
            if connection.recv(4096) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began
