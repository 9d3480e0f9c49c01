"""The receiver as a modality sees it: success once safe, A700 on a full disk, and no association for strangers."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEGBaseline8Bit
from pynetdicom import AE, build_context

from rehearsal.archive import send
from rehearsal.kills import wait_for
from rehearsal.phantoms import make_instance
from tests.node.helpers import PATIENCE, StartNode, deliver
from tumorlens.errors import ConfigError, PeerError
from tumorlens.node.config import Caller, DicomPeer, NodeConfig
from tumorlens.node.dimse import Peer, hold_reactor
from tumorlens.node.inbox import Inbox
from tumorlens.node.ledger import Ledger
from tumorlens.node.receiver import CANNOT_UNDERSTAND, SUCCESS, admitted, store


def _peer(port: int, title: str = "MODALITY", **more: Any) -> Peer:
    return Peer(
        title, DicomPeer(name="node", host="127.0.0.1", port=port, ae_title="TUMORLENS", seconds=PATIENCE, **more)
    )


def test_it_answers_an_echo(start_node: StartNode) -> None:
    _peer(start_node().receiver.port).echo()


def test_what_was_answered_with_success_is_there_byte_by_byte(start_node: StartNode) -> None:
    node = start_node()
    ds = make_instance("bytes")
    assert send(node.receiver.port, [ds]) == [0x0000]
    row = node.ledger.instance(str(ds.SOPInstanceUID))
    assert row is not None
    kept = node.spool.absolute(row["file"]).read_bytes()
    assert kept[128:132] == b"DICM"
    assert ds.PixelData in kept


def test_compressed_instances_are_kept_compressed(start_node: StartNode) -> None:
    node = start_node()
    ds = make_instance("compressed")
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    from pydicom.encaps import encapsulate

    ds.PixelData = encapsulate([b"\xff\xd8 not really \xff\xd9"])
    ds["PixelData"].is_undefined_length = True
    assert send(node.receiver.port, [ds]) == [0x0000]
    row = node.ledger.instance(str(ds.SOPInstanceUID))
    assert row is not None
    assert b"not really" in node.spool.absolute(row["file"]).read_bytes()


def test_a_full_disk_is_answered_with_out_of_resources_and_logged(
    start_node: StartNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    node = start_node()
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.NamedTemporaryFile", full)
        assert send(node.receiver.port, [make_instance("full")]) == [0xA700]
    assert "the disk is full; the sender was told A700" in caplog.text
    assert send(node.receiver.port, [make_instance("full")]) == [0x0000]


def test_an_error_of_our_own_is_an_answer_and_the_association_goes_on(
    start_node: StartNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = start_node()

    def broken(*_: object) -> None:
        raise ValueError("Phantom^Node")

    with monkeypatch.context() as patched:
        patched.setattr(node.inbox, "_take", broken)
        assert send(node.receiver.port, [make_instance("broken", n) for n in (1, 2)]) == [0xC000, 0xC000]
    assert "Phantom" not in caplog.text


def test_an_association_that_is_aborted_midway_keeps_what_was_answered(start_node: StartNode) -> None:
    node = start_node()
    ds = make_instance("aborted")
    association = AE("MODALITY").associate(
        "127.0.0.1", node.receiver.port, contexts=[build_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)]
    )
    hold_reactor(association)
    assert association.send_c_store(ds).Status == 0x0000
    association.abort()
    # Half a PDU, and then nothing.
    with socket.create_connection(("127.0.0.1", node.receiver.port)) as raw:
        raw.sendall(b"\x01\x00\x00\x00\x01\x00\x00\x01")
    with socket.create_connection(("127.0.0.1", node.receiver.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert send(node.receiver.port, [make_instance("aborted", 2)]) == [0x0000]
    assert node.ledger.value("SELECT count(*) FROM instances") == 2


def test_strangers_are_rejected(start_node: StartNode, caplog: pytest.LogCaptureFixture) -> None:
    callers = [{"ae_title": "MODALITY", "addresses": ["127.0.0.0/8"]}, {"ae_title": "FAR", "addresses": ["10.0.0.0/8"]}]
    port = start_node(callers=callers).receiver.port
    _peer(port).echo()
    for title in ("STRANGER", "FAR"):
        with pytest.raises(PeerError, match="rejected the association"):
            _peer(port, title).echo()
    assert "'STRANGER', which is not among the callers" in caplog.text


@pytest.mark.parametrize(
    ("title", "address", "may"),
    [
        ("A", "10.1.2.3", True),
        ("A ", "::ffff:10.1.2.3", True),
        ("A", "10.2.0.1", False),
        ("B", "2001:db8::1", True),
        ("a", "10.1.2.3", False),
        ("C", "10.1.2.3", False),
    ],
)
def test_title_and_address_both_count(title: str, address: str, may: bool) -> None:
    callers = [Caller(ae_title="A", addresses=("10.1.0.0/16",)), Caller(ae_title="B")]
    assert admitted(callers, title, address) is may
    assert admitted([], title, address)


def test_too_many_associations_are_rejected(start_node: StartNode) -> None:
    port = start_node(associations=1).receiver.port
    context = [build_context("1.2.840.10008.1.1")]
    first = AE("A").associate("127.0.0.1", port, contexts=context)
    assert first.is_established
    with pytest.raises(PeerError, match="rejected the association"):
        _peer(port).echo()
    first.release()


def test_nothing_of_the_patient_is_logged(start_node: StartNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    node = start_node()
    ds = make_instance("logged")
    deliver(node, [ds])
    wait_for(lambda: node.ledger.value("SELECT count(*) FROM revisions WHERE state = 'done'") == 1)
    for word in ("Phantom", "PHANTOM-1", str(ds.SOPInstanceUID), str(ds.StudyInstanceUID)):
        assert word not in caplog.text


def test_a_port_that_is_taken_is_said(start_node: StartNode, tmp_path: Path) -> None:
    from rehearsal.phantoms import prepare_pretend
    from tumorlens.node.node import Node

    taken = start_node().receiver.port
    other = Node(NodeConfig(folder=tmp_path / "other", port=taken), partial(prepare_pretend, tmp_path))
    with pytest.raises(ConfigError, match="choose another port"):
        other.start()
    other.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Path]:
    """A certificate for localhost that signs itself."""
    key, pem = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    return {"certificate": pem, "key": key}


def test_tls_with_certificates_of_both_sides(start_node: StartNode, certificate: dict[str, Path]) -> None:
    pem = certificate["certificate"]
    port = start_node(tls=certificate | {"authority": pem}).receiver.port
    _peer(port, tls=certificate | {"authority": pem}).echo()
    with pytest.raises(PeerError):
        _peer(port, tls={"authority": pem}).echo()  # without a certificate of its own
    with pytest.raises(PeerError):
        _peer(port).echo()  # without TLS
    with pytest.raises(PeerError):
        _peer(port, tls=certificate).echo()  # does not trust the node


def test_a_silent_client_keeps_nobody_out(start_node: StartNode, certificate: dict[str, Path]) -> None:
    pem = certificate["certificate"]
    port = start_node(tls=certificate).receiver.port
    with socket.create_connection(("127.0.0.1", port)):
        answered = threading.Event()

        def echo() -> None:
            _peer(port, tls={"authority": pem}).echo()
            answered.set()

        thread = threading.Thread(target=echo)
        thread.start()
        assert answered.wait(60)
        thread.join()


def test_a_certificate_that_cannot_be_used_is_said(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="certificate cannot be used"):
        start_node(tls={"certificate": tmp_path / "no.pem", "key": tmp_path / "no.pem"})
    assert ssl.HAS_TLSv1_2


class _Event:
    """A C-STORE request of hostile content."""

    def __init__(self, sop: object, content: bytes) -> None:
        self.request = type("Request", (), {"AffectedSOPInstanceUID": sop})
        self._content = content

    def encoded_dataset(self) -> bytes:
        return self._content


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sop=st.none() | st.text(max_size=80) | st.integers(), content=st.binary(max_size=500))
def test_whatever_a_request_holds_has_an_answer(inbox: Inbox, ledger: Ledger, sop: object, content: bytes) -> None:
    head = bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00"
    for file in (content, head + content):
        assert store(inbox, _Event(sop, file)) in (SUCCESS, CANNOT_UNDERSTAND)  # type: ignore[arg-type]
    assert ledger.value("SELECT count(*) FROM instances") > 0
