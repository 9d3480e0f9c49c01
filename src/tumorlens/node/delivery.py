"""Results out: each to each destination, until it says that it has them."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row
from typing import Protocol

from pydicom import Dataset
from pydicom.uid import generate_uid

from tumorlens.errors import PeerError
from tumorlens.node.config import DicomDestination, Retries, WebDestination
from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short
from tumorlens.node.spool import Spool

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outgoing:
    """A result on its way: SOPInstanceUID, SOPClassUID and file."""

    sop: str
    sop_class: str
    path: Path


class Sender(Protocol):
    """A way to a destination."""

    def send(self, results: Sequence[Outgoing], /) -> Iterator[tuple[Outgoing, str | None]]:
        """Sends results; gives after each why the destination does not have it, or None if it does.

        PeerError if the destination cannot be reached, or ends the talk; those not given yet are not there.
        """

    def ask_commitment(self, results: Sequence[Outgoing], transaction: str, /) -> None:
        """Asks for storage commitment of results that were sent; PeerError if the destination does not take it."""


def waiting_time(tries: int, retries: Retries) -> float:
    """Seconds until something that has failed so often, from 1, is tried again: exponential, with jitter, and a cap."""
    whole = min(retries.longest, retries.first * 2.0 ** min(tries - 1, 60))
    return whole * random.uniform(0.5, 1.0)


class Courier:
    """Brings the results that a ledger says are due to one destination, by its sender."""

    def __init__(
        self,
        destination: DicomDestination | WebDestination,
        sender: Sender,
        spool: Spool,
        ledger: Ledger,
        retries: Retries,
    ) -> None:
        self.name = destination.name
        self._commitment = isinstance(destination, DicomDestination) and destination.commitment
        self._patience = destination.commitment_seconds if isinstance(destination, DicomDestination) else 0.0
        self._sender, self._spool, self._ledger, self._retries = sender, spool, ledger, retries

    def step(self) -> bool:
        """Sends what is due, and asks for commitment of what was sent. Gives whether there was anything."""
        due = self._due("waiting")
        if due:
            self._send(due)
        owed = self._due("sent") if self._commitment else []
        if owed:
            self._ask(owed)
        return bool(due or owed)

    def _due(self, state: str) -> list[Row]:
        sql = (
            "SELECT d.*, r.sop_class, r.file FROM deliveries d JOIN results r ON r.sop = d.result "
            "WHERE d.destination = ? AND d.state = ? AND d.next_try <= ? ORDER BY d.id LIMIT 500"
        )
        return self._ledger.rows(sql, self.name, state, time.time())

    def _send(self, due: Sequence[Row]) -> None:
        left = {row["result"]: row for row in due}
        stored = 0
        try:
            for result, problem in self._sender.send([self._outgoing(row) for row in due]):
                row = left.pop(result.sop)
                if problem is None:
                    stored += 1
                    self._sent(row)
                else:
                    self._failed([row], problem)
        except PeerError as error:
            self._failed(list(left.values()), str(error))
        if stored:
            _LOG.info("delivered to %s: %d", self.name, stored)

    def _outgoing(self, row: Row) -> Outgoing:
        return Outgoing(row["result"], row["sop_class"], self._spool.absolute(row["file"]))

    def _sent(self, row: Row) -> None:
        with self._ledger.transaction():
            state = "sent" if self._commitment else "stored"
            self._ledger.write(
                "UPDATE deliveries SET state = ?, note = '', tries = 0, next_try = 0, asked = '' WHERE id = ?",
                *(state, row["id"]),
            )
            self._ledger.close_revision(row["revision"])

    def _failed(self, rows: Sequence[Row], problem: str) -> None:
        """Counts a failure of each; too many make dead letters."""
        if not rows:
            return
        with self._ledger.transaction():
            for row in rows:
                note_failure(self._ledger, "deliveries", row, row["state"], problem, self._retries)
        _LOG.warning("not delivered to %s: %d (%s)", self.name, len(rows), problem)

    def _ask(self, owed: Sequence[Row]) -> None:
        """Asks for commitment of what was sent; again, where no answer came in time."""
        self._failed([row for row in owed if row["asked"]], "it has not confirmed that it stores what was sent")
        transaction = generate_uid(prefix=None)
        with self._ledger.transaction():  # before it is asked: the answer may be quick
            open_rows = [
                row
                for row in owed
                if self._ledger.write(
                    "UPDATE deliveries SET asked = ?, next_try = ? WHERE id = ? AND state = 'sent'",
                    *(transaction, time.time() + self._patience, row["id"]),
                )
            ]
        if not open_rows:
            return
        try:
            self._sender.ask_commitment([self._outgoing(row) for row in open_rows], transaction)
        except PeerError as error:
            with self._ledger.transaction():
                fresh = self._ledger.rows("SELECT * FROM deliveries WHERE state = 'sent' AND asked = ?", transaction)
                self._ledger.write("UPDATE deliveries SET asked = '' WHERE state = 'sent' AND asked = ?", transaction)
            self._failed(fresh, str(error))


_NOTE = {
    "deliveries": "UPDATE deliveries SET state = ?, note = ?, tries = ?, next_try = ? WHERE id = ?",
    "pulls": "UPDATE pulls SET state = ?, note = ?, tries = ?, next_try = ? WHERE id = ?",
}


def note_failure(ledger: Ledger, table: str, row: Row, state: str, problem: str, retries: Retries) -> None:
    """Notes why a delivery or a pull failed: it waits in a state for its next try, or was tried too often."""
    tries = row["tries"] + 1
    dead = tries >= retries.tries
    next_try = time.time() + waiting_time(tries, retries)
    ledger.write(_NOTE[table], "dead" if dead else state, problem, tries, next_try, row["id"])
    if dead and table == "deliveries":
        ledger.close_revision(row["revision"])
        _LOG.error("result %s for %s is a dead letter: %s", short(row["result"]), row["destination"], problem)


class Commitments:
    """Takes what destinations say of storage commitment (PS3.4 J.3.3)."""

    def __init__(self, ledger: Ledger, retries: Retries) -> None:
        self._ledger, self._retries = ledger, retries

    def report(self, event: Dataset) -> None:
        """Notes which instances of a transaction are stored; those that are not will be sent again."""
        transaction = str(event.get("TransactionUID") or "-")
        stored = [str(item.ReferencedSOPInstanceUID) for item in event.get("ReferencedSOPSequence") or ()]
        failed = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or 0)
            for item in event.get("FailedSOPSequence") or ()
        }
        with self._ledger.transaction():
            rows = self._ledger.rows("SELECT * FROM deliveries WHERE asked = ? AND state = 'sent'", transaction)
            for row in rows:
                if row["result"] in stored:
                    self._ledger.write("UPDATE deliveries SET state = 'stored', note = '' WHERE id = ?", row["id"])
                elif row["result"] in failed:
                    problem = f"it does not store what was sent (failure reason {failed[row['result']]:04X})"
                    note_failure(self._ledger, "deliveries", row, "waiting", problem, self._retries)
            for revision in {row["revision"] for row in rows}:
                self._ledger.close_revision(revision)
        _LOG.info("storage commitment: %d stored, %d not", len(stored), len(failed))
