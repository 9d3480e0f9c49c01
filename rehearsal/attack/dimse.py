"""Attacks on the node's DICOM port."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from rehearsal.archive import send
from rehearsal.attack import MB, MOST_GROWTH, Line, Size, Watch, connect, memory, push
from rehearsal.kills import NodeProcess
from rehearsal.phantoms import make_instance
from tumorlens.errors import PeerError
from tumorlens.node.config import DicomPeer
from tumorlens.node.dimse import Peer

_MR = b"1.2.840.10008.5.1.4.1.1.4"
_VERIFICATION = b"1.2.840.10008.1.1"
_IMPLICIT = b"1.2.840.10008.1.2"
_ENDLESS = 0xFFFFFFF0
_LOG = 1 * MB  # bytes that the log may grow by


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def request(syntaxes: Sequence[bytes] = (_VERIFICATION, _MR)) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    content = struct.pack(">HH", 1, 0) + b"TUMORLENS".ljust(16) + b"STRANGER".ljust(16) + bytes(32)
    content += _item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, syntax in enumerate(syntaxes):
        content += _item(0x20, bytes([2 * number + 1, 0, 0, 0]) + _item(0x30, syntax) + _item(0x40, _IMPLICIT))
    content += _item(0x50, _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3"))
    return struct.pack(">BBI", 1, 0, len(content)) + content


def data(context: int, flags: int, content: bytes) -> bytes:
    """A P-DATA-TF with one fragment (PS3.8 9.3.5)."""
    return struct.pack(">BBI", 4, 0, len(content) + 6) + struct.pack(">IBB", len(content) + 2, context, flags) + content


def command(field: int, sop_class: bytes, *, data_set: bool) -> bytes:
    """A command set (PS3.7 6.3)."""

    def element(number: int, value: bytes) -> bytes:
        value += bytes(len(value) % 2)
        return struct.pack("<HHI", 0, number, len(value)) + value

    body = element(0x0002, sop_class) + element(0x0100, struct.pack("<H", field))
    body += element(0x0110, struct.pack("<H", 1)) + element(0x0700, struct.pack("<H", 0))
    body += element(0x0800, struct.pack("<H", 1 if data_set else 0x0101)) + element(0x1000, b"1.2.3.4.5")
    return element(0, struct.pack("<I", len(body))) + body


_STORE = data(3, 3, command(0x0001, _MR, data_set=True))
_ECHO = data(1, 3, command(0x0030, _VERIFICATION, data_set=False))


class _Target:
    """A node under attack."""

    def __init__(self, folder: Path) -> None:
        self.node = NodeProcess(folder)
        self.node.start()
        assert self.node.process is not None
        self.port, self.pid = self.node.port, self.node.process.pid
        self._peer = Peer("SCANNER", DicomPeer(name="node", host="127.0.0.1", port=self.port, ae_title="TUMORLENS"))
        self._random = random.Random(1)
        send(self.port, [make_instance("first")])
        self.memory = memory(self.pid)

    def echo(self) -> bool:
        """Whether it answers a C-ECHO."""
        try:
            self._peer.echo()
        except PeerError:
            return False
        return True

    def associate(self) -> socket.socket:
        """A connection with an association."""
        connection = connect(self.port)
        connection.sendall(request())
        connection.recv(65536)
        return connection

    def mutated(self, content: bytes) -> bytes:
        """Some bytes changed."""
        changed = bytearray(content)
        for _ in range(self._random.randint(1, 12)):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        return bytes(changed)


def attack(size: Size, folder: Path) -> Iterator[Line]:
    """The port, as strangers on the network may treat it."""
    target = _Target(folder / "dimse")
    try:
        yield from _locked_out(target, size)
        yield _health_checks(target, size)
        yield from _pushed(target, size)
        yield from _mutated(target, size)
        yield _dripped(target, size)
        log = target.node.log()
        yield Line("DIMSE: no traceback in the log", 1, int("Traceback" not in log))
        yield Line("DIMSE: log below 1 MB", 1, int(len(log) < _LOG), f"{len(log) // 1024} KB")
    finally:
        target.node.kill()


def _locked_out(target: _Target, size: Size) -> Iterator[Line]:
    """Connections without an association, and a C-ECHO after each kind."""
    half = request()[:40]
    kinds = {
        "opened and closed": (b"", True),
        "garbage": (b"GET / HTTP/1.1\r\n\r\n" + os.urandom(500), True),
        "half a request, then closed": (half, True),
        "idle": (b"", False),
        "half a request, then silence": (half, False),
    }
    for name, (content, closed) in kinds.items():
        connections = []
        for _ in range(size.times):
            connection = connect(target.port)
            connection.sendall(content)
            if closed:
                connection.close()
            connections.append(connection)
        echoes = [target.echo() for _ in range(3)]
        for connection in connections:
            connection.close()
        yield Line(f"DIMSE: C-ECHO amid {size.times} {name}", len(echoes), sum(echoes))


def _health_checks(target: _Target, size: Size) -> Line:
    """One connection a second, opened and closed, as a load balancer does."""
    until, echoes = time.monotonic() + size.seconds, []
    while time.monotonic() < until:
        connect(target.port).close()
        echoes.append(target.echo())
        time.sleep(1)
    return Line(f"DIMSE: C-ECHO beside a health check, {size.seconds:g} s", len(echoes), sum(echoes))


def _pushed(target: _Target, size: Size) -> Iterator[Line]:
    """Bytes without end, in every way a stranger may send them, in one connection after the other."""
    oversized = struct.pack(">BBI", 4, 0, _ENDLESS)
    kinds = {
        "requests of 4 GB": (b"\x01\x00" + struct.pack(">I", _ENDLESS), bytes(MB), False),
        "PDUs of 4 GB": (oversized, bytes(MB), True),
        "instances without end": (_STORE, data(3, 0, bytes(100_000)), True),
        "commands without end": (b"", data(3, 1, bytes(100_000)), True),
        "data sets without a command": (b"", data(3, 0, bytes(100_000)), True),
        "C-ECHOs without waiting": (b"", _ECHO * 1000, True),
    }
    for name, (first, again, associated) in kinds.items():
        opened = target.associate if associated else partial(connect, target.port)
        with Watch(target.pid, target.memory) as watch:
            gone, connections = push(opened, first, again, size)
        held = watch.most < MOST_GROWTH and target.echo()
        yield Line(f"DIMSE: {gone // MB} MB in {name}", connections, connections if held else 0, watch.curve)


def _mutated(target: _Target, size: Size) -> Iterator[Line]:
    """Requests and commands with some bytes changed."""
    for name, associated in (("association requests", False), ("commands", True)):
        answered = 0
        for number in range(size.times):
            content = _ECHO + _STORE + data(3, 2, os.urandom(100)) if associated else request()
            with suppress(OSError), target.associate() if associated else connect(target.port) as connection:
                connection.sendall(target.mutated(content))
                connection.settimeout(0.2)
                connection.recv(1000)  # most of them are sound enough to take a place, which has to be free again
            if number % 10 == 0:
                answered += target.echo()
        yield Line(f"DIMSE: C-ECHO amid mutated {name}", -(-size.times // 10), answered)


def _dripped(target: _Target, size: Size) -> Line:
    """A request that comes byte by byte, for as long as it is heard."""
    connections = [connect(target.port) for _ in range(min(size.times, 100))]
    echoes = []
    for number in range(round(min(size.seconds, 60))):
        for connection in connections:
            with suppress(OSError):
                connection.sendall(request()[number : number + 1])
        echoes.append(target.echo())
        time.sleep(1)
    for connection in connections:
        connection.close()
    return Line(f"DIMSE: C-ECHO amid {len(connections)} drip-fed requests", len(echoes), sum(echoes))
