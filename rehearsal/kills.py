"""Kills a node with SIGKILL at every stage of a study, starts it again, and counts what was lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from rehearsal.archive import Archive, send
from rehearsal.phantoms import make_instance
from tumorlens.errors import PeerError
from tumorlens.node.config import DicomPeer
from tumorlens.node.dimse import Peer
from tumorlens.node.ledger import Ledger
from tumorlens.node.node import open_ledger
from tumorlens.node.status import study_states

STAGES = ("receiving", "waiting", "analysing", "sending", "confirming", "at any time")
"""Where the node is killed."""

NEVER = 3600.0
"""Seconds that no rehearsal lasts: a node that waits for so long takes a study for complete when `complete` says so."""

_CHECKOUT = Path(__file__).parents[1]
_PATIENCE = 120.0  # seconds for anything to happen at all
_ANSWER = 2.0  # seconds for the answer of a node that may be dead


@dataclass(frozen=True)
class Counts:
    """What came of a rehearsal with a kill.

    Attributes:
        stage: Where the node was killed.
        kills: How often.
        sent: Instances that were sent, in all tries.
        accepted: Different instances that the node answered with success.
        kept: Of these, those that it has in the end.
        studies: How many there were.
        analysed: Analyses that came to an end.
        stored: Different results that the archive has.
        repeats: C-STOREs of a result that the archive had already.
        grown: Revisions beyond one a study: a sender whom a kill held up for longer than the quiet time sent the rest
            when the study had been taken for complete.
        doubled: Results beyond one a revision.
        lost: Instances that were accepted and not kept, and studies without a result.
    """

    stage: str
    kills: int
    sent: int
    accepted: int
    kept: int
    studies: int
    analysed: int
    stored: int
    repeats: int
    grown: int
    doubled: int
    lost: int


class NodeProcess:
    """A node whose analysis pretends, in a process of its own.

    Args:
        folder: For its configuration, its state, and what controls it.
        archive: Port of the archive that it sends to; 0 for none.
        commitment: Whether it asks the archive for storage commitment.
        settings: Further settings of node.yaml.
    """

    def __init__(self, folder: Path, archive: int = 0, /, *, commitment: bool = False, **settings: object) -> None:
        self.folder, self.control = folder / "node", folder / "control"
        self.control.mkdir(parents=True)
        self.port = free_port()
        self._config = folder / "node.yaml"
        destination = {
            "name": "archive",
            "host": "127.0.0.1",
            "port": archive,
            "ae_title": "ARCHIVE",
            "commitment": commitment,
        }
        content = {
            "folder": str(self.folder),
            "port": self.port,
            "quiet_seconds": 0.5,
            "destinations": [destination] if archive else [],
            "retries": {"first": 0.2, "longest": 1},
        }
        self._config.write_text(yaml.safe_dump(content | settings))
        self._log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it answers a C-ECHO."""
        command = [sys.executable, "-m", "rehearsal", str(self._config), str(self.control)]
        path = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": path}
            )
        peer = Peer("REHEARSAL", DicomPeer(name="node", host="127.0.0.1", port=self.port, ae_title="TUMORLENS"))

        def answers() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"the node ended: {self.log()[-2000:]}")
            try:
                peer.echo()
            except PeerError:
                return False
            return True

        wait_for(answers)

    def kill(self) -> None:
        """SIGKILL."""
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ends it with a signal; gives its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text()

    def states(self) -> dict[str, int]:
        """How many studies are at each stage."""
        ledger = open_ledger(self.folder)
        try:
            return study_states(ledger)
        finally:
            ledger.close()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """While in the block, no analysis comes to an end."""
        hold = self.control / "hold"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def analysed(self) -> int:
        """How many analyses have come to an end."""
        path = self.control / "analysed"
        return len(path.read_text().splitlines()) if path.exists() else 0


def kill_at(stage: str, folder: Path, *, slices: int = 12, studies: int = 3, kills: int = 6, seed: int = 0) -> Counts:
    """Rehearses studies with a kill.

    Args:
        stage: One of `STAGES`.
        folder: An empty folder.
        slices: Instances a study.
        studies: How many.
        kills: How often, at any time.
        seed: For the moments of those.
    """
    with Archive() as archive:
        # A study whose sending a kill interrupts must not be taken for complete before it goes on.
        quiet = 8.0 if stage == "at any time" else NEVER
        node = NodeProcess(folder, archive.port, commitment=stage == "confirming", quiet_seconds=quiet)
        rehearsal = _Rehearsal(node, archive, slices, studies)
        try:
            node.start()
            if stage == "at any time":
                rehearsal.at_any_time(kills, seed)
            else:
                rehearsal.once(stage)
            rehearsal.see_to_the_end()
            return rehearsal.count(stage, kills if stage == "at any time" else 1)
        finally:
            if node.process is not None and node.process.poll() is None:
                node.end()


