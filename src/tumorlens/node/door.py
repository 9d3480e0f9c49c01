"""The door of the node's port: who connects costs a socket, but no thread, before a whole association request came."""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tumorlens import limits

_LOG = logging.getLogger(__name__)
_LINES = 20  # that the log gets a minute at most, of connections that came to nothing
_TICK = 0.25  # seconds
_FAREWELL = 1.0  # seconds for the other side to close after it was told why; a close of ours may overtake the reason
_HEAD = 6  # bytes of a PDU before its content: type, a reserved byte, length (PS3.8 9.3)
_ASSOCIATE = 0x01
_SHORTEST = 68  # bytes of a request without items (PS3.8 9.3.2)


@dataclass(frozen=True)
class Refusal:
    """Why a connection comes to nothing.

    Attributes:
        reason: For the log.
        answer: The PDU that says so.
    """

    reason: str
    answer: bytes

    @classmethod
    def rejection(cls, reason: str, result: int, source: int, diagnostic: int) -> Refusal:
        """An A-ASSOCIATE-RJ; numbers by PS3.8 9.3.4."""
        return cls(reason, bytes([3, 0, 0, 0, 0, 4, 0, result, source, diagnostic]))

    @classmethod
    def abort(cls, reason: str, diagnostic: int) -> Refusal:
        """An A-ABORT of the service provider; numbers by PS3.8 9.3.8."""
        return cls(reason, bytes([7, 0, 0, 0, 0, 4, 0, 0, 2, diagnostic]))


Admit = Callable[[socket.socket, str, bytes], Refusal | None]
"""Takes a connection over, with its address and its association request; or says why not, and leaves it."""


@dataclass
class _Visitor:
    connection: socket.socket
    address: str
    until: float
    shaken: bool
    leaving: bool = False
    request: bytearray = field(default_factory=bytearray)


class Door:
    """Listens, and lets in who asks for an association within `limits.REQUEST_SECONDS`. One thread serves all.

    Of those that wait, the oldest goes when there are more than `limits.VISITORS`: a request comes within milliseconds,
    so it is never one that means it.

    Args:
        address: Host and port.
        tls: For DICOM over TLS.
        admit: Takes over who has asked.

    Raises:
        OSError: If the address cannot be listened on.
    """

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None, admit: Admit) -> None:
        self._tls, self._admit = tls, admit
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=limits.VISITORS)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._visitors: dict[socket.socket, _Visitor] = {}  # the oldest first
        self._log = _Sparing()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Lets nobody in any more."""
        self._closing.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select(_TICK):
                if key.fileobj is self._listener:
                    self._welcome()
                elif (visitor := self._visitors.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                    self._hear(visitor)
            now = time.monotonic()
            for visitor in [v for v in self._visitors.values() if v.until < now]:
                self._drop(visitor, "asked for no association in time")
        for visitor in [*self._visitors.values()]:
            self._forget(visitor)
            visitor.connection.close()
        self._selector.close()
        self._listener.close()

    def _welcome(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError as error:  # gone already; or the process has no file left, which passes when one is closed
            if not isinstance(error, BlockingIOError):
                self._log.warning("a connection could not be taken: %s", error.strerror)
                self._closing.wait(_TICK)
            return
        try:
            connection.setblocking(False)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:
            connection.close()
            return
        until = time.monotonic() + limits.REQUEST_SECONDS
        visitor = _Visitor(connection, str(address[0]), until, shaken=self._tls is None)
        self._visitors[connection] = visitor
        self._selector.register(connection, selectors.EVENT_READ)
        if len(self._visitors) > limits.VISITORS:
            self._drop(next(iter(self._visitors.values())), "made room for others: too many connections are waiting")

    def _hear(self, visitor: _Visitor) -> None:
        """Goes on with a connection as far as it goes without waiting."""
        connection, request = visitor.connection, visitor.request
        try:
            if not visitor.shaken:
                connection.do_handshake()  # type: ignore[attr-defined]
                visitor.shaken = True
            while connection in self._visitors:
                data = connection.recv(limits.PDU if visitor.leaving else _missing(request))
                if not data:
                    self._drop(visitor, "left in the midst of its request" if request else "")
                if not data or visitor.leaving:
                    return
                request += data
                self._judge(visitor)
        except (BlockingIOError, ssl.SSLWantReadError):
            self._selector.modify(visitor.connection, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._selector.modify(visitor.connection, selectors.EVENT_WRITE)
        except OSError as error:
            self._drop(visitor, f"broke off ({type(error).__name__})")

    def _judge(self, visitor: _Visitor) -> None:
        """Lets in who sent a whole request, or tells it why not."""
        request = visitor.request
        length = int.from_bytes(request[2:_HEAD]) if len(request) >= _HEAD else _SHORTEST
        if request[0] != _ASSOCIATE or length < _SHORTEST:
            self._turn_away(visitor, Refusal.abort("sent no association request", 1))
        elif length > limits.REQUEST:
            self._turn_away(visitor, Refusal.abort(f"announced an association request of {length:,} bytes", 6))
        elif len(request) == _HEAD + length:
            self._selector.unregister(visitor.connection)
            visitor.connection.setblocking(True)
            if (refusal := self._admit(visitor.connection, visitor.address, bytes(request))) is None:
                del self._visitors[visitor.connection]
                return
            visitor.connection.setblocking(False)
            self._selector.register(visitor.connection, selectors.EVENT_READ)
            self._turn_away(visitor, refusal)

    def _turn_away(self, visitor: _Visitor, refusal: Refusal) -> None:
        """Says why, and waits a moment for the other side to close."""
        self._log.warning("a connection from %s was refused: it %s", visitor.address, refusal.reason)
        with suppress(OSError):
            visitor.connection.send(refusal.answer)
        visitor.leaving, visitor.until = True, time.monotonic() + _FAREWELL

    def _drop(self, visitor: _Visitor, reason: str) -> None:
        """Closes a connection; a mere look whether the port is open, or one that was told already, is no news."""
        if reason and not visitor.leaving:
            self._log.warning("a connection from %s came to nothing: it %s", visitor.address, reason)
        self._forget(visitor)
        with suppress(OSError):
            visitor.connection.shutdown(socket.SHUT_RDWR)
        visitor.connection.close()

    def _forget(self, visitor: _Visitor) -> None:
        del self._visitors[visitor.connection]
        with suppress(KeyError):  # handed over already, and gone in that moment
            self._selector.unregister(visitor.connection)


def _missing(request: bytearray) -> int:
    """Bytes to a PDU's head, or else to its end."""
    return _HEAD - len(request) if len(request) < _HEAD else _HEAD + int.from_bytes(request[2:_HEAD]) - len(request)


class _Sparing:
    """A log of what strangers do, perhaps a thousand times a second: so many lines a minute, then their number."""

    def __init__(self) -> None:
        self._minute, self._lines, self._more = 0.0, 0, 0

    def warning(self, message: str, *values: Any) -> None:
        now = time.monotonic()
        if now - self._minute >= 60:
            if self._more:
                _LOG.warning("%d more connections came to nothing before", self._more)
            self._minute, self._lines, self._more = now, 0, 0
        if self._lines < _LINES:
            self._lines += 1
            _LOG.warning(message, *values)
        else:
            self._more += 1
