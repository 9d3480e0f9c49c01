"""The connections to the page's port: how many there may be, and how long one may take over what it asks for.

uvicorn limits neither: a head or body may come as slowly as it likes, and connections are taken until the process has
no file left to open. Its protocol stands here with both mended. Who makes room is decided by what a connection does:
one that waits for its next request is closed without harm.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
import time
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tumorlens import limits

log = logging.getLogger("tumorlens.web.connections")

_HANDFUL = 32  # connections taken at a time, before those that are too many are closed
_QUEUE = 1024  # connections that wait to be taken, in the kernel
_SWEEP = 1.0  # seconds
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connections:
    """Those that are open.

    Args:
        proxied: Whether all come from one address, a proxy's.
    """

    def __init__(self, *, proxied: bool = False) -> None:
        self.most = max(16, min(limits.CONNECTIONS, raise_files() - limits.SPARE_FILES))
        self.of_a_peer = self.most if proxied else min(self.most, limits.PEER_CONNECTIONS)
        self._open: dict[Connection, None] = {}  # the oldest first
        self._peers: Counter[str] = Counter()
        self._sweeping: asyncio.TimerHandle | None = None
        self.refused = 0

    def add(self, connection: Connection) -> None:
        """Takes a connection; another makes room, or it is refused where all are at work."""
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
            next((c for c in crowd if c.waits), connection).end(refused=True)

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
        connections: Those that are open.
        options: Of uvicorn.
    """

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections, self.peer = connections, ""
        self._until = time.monotonic() + limits.HEAD_SECONDS
        self._received = self._before = 0
        self._window = self._stuck = 0.0

    @property
    def waits(self) -> bool:
        """Whether there is no request, or not all of its head."""
        return self.conn.their_state is h11.IDLE

    def is_late(self, now: float) -> bool:
        """Whether it takes too long over a head, a body or an answer."""
        if self.waits:
            return now > self._until
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
        """Takes its place among the others."""
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leaves it."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes some of a request."""
        self._received += len(data)
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        self._until, self._window = time.monotonic() + limits.KEEP_SECONDS + limits.HEAD_SECONDS, 0.0
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Waits for the other side to take what it asked for."""
        self._stuck = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Goes on."""
        self._stuck = 0.0
        super().resume_writing()


class Loop(asyncio.SelectorEventLoop):
    """An event loop that takes connections by the handful.

    asyncio's own takes as many at a time as may wait for it, so that they are there before anybody can close one; and
    if the process has no file left, it logs a traceback for each.
    """

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        """Listens; see `asyncio`."""
        if isinstance(options.get("ssl"), ssl.SSLContext):
            options["ssl_handshake_timeout"] = limits.HEAD_SECONDS
        server = await super().create_server(*arguments, **options | {"backlog": _HANDFUL})
        if options.get("sock") is not None:
            options["sock"].listen(_QUEUE)
        return server


def raise_files() -> int:
    """Lets the process open as many files as the system grants it, and gives their number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS + limits.SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
