"""The node as a whole: a study comes in, its results go out, whatever goes wrong on the way."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset

from rehearsal.archive import Archive, send
from rehearsal.kills import NEVER, NodeProcess, complete, free_port, wait_for
from rehearsal.phantoms import make_instance, pretend
from tests.node.helpers import StartNode, deliver, study_of, until
from tumorlens.errors import ConfigError
from tumorlens.listener import Listener
from tumorlens.node.config import NodeConfig
from tumorlens.node.dimse import Peer
from tumorlens.node.isolation import Analyse
from tumorlens.node.node import Node, open_ledger
from tumorlens.node.status import dead_letters, retry, study_states, totals


def _three_kinds() -> Analyse:
    def run(paths: Sequence[Path], listener: Listener, _folder: Path) -> list[Dataset]:
        results = []
        for number, kind in enumerate(("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.30"), 1):
            (ds,) = pretend(paths, listener)
            ds.SOPClassUID, ds.SOPInstanceUID = kind, f"{ds.SOPInstanceUID[:50]}.{number}"
            results.append(ds)
        return results

    return run


def test_a_study_comes_in_and_its_result_goes_out(
    start_node: StartNode, archive: Archive, destination: dict[str, Any]
) -> None:
    node = start_node(destinations=[destination])
    deliver(node, study_of("whole", 4))
    until(node, done=1)
    assert list(archive.stored.values()) == [1]
    (name,) = (row[0] for row in node.ledger.rows("SELECT file FROM results"))
    assert pydicom.dcmread(node.spool.absolute(name)).SOPInstanceUID in archive.stored


def test_a_study_sent_twice_is_analysed_once(
    start_node: StartNode, archive: Archive, destination: dict[str, Any], tmp_path: Path
) -> None:
    node = start_node(destinations=[destination])
    for _ in range(2):
        deliver(node, study_of("twice", 3))
        until(node, done=1)
    assert totals(node.ledger)["sent again"] == 3
    assert list(archive.stored.values()) == [1]
    assert len((tmp_path / "analysed").read_text().splitlines()) == 1


def test_our_results_sent_back_to_us_start_nothing(
    start_node: StartNode, archive: Archive, destination: dict[str, Any]
) -> None:
    node = start_node(destinations=[destination])
    deliver(node, study_of("echo", 2))
    until(node, done=1)
    name = node.ledger.value("SELECT file FROM results")
    assert send(node.receiver.port, [node.spool.absolute(name)]) == [0x0000]
    assert totals(node.ledger)["instances"] == 2
    assert study_states(node.ledger)["done"] == 1


def test_a_destination_that_is_down_gets_its_results_when_it_comes_back(
    start_node: StartNode, destination: dict[str, Any]
) -> None:
    port = free_port()
    node = start_node(destinations=[destination | {"port": port}])
    deliver(node, study_of("down", 2))
    wait_for(lambda: (node.ledger.value("SELECT max(tries) FROM deliveries") or 0) >= 2)
    assert study_states(node.ledger)["sending"] == 1
    with Archive(port=port) as back:
        until(node, done=1)
        assert list(back.stored.values()) == [1]


def test_a_destination_that_answers_errors_gets_each_result_once_it_takes_them(
    start_node: StartNode, archive: Archive, destination: dict[str, Any]
) -> None:
    answers = iter([0xA700, 0xC000, 0x0000])
    archive.answer = lambda _: next(answers, 0x0000)
    node = start_node(destinations=[destination])
    deliver(node, study_of("errors", 2))
    until(node, done=1)
    assert list(archive.stored.values()) == [1]


def test_too_many_failures_are_dead_letters_and_hold_up_no_other_destination(
    start_node: StartNode, archive: Archive, destination: dict[str, Any]
) -> None:
    with Archive(answer=lambda _: 0xA700) as full:
        other = destination | {"name": "full", "port": full.port}
        settings = {"first": 0.02, "longest": 0.05, "tries": 3}
        node = start_node(destinations=[other, destination], retries=settings)
        deliver(node, study_of("dead", 2))
        until(node, dead=1)
        (letter,) = dead_letters(node.ledger)
        assert (letter.what, letter.reason) == ("delivery", "full: answered with status A700")
        wait_for(lambda: len(archive.stored) == 1)
        full.answer = lambda _: 0x0000
        retry(node.ledger)
        until(node, done=1)
        assert len(full.stored) == 1


def test_one_result_that_is_refused_holds_up_no_other(
    start_node: StartNode, archive: Archive, destination: dict[str, Any]
) -> None:
    archive.answer = lambda sop: 0xC000 if sop.endswith(".1") else 0x0000
    node = start_node(_three_kinds, destinations=[destination], retries={"first": 0.02, "longest": 0.05, "tries": 2})
    deliver(node, study_of("kinds", 2))
    until(node, dead=1)
    assert [sop[-2:] for sop in archive.stored] == [".2"]


def test_storage_commitment_is_waited_for(start_node: StartNode, destination: dict[str, Any], archive: Archive) -> None:
    node = start_node(destinations=[destination | {"commitment": True}])
    deliver(node, study_of("commitment", 2))
    wait_for(lambda: node.ledger.value("SELECT count(*) FROM deliveries WHERE state = 'sent' AND asked <> ''") == 1)
    assert study_states(node.ledger)["sending"] == 1
    # Never told, it asks again; then it is told.
    archive.commits_to = ("127.0.0.1", node.receiver.port, "TUMORLENS")
    node.ledger.write("UPDATE deliveries SET next_try = 0")
    until(node, done=1)
    assert list(archive.stored.values()) == [1]


def test_what_commitment_is_refused_for_is_sent_again(
    start_node: StartNode, destination: dict[str, Any], archive: Archive
) -> None:
    node = start_node(destinations=[destination | {"commitment": True, "commitment_seconds": 30}])
    archive.commits_to = ("127.0.0.1", node.receiver.port, "TUMORLENS")
    archive.answer = lambda sop: archive.lost.append(sop) or 0x0000 if not archive.stored else 0x0000  # type: ignore[func-returns-value]
    deliver(node, study_of("refused", 2))
    until(node, done=1)
    assert list(archive.stored.values()) == [2]


def test_sigterm_in_the_middle_ends_cleanly_and_nothing_is_lost(tmp_path: Path) -> None:
    with Archive() as archive:
        node = NodeProcess(tmp_path, archive.port, quiet_seconds=NEVER)
        node.start()
        with node.holding():
            accepted = send(node.port, study_of("term", 3))
            _complete(node)
            wait_for(lambda: node.states()["analysing"] == 1)
            assert node.end(signal.SIGTERM) == 0
        assert accepted == [0x0000] * 3
        assert "Traceback" not in node.log()
        node.start()
        wait_for(lambda: node.states()["done"] == 1)
        assert node.end(signal.SIGINT) == 0
        assert list(archive.stored.values()) == [1]


def test_only_one_node_runs_on_a_folder(start_node: StartNode, settings: dict[str, Any]) -> None:
    start_node()
    with pytest.raises(ConfigError, match="another node runs there"):
        Node(NodeConfig.model_validate(settings))


def test_associations_at_once_lose_nothing(
    start_node: StartNode, archive: Archive, destination: dict[str, Any]
) -> None:
    node = start_node(destinations=[destination])
    studies = [study_of(f"parallel {n}", 15) for n in range(4)]
    threads = [threading.Thread(target=send, args=(node.receiver.port, study)) for study in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    complete(node.ledger)
    until(node, done=4)
    assert totals(node.ledger)["instances"] == 60
    assert sorted(archive.stored.values()) == [1, 1, 1, 1]


def test_importing_the_command_line_does_not_import_the_network() -> None:
    script = "import sys, tumorlens.cli; sys.exit(any(m in sys.modules for m in ('pynetdicom', 'pydicom', 'httpx')))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_echo_is_answered_while_a_study_is_analysed(start_node: StartNode, tmp_path: Path) -> None:
    from tumorlens.node.config import DicomPeer

    node = start_node()
    (tmp_path / "hold").touch()
    deliver(node, study_of("busy", 2))
    until(node, analysing=1)
    peer = DicomPeer(name="n", host="127.0.0.1", port=node.receiver.port, ae_title="TUMORLENS", seconds=60)
    Peer("A", peer).echo()
    assert deliver(node, study_of("next", 2)) == [0, 0]
    (tmp_path / "hold").unlink()
    until(node, done=2)


def test_a_disk_that_is_really_full_is_said_to_the_sender_and_heals(tmp_path: Path) -> None:
    with Archive() as archive:
        node = NodeProcess(tmp_path, archive.port, quiet_seconds=NEVER)
        node.start()
        assert node.process is not None
        large = [make_instance("large", number, size=700) for number in (1, 2)]
        # The kernel lets the node write no file beyond 400 kB: each of these has 980.
        before = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (400_000, before_hard()))
        assert send(node.port, [*large, make_instance("small")]) == [0xA700, 0xA700, 0x0000]
        assert "the disk is full; the sender was told A700" in node.log()
        assert not list(node.folder.rglob("*.part"))
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, before)
        assert send(node.port, large) == [0x0000, 0x0000]
        _complete(node)
        wait_for(lambda: node.states()["done"] == 2)
        assert node.end() == 0
        assert len(archive.stored) == 2


def _complete(node: NodeProcess) -> None:
    ledger = open_ledger(node.folder)
    complete(ledger)
    ledger.close()


def before_hard() -> int:
    return resource.getrlimit(resource.RLIMIT_FSIZE)[1]
