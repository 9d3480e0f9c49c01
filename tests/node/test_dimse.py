"""The service class user: exactly the contexts that are sent, statuses as the standard means them, and retrieval."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom import AE, evt
from pynetdicom import sop_class as sop

from rehearsal.archive import Archive
from rehearsal.kills import free_port, wait_for
from rehearsal.phantoms import make_instance, pretend, write_study
from tests.node.helpers import PATIENCE, StartNode
from tumorlens.errors import ConfigError, PeerError
from tumorlens.node.config import DicomPeer, NodeConfig
from tumorlens.node.delivery import Outgoing
from tumorlens.node.dimse import MOST_CONTEXTS, Checkpoint, DicomSender, _proposals
from tumorlens.node.node import pull_study

RESULT_CLASSES = (
    sop.SecondaryCaptureImageStorage,  # type: ignore[attr-defined]
    sop.Comprehensive3DSRStorage,  # type: ignore[attr-defined]
    sop.SegmentationStorage,  # type: ignore[attr-defined]
    sop.ParametricMapStorage,  # type: ignore[attr-defined]
    sop.GrayscaleSoftcopyPresentationStateStorage,  # type: ignore[attr-defined]
)


def _results(folder: Path, classes: Any = RESULT_CLASSES) -> list[Outgoing]:
    (source,) = write_study(folder, "dimse", 1)
    made = []
    for number, kind in enumerate(classes):
        (ds,) = pretend([source])
        ds.SOPClassUID, ds.SOPInstanceUID = kind, f"1.2.826.0.1.{number + 1}"
        path = folder / f"result{number}.dcm"
        ds.save_as(path, enforce_file_format=True)
        made.append(Outgoing(ds.SOPInstanceUID, kind, path))
    return made


def _sender(port: int) -> DicomSender:
    peer = DicomPeer(name="pacs", host="127.0.0.1", port=port, ae_title="ARCHIVE", seconds=PATIENCE)
    return DicomSender("TUMORLENS", peer, lambda _: None)


def test_every_kind_of_result_is_stored(archive: Archive, tmp_path: Path) -> None:
    results = _results(tmp_path)
    assert [problem for _, problem in _sender(archive.port).send(results)] == [None] * 5
    assert len(archive.stored) == 5


def test_exactly_what_is_sent_is_proposed(tmp_path: Path) -> None:
    results = _results(tmp_path)
    ((group, contexts),) = _proposals([*results, *results])
    assert len(group) == 10
    assert {c.abstract_syntax for c in contexts} == set(RESULT_CLASSES)
    assert all(c.transfer_syntax == [ExplicitVRLittleEndian, ImplicitVRLittleEndian] for c in contexts)


def test_a_compressed_result_is_proposed_as_it_is(tmp_path: Path) -> None:
    (result,) = _results(tmp_path, RESULT_CLASSES[:1])
    ds = pydicom.dcmread(result.path)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    from pydicom.encaps import encapsulate

    ds.PixelData = encapsulate([b"12345678"])
    ds["PixelData"].is_undefined_length = True
    ds.save_as(result.path)
    ((_, (context,)),) = _proposals([result])
    assert context.transfer_syntax == [JPEG2000Lossless]


def test_more_kinds_than_an_association_can_propose_take_two(tmp_path: Path) -> None:
    kinds = [f"1.2.840.9.{n}" for n in range(MOST_CONTEXTS + 2)]
    groups = list(_proposals([Outgoing(f"1.{n}", kind, tmp_path / "none") for n, kind in enumerate(kinds)]))
    assert [len(contexts) for _, contexts in groups] == [MOST_CONTEXTS, 2]


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0xB000, 0xB006, 0xB007])
def test_stored_already_or_with_a_warning_is_stored(archive: Archive, tmp_path: Path, status: int) -> None:
    archive.answer = lambda _: status
    assert [p for _, p in _sender(archive.port).send(_results(tmp_path))] == [None] * 5


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0122, 0x0124])
def test_a_failure_is_told_with_its_status(archive: Archive, tmp_path: Path, status: int) -> None:
    archive.answer = lambda _: status
    problems = {p for _, p in _sender(archive.port).send(_results(tmp_path))}
    assert problems == {f"pacs: answered with status {status:04X}"}


def test_a_kind_that_is_not_taken_holds_up_no_other(tmp_path: Path) -> None:
    ae = AE("ARCHIVE")
    ae.add_supported_context(RESULT_CLASSES[0])
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)])
    assert server is not None
    try:
        problems = [p for _, p in _sender(server.server_address[1]).send(_results(tmp_path))]
    finally:
        ae.shutdown()
    assert problems[0] is None
    assert problems[2] == "pacs: does not take Segmentation Storage"


def test_a_result_over_which_the_destination_hangs_up_holds_up_no_other(archive: Archive, tmp_path: Path) -> None:
    results = _results(tmp_path)

    def store(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID == results[1].sop:  # type: ignore[union-attr]
            event.assoc.abort()
        return 0x0000

    ae = AE("ARCHIVE")
    for kind in RESULT_CLASSES:
        ae.add_supported_context(kind)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    assert server is not None
    try:
        problems = [p for _, p in _sender(server.server_address[1]).send(results)]
    finally:
        ae.shutdown()
    assert problems == [None, "ended the association without an answer", None, None, None]


def test_nobody_there_is_a_peer_error(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="pacs: cannot be reached"):
        list(_sender(free_port()).send(_results(tmp_path)))


# Query and retrieve, from a small PACS.

Move = Callable[[str], tuple[str, int] | None]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Callable[[Any], int]]:
    """Starts a PACS that has one study of 3 slices; gives its port. Its C-MOVE goes to the port it was given."""
    instances = [pydicom.dcmread(p) for p in write_study(tmp_path / "pacs", "retrieve", 3)]
    ae = AE("PACS")

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        if event.identifier.StudyInstanceUID == instances[0].StudyInstanceUID:
            found = Dataset()
            found.QueryRetrieveLevel = "STUDY"
            found.StudyInstanceUID = instances[0].StudyInstanceUID
            found.NumberOfStudyRelatedInstances = len(instances)
            yield 0xFF00, found

    def start(move_to: Any) -> int:
        def move(_event: evt.Event) -> Iterator[Any]:
            yield move_to
            yield len(instances)
            for ds in instances:
                yield 0xFF00, ds

        def get(_event: evt.Event) -> Iterator[Any]:
            yield len(instances)
            for ds in instances:
                yield 0xFF00, ds

        ae.add_supported_context(sop.StudyRootQueryRetrieveInformationModelFind)  # type: ignore[attr-defined]
        ae.add_supported_context(sop.StudyRootQueryRetrieveInformationModelMove)  # type: ignore[attr-defined]
        ae.add_supported_context(sop.StudyRootQueryRetrieveInformationModelGet)  # type: ignore[attr-defined]
        ae.add_supported_context(sop.MRImageStorage, scu_role=True, scp_role=True)  # type: ignore[attr-defined]
        ae.add_requested_context(sop.MRImageStorage, ExplicitVRLittleEndian)  # type: ignore[attr-defined]
        handlers: list[Any] = [(evt.EVT_C_FIND, find), (evt.EVT_C_MOVE, move), (evt.EVT_C_GET, get)]
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert server is not None
        return int(server.server_address[1])

    yield start
    ae.shutdown()


STUDY = str(make_instance("retrieve").StudyInstanceUID)


def _with_source(settings: dict[str, Any], port: int, how: str) -> NodeConfig:
    source = {
        "name": "pacs",
        "host": "127.0.0.1",
        "port": port,
        "ae_title": "PACS",
        "retrieve": how,
        "seconds": PATIENCE,
    }
    return NodeConfig.model_validate(settings | {"sources": [source]})


@pytest.mark.parametrize("how", ["move", "get"])
def test_a_study_is_pulled(start_node: StartNode, settings: dict[str, Any], pacs: Any, how: str) -> None:
    node = start_node()
    config = _with_source(settings, pacs(("127.0.0.1", node.receiver.port)), how)
    assert pull_study(config, "pacs", STUDY) == (3, 0)
    assert node.ledger.value("SELECT count(*) FROM instances WHERE study = ?", STUDY) == 3


def test_what_a_source_does_not_have_is_said(start_node: StartNode, settings: dict[str, Any], pacs: Any) -> None:
    start_node()
    config = _with_source(settings, pacs((None, None)), "move")
    with pytest.raises(PeerError, match="pacs: has no such study"):
        pull_study(config, "pacs", "1.2.3")
    with pytest.raises(PeerError, match="pacs: answered with status A801"):
        pull_study(config, "pacs", STUDY)  # it does not know where we are
    with pytest.raises(ConfigError, match="there is no such source"):
        pull_study(config, "other", STUDY)


def test_dcmtk_hears_us(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "got").mkdir()
    try:
        process = subprocess.Popen(["storescp", "--output-directory", tmp_path / "got", str(port)])
    except FileNotFoundError:
        pytest.skip("dcmtk is not installed")
    try:

        def stored() -> bool:
            try:
                return [p for _, p in _sender(port).send(_results(tmp_path, RESULT_CLASSES[:2]))] == [None, None]
            except PeerError:
                return False

        wait_for(stored)
        assert len(list((tmp_path / "got").iterdir())) == 2
    finally:
        process.kill()
        process.wait()


def test_a_thread_that_was_told_to_stop_has_stopped() -> None:
    checkpoint, rounds, done = Checkpoint(), Counter[str](), threading.Event()

    def reactor() -> None:
        while not done.is_set():
            checkpoint.wait()
            rounds["round"] += 1

    thread = threading.Thread(target=reactor)
    thread.start()
    for _ in range(300):
        checkpoint.clear()
        before = rounds["round"]
        time.sleep(0.0005)
        assert rounds["round"] == before
        checkpoint.set()
    wait_for(lambda: rounds["round"] > before)
    done.set()
    thread.join()
    checkpoint.clear()  # nobody is there to stop, and that is no reason to wait for ever
