"""An association that sends too much, too slowly, or nonsense: it ends, in a line; the node and its memory do not."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from pynetdicom import AE, build_context

from rehearsal.archive import send
from rehearsal.attack.dimse import command, data, request
from rehearsal.kills import wait_for
from rehearsal.phantoms import make_instance
from tests.node.helpers import PATIENCE, StartNode
from tumorlens import limits
from tumorlens.node.dimse import hold_reactor
from tumorlens.node.node import Node

_MR = b"1.2.840.10008.5.1.4.1.1.4"
_STORE = data(3, 3, command(0x0001, _MR, data_set=True))
_ECHO = data(1, 3, command(0x0030, b"1.2.840.10008.1.1", data_set=False))
_ABORT = 7

Associate = Callable[[Node], socket.socket]


@pytest.fixture
def associate() -> Iterator[Associate]:
    """Connections with an association, closed at the end."""
    opened: list[socket.socket] = []

    def one(node: Node) -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", node.receiver.port), PATIENCE))
        opened[-1].sendall(request())
        assert opened[-1].recv(4096)[0] == 2
        return opened[-1]

    yield one
    for connection in opened:
        connection.close()


def _last(connection: socket.socket) -> int:
    """The type of the last PDU before the other side ends it."""
    answer = b""
    try:
        while more := connection.recv(4096):
            answer += more
    except ConnectionResetError:
        pass
    kind = 0
    while answer:
        kind, length = answer[0], int.from_bytes(answer[2:6])
        answer = answer[6 + length :]
    return kind


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (struct.pack(">BBI", 4, 0, 0xFFFFFFF0), "sent a PDU of 4,294,967,280 bytes, where 131,072 are agreed on"),
        (struct.pack(">BBI", 4, 0, limits.PDU + 1), "sent a PDU of 131,073 bytes"),
        (_ECHO * 100, "sent requests without waiting for answers"),
        (data(3, 1, bytes(100_000)) * 25, "sent a message of more than 2,097,152 bytes"),
        (data(3, 0, bytes(100_000)) * 25, "sent a message of more than 2,097,152 bytes"),
        (data(3, 3, random.Random(0).randbytes(60)), "sent a message that makes no sense"),
        (data(99, 3, command(0x0001, _MR, data_set=True)) + data(99, 2, b"1"), "makes no sense"),
    ],
    ids=["endless", "a byte more", "many requests", "long data set", "long command", "noise", "context unknown"],
)
def test_what_goes_too_far_is_aborted_in_a_line(
    start_node: StartNode, associate: Associate, caplog: pytest.LogCaptureFixture, content: bytes, reason: str
) -> None:
    node = start_node()
    connection = associate(node)
    with suppress(ConnectionError):
        connection.sendall(content)
    assert _last(connection) == _ABORT
    assert reason in caplog.text
    assert "Traceback" not in caplog.text
    assert send(node.receiver.port, [make_instance("after")]) == [0x0000]
    assert not list(node.spool.coming.iterdir())


def test_a_pdu_that_does_not_come_ends_the_association(
    start_node: StartNode, associate: Associate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PDU_SECONDS", 0.2)
    connection = associate(start_node())
    connection.sendall(_ECHO[:20])
    assert _last(connection) == _ABORT
    assert "127.0.0.1 took more than 0.2 s over a PDU" in caplog.text


def test_a_message_that_does_not_end_ends_the_association(
    start_node: StartNode, associate: Associate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MESSAGE_SECONDS", 0.0)
    node = start_node()
    connection = associate(node)
    connection.sendall(_STORE + data(3, 0, bytes(10)) * 2)
    assert _last(connection) == _ABORT
    assert "took more than 0 s over a message" in caplog.text
    wait_for(lambda: not list(node.spool.coming.iterdir()))


def test_an_instance_that_is_too_long_is_refused_and_the_others_are_taken(
    start_node: StartNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = start_node()
    small, large = make_instance("long", 1), make_instance("long", 2)
    large.PixelData = bytes(300_000)
    monkeypatch.setattr(limits, "FILE", 250_000)
    assert send(node.receiver.port, [large, small]) == [0xA700, 0x0000]
    assert "it has more than the 250,000 bytes we accept; the sender was told A700" in caplog.text
    assert node.ledger.value("SELECT count(*) FROM instances") == 1
    assert not list(node.spool.coming.iterdir())


def test_what_breaks_off_leaves_no_file(start_node: StartNode, associate: Associate) -> None:
    node = start_node()
    connection = associate(node)
    connection.sendall(_STORE + data(3, 0, bytes(1000)))
    wait_for(lambda: list(node.spool.coming.iterdir()))
    connection.close()
    wait_for(lambda: not list(node.spool.coming.iterdir()))


def test_a_sender_that_breaks_off_leaves_no_socket_open(start_node: StartNode, associate: Associate) -> None:
    node = start_node()
    connection = associate(node)
    (association,) = node.receiver._associations
    wire = association.dul.socket
    assert wire is not None
    held = wire.socket
    assert held is not None
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()  # reset, so that there is nothing to shut down
    wait_for(lambda: held.fileno() == -1)


def test_what_was_sent_is_kept_byte_by_byte_in_however_many_fragments(start_node: StartNode) -> None:
    node = start_node()
    ds = make_instance("fragments")
    ae = AE("MODALITY")
    association = ae.associate(
        "127.0.0.1",
        node.receiver.port,
        contexts=[build_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)],
        max_pdu=4096,
    )
    hold_reactor(association)
    assert association.send_c_store(ds).Status == 0x0000
    association.release()
    row = node.ledger.instance(str(ds.SOPInstanceUID))
    assert row is not None
    kept = node.spool.absolute(row["file"])
    assert ds.PixelData in kept.read_bytes()
    assert kept.stat().st_nlink == 1
