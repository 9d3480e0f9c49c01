"""The door as strangers and scanners meet it: a mere connection takes no place, and a refusal is a line."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from rehearsal.attack.dimse import request
from rehearsal.kills import wait_for
from tests.node.helpers import PATIENCE, StartNode
from tumorlens import limits
from tumorlens.errors import PeerError
from tumorlens.node.config import DicomPeer
from tumorlens.node.dimse import Peer
from tumorlens.node.door import Door

Connect = Callable[..., socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connections to a port of this machine, closed at the end."""
    opened: list[socket.socket] = []

    def one(port: int, content: bytes = b"") -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", port), PATIENCE))
        opened[-1].sendall(content)
        return opened[-1]

    yield one
    for connection in opened:
        connection.close()


def _echo(port: int) -> None:
    Peer("SCANNER", DicomPeer(name="node", host="127.0.0.1", port=port, ae_title="TUMORLENS", seconds=PATIENCE)).echo()


def _ended(connection: socket.socket) -> bool:
    """Whether the other side ends it: a reset says so too, if some of what was sent has not been read."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    ("content", "closed"),
    [(b"", True), (b"", False), (request()[:40], True), (request()[:40], False), (b"GET / HTTP/1.1\r\n\r\n", True)],
)
def test_connections_without_an_association_take_no_place(
    start_node: StartNode, connect: Connect, content: bytes, closed: bool
) -> None:
    port = start_node(associations=2).receiver.port  # two: one that was released has its place a little longer
    for _ in range(25):
        connection = connect(port, content)
        if closed:
            connection.close()
    _echo(port)
    _echo(port)


def test_who_is_gone_in_the_moment_it_is_let_in_closes_the_door_for_nobody(connect: Connect) -> None:
    asked: list[bytes] = []

    def admit(_: socket.socket, __: str, sent: bytes) -> None:
        asked.append(sent)
        raise OSError("Transport endpoint is not connected")

    door = Door(("127.0.0.1", 0), None, admit)
    for count in (1, 2):
        assert connect(door.port, request()).recv(1) == b""
        assert len(asked) == count
    door.close()


def test_who_leaves_frees_its_place_at_once(start_node: StartNode, connect: Connect) -> None:
    port = start_node(associations=1).receiver.port
    connection = connect(port, request())
    assert connection.recv(1) == b"\x02"
    connection.close()

    def answers() -> bool:
        try:
            _echo(port)
        except PeerError:
            return False
        return True

    wait_for(answers, 30)  # the node itself gives a silent association up after 60


def test_who_asks_for_nothing_is_sent_away_after_a_while(
    start_node: StartNode, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.1)
    assert _ended(connect(start_node().receiver.port, request()[:40]))
    assert "127.0.0.1 came to nothing: it asked for no association in time" in caplog.text


def test_the_oldest_makes_room_for_the_newest(
    start_node: StartNode, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "VISITORS", 3)
    port = start_node().receiver.port
    first, *others = [connect(port) for _ in range(4)]
    assert first.recv(1) == b""
    _echo(port)
    others[-1].settimeout(0.2)
    with pytest.raises(TimeoutError):
        others[-1].recv(1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "sent no association request"),
        (b"\x01\x00\xff\xff\xff\xf0", "announced an association request of 4,294,967,280 bytes"),
        (request()[:74] + b"\xff" * (len(request()) - 74), "sent an association request that makes no sense"),
    ],
)
def test_what_is_no_request_is_aborted_with_a_line(
    start_node: StartNode, connect: Connect, caplog: pytest.LogCaptureFixture, content: bytes, reason: str
) -> None:
    connection = connect(start_node().receiver.port, content)
    assert connection.recv(1) == b"\x07"
    assert f"127.0.0.1 was refused: it {reason}" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_full_house_is_said_to_the_caller_and_in_the_log(
    start_node: StartNode, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    port = start_node(associations=1).receiver.port
    assert connect(port, request()).recv(1) == b"\x02"
    # Rejected, transient, by the presentation layer, local limit exceeded (PS3.8 9.3.4).
    assert connect(port, request()).recv(10) == bytes([3, 0, 0, 0, 0, 4, 0, 2, 3, 2])
    assert "it called itself 'STRANGER' and came while 1 associations were open" in caplog.text


def test_a_look_whether_the_port_is_open_is_no_line(
    start_node: StartNode, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    port = start_node().receiver.port
    connect(port).close()
    _echo(port)
    assert "came to nothing" not in caplog.text


def test_a_thousand_strangers_are_some_lines(
    start_node: StartNode, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    port = start_node().receiver.port
    for _ in range(60):
        connect(port, b"GET / HTTP/1.1\r\n\r\n").recv(1)
    assert caplog.text.count("was refused") == 20


def test_what_is_dripped_has_an_end_too(
    start_node: StartNode, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.5)
    connection = connect(start_node().receiver.port)
    connection.settimeout(0.05)
    for number in range(len(request()) - 1):  # a byte before each wait, for ten times as long as it may take
        try:
            connection.sendall(request()[number : number + 1])
            assert connection.recv(1) == b""
        except TimeoutError:
            continue
        except ConnectionError:
            pass
        return
    raise AssertionError("it was heard to its end")