class _Rehearsal:
    """Studies on their way through a node, and what became of them."""

    def __init__(self, node: NodeProcess, archive: Archive, slices: int, studies: int) -> None:
        self.node, self.archive = node, archive
        self.studies = [[make_instance(f"study {s}", i + 1) for i in range(slices)] for s in range(studies)]
        self.accepted: set[str] = set()
        self.sent = 0

    def send(self, number: int, most: int | None = None) -> None:
        """Sends a study, or its first instances, as a modality does: those that were not accepted, again."""
        instances = [i for i in self.studies[number] if str(i.SOPInstanceUID) not in self.accepted][:most]
        statuses = send(self.node.port, instances, seconds=_ANSWER)
        self.sent += sum(status >= 0 for status in statuses)
        self.accepted |= {str(i.SOPInstanceUID) for i, s in zip(instances, statuses, strict=True) if s == 0}

    def send_all(self) -> None:
        for number in range(len(self.studies)):
            self.send(number)

    def once(self, stage: str) -> None:
        """Kills the node once, at a stage."""
        node = self.node
        if stage == "receiving":
            killer = threading.Timer(0.25, node.kill)
            killer.start()
            while node.process is not None and node.process.poll() is None:
                self.send_all()
                time.sleep(0.01)
            killer.join()
        elif stage == "sending":
            self._kill_while_sending()
        elif stage == "confirming":
            self._kill_while_confirming()
            return
        else:
            with node.holding():
                self.send_all()
                self.complete()
                wanted = {"analysing": 1, "waiting": len(self.studies) - 1}
                wait_for(lambda: all(node.states()[state] == n for state, n in wanted.items()))
                node.kill()
        node.start()
        self.send_all()
        self.complete()

    def see_to_the_end(self) -> None:
        """Waits until all studies are done: however long it takes, as long as it goes on."""

        def goes_on(done: int) -> bool:
            return self.node.states()["done"] != done

        while (done := self.node.states()["done"]) != len(self.studies):
            wait_for(partial(goes_on, done))

    def complete(self) -> None:
        """Has the node take what it was sent for complete."""
        ledger = open_ledger(self.node.folder)
        try:
            complete(ledger)
        finally:
            ledger.close()

    def _kill_while_sending(self) -> None:
        arrived, go_on = threading.Event(), threading.Event()

        def hold(_sop: str) -> int:
            arrived.set()
            go_on.wait(_PATIENCE)
            return 0x0000

        self.archive.answer = hold
        self.send_all()
        self.complete()
        if not arrived.wait(_PATIENCE):
            raise TimeoutError("nothing was sent")
        self.node.kill()
        # The archive stores what it was sent, and its answer finds nobody.
        self.archive.answer = lambda _: 0x0000
        go_on.set()

    def _kill_while_confirming(self) -> None:
        """The archive confirms, in an association of its own, when the node that asked is no more."""
        asked, go_on = Counter[str](), threading.Event()

        def hold() -> None:
            asked["times"] += 1
            go_on.wait(_PATIENCE)

        self.archive.commits_to = ("127.0.0.1", self.node.port, "TUMORLENS")
        self.archive.before_report = hold
        self.send_all()
        self.complete()
        wait_for(lambda: len(self.archive.stored) == len(self.studies) and asked["times"] > 0)
        wait_for(lambda: self.node.states()["sending"] == len(self.studies))
        self.node.kill()
        self.node.start()
        go_on.set()

    def at_any_time(self, kills: int, seed: int) -> None:
        """Kills the node again and again, while studies come in and results go out."""
        chance = random.Random(seed)
        done = threading.Event()

        def keep_sending() -> None:
            for number, study in enumerate(self.studies):
                while not {str(i.SOPInstanceUID) for i in study} <= self.accepted:
                    self.send(number)
                    time.sleep(0.05)
                if done.wait(0.2):
                    return

        sender = threading.Thread(target=keep_sending)
        sender.start()
        try:
            for _ in range(kills):
                time.sleep(chance.uniform(0.05, 1.5))
                self.node.kill()
                self.node.start()
        finally:
            done.set()
            sender.join()
        self.send_all()

    def count(self, stage: str, kills: int) -> Counts:
        """What came of it."""
        ledger = open_ledger(self.node.folder)
        try:
            kept = {row[0] for row in ledger.rows("SELECT sop FROM instances WHERE dead IS NULL")}
            revisions = ledger.value("SELECT count(*) FROM revisions")
            missing = [f for (f,) in ledger.rows("SELECT file FROM instances") if not (self.node.folder / f).exists()]
        finally:
            ledger.close()
        stored, studies = len(self.archive.stored), len(self.studies)
        return Counts(
            stage,
            kills,
            self.sent,
            len(self.accepted),
            len(self.accepted & kept) - len(missing),
            studies,
            self.node.analysed(),
            stored,
            sum(self.archive.stored.values()) - stored,
            revisions - studies,
            max(0, stored - revisions),
            len(self.accepted - kept) + len(missing) + max(0, studies - stored),
        )


def complete(ledger: Ledger) -> None:
    """Has the studies that came be taken for complete, as if nothing of them had come for long.

    Else a pause of the sender, on a busy machine, would cut a study in two.
    """
    ledger.write("UPDATE studies SET last_received = ? WHERE last_seq > upto", time.time() - 2 * NEVER)


def wait_for(what: Callable[[], object], seconds: float = _PATIENCE) -> None:
    """Waits until something is so.

    Raises:
        TimeoutError: If it never is.
    """
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise TimeoutError("it did not come to that")
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port of this machine that nobody listens on, and that no outgoing connection is given meanwhile."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
