"""The connections to the page's port: how many there may be, and how long one may take over what it asks for.

uvicorn limits neither: a head or body may come as slowly as it likes, and connections are taken until the process has
no file left to open. Its protocol stands here with both mended. Who makes room is decided by what a connection does:
one that waits for its next request is closed without harm. And requests that do not wait for the answer to the last
(no browser sends any) end the connection with that answer, or one client could keep the process busy.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tumorlens import limits

log = logging.getLogger("tumorlens.web.connections")

HANDFUL = 32
"""Connections taken at a time, before those that are too many are closed: uvicorn's `backlog`."""

_QUEUE = 1024  # connections that wait to be taken, in the kernel
_SWEEP = 1.0  # seconds
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connections:
    """All open HTTP connections of the page.

    Args:
        porch: What they come by.
        proxied: Whether all come from one address, a proxy's.
    """

    def __init__(self, porch: Porch, *, proxied: bool = False) -> None:
        self._porch = porch
        self.most = max(16, min(limits.CONNECTIONS, raise_files() - limits.SPARE_FILES))
        self.of_a_peer = self.most if proxied else min(self.most, limits.PEER_CONNECTIONS)
        self._open: dict[Connection, None] = {}  # the oldest first
        self._peers: Counter[str] = Counter()
        self._sweeping: asyncio.TimerHandle | None = None
        self.refused = 0

    def add(self, connection: Connection) -> None:
        """Takes a connection; another makes room, or it is refused where all are at work."""
        self._porch.came_in(connection.transport)
        self._open[connection] = None
        self._peers[connection.peer] += 1
        if self._sweeping is None:
            self._sweeping = connection.loop.call_later(_SWEEP, self._sweep)
        crowd: list[Connection] = []
        if self._peers[connection.peer] > self.of_a_peer:
            crowd = [c for c in self._open if c.peer == connection.peer]
        elif len(self._open) > self.most:
            crowd = [*self._open]
        if crowd:
            self.refused += 1
            waiting = (c for c in crowd if c.waits)
            min(waiting, key=lambda c: c.until, default=connection).end(refused=True)

    def remove(self, connection: Connection) -> None:
        """Forgets a connection that is closed."""
        if connection in self._open:
            del self._open[connection]
            self._peers -= Counter([connection.peer])

    def _sweep(self) -> None:
        """Closes those that take too long."""
        now = time.monotonic()
        slow = [c for c in self._open if c.is_late(now)]
        for connection in slow:
            connection.end()
        if slow or self.refused:
            log.warning("connections", extra={"open": len(self._open), "late": len(slow), "refused": self.refused})
            self.refused = 0
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(_SWEEP, self._sweep) if self._open else None


class Connection(H11Protocol):
    """A connection.

    Args:
        connections: All open HTTP connections of the page.
        options: Of uvicorn.
    """

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections, self.peer = connections, ""
        self.until = time.monotonic() + limits.HEAD_SECONDS  # the head of the next request is here, if it waits
        self._received = self._before = 0
        self._window = self._stuck = 0.0

    @property
    def waits(self) -> bool:
        """Whether there is no request, or not all of its head."""
        return self.conn.their_state is h11.IDLE

    def is_late(self, now: float) -> bool:
        """Whether it takes too long over a head, a body or an answer."""
        if self.waits:
            return now > self.until
        if self._stuck:
            return now > self._stuck + limits.ANSWER_SECONDS
        if self.conn.their_state is not h11.SEND_BODY:
            return False
        if self.flow.read_paused or not self._window:  # it is we who are slow; or it has just begun
            self._window, self._before = now, self._received
        elif now > self._window + limits.BODY_SECONDS:
            late = self._received < self._before + limits.BODY_BYTES
            self._window, self._before = now, self._received
            return late
        return False

    def end(self, *, refused: bool = False) -> None:
        """Closes it at once."""
        self._connections.remove(self)
        if refused:
            self.transport.write(_BUSY)
            self.transport.close()
        else:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Registers the new connection."""
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregisters the connection."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feeds received bytes to the HTTP parser."""
        self._received += len(data)
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        self.until, self._window = time.monotonic() + limits.KEEP_SECONDS + limits.HEAD_SECONDS, 0.0
        if self.conn.their_state is h11.DONE and self.conn.trailing_data[0]:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Waits for the other side to take what it asked for."""
        self._stuck = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Resumes writing the answer."""
        self._stuck = 0.0
        super().resume_writing()


class Porch(socket.socket):
    """A listening socket that keeps account of those that have not come in: just taken, or in a TLS handshake.

    asyncio takes as many connections as may wait for it before anybody can close one, and for those in a handshake
    there is no protocol that could.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._outside: dict[int, socket.socket] = {}

    def listen(self, _backlog: int = 0, /) -> None:
        """Lets many wait to be taken, whatever is asked for: asyncio takes as many at a time as it asks for."""
        super().listen(_QUEUE)

    def accept(self) -> tuple[socket.socket, Any]:
        """Takes a connection. Where many are outside, the one that has been there longest is closed."""
        accepted, address = super().accept()
        self._outside = {number: s for number, s in self._outside.items() if s.fileno() == number}
        self._outside[accepted.fileno()] = accepted
        if len(self._outside) > limits.VISITORS:
            with suppress(OSError):
                self._outside.pop(next(iter(self._outside))).shutdown(socket.SHUT_RDWR)
        return accepted, address

    def came_in(self, transport: asyncio.BaseTransport) -> None:
        """A connection has a protocol."""
        self._outside.pop(transport.get_extra_info("socket").fileno(), None)


def raise_files() -> int:
    """Lets the process open as many files as the system grants it, and gives their number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS + limits.SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
