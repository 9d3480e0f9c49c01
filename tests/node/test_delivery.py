"""Couriers: what is due is sent, failures wait longer and longer, and none waits for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from tumorlens.errors import PeerError
from tumorlens.node.config import DicomDestination, Retries
from tumorlens.node.delivery import Commitments, Courier, Outgoing, waiting_time
from tumorlens.node.ledger import Ledger, Revision
from tumorlens.node.spool import Spool

RETRIES = Retries(tries=3, first=10, longest=100)
DESTINATION = DicomDestination(name="pacs", host="h", port=1, ae_title="P")


class _Sender:
    """A destination that has so many bad moments, and then takes everything."""

    def __init__(self, *problems: str | Exception | None) -> None:
        self.problems = list(problems)
        self.sent: list[str] = []
        self.asked: list[str] = []

    def send(self, results: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, str | None]]:
        for result in results:
            problem = self.problems.pop(0) if self.problems else None
            if isinstance(problem, Exception):
                raise problem
            if problem is None:
                self.sent.append(result.sop)
            yield result, problem

    def ask_commitment(self, _results: Sequence[Outgoing], transaction: str) -> None:
        self.asked.append(transaction)
        if self.problems and isinstance(problem := self.problems.pop(0), Exception):
            raise problem


@pytest.fixture
def revision(ledger: Ledger) -> Revision:
    """A revision that is sending the results 1.1 and 1.2."""
    ledger.add_instance("1.0", "1", "file", "", None)
    (opened,) = ledger.open_revisions(0)
    ledger.add_results(opened, "digest", [("1.1", "1.9", "a.dcm"), ("1.2", "1.9", "b.dcm")], ["pacs"], "")
    return opened


def _states(ledger: Ledger) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in ledger.rows("SELECT result, state, tries FROM deliveries ORDER BY result")]


def _state_of(ledger: Ledger, revision: Revision) -> str:
    return str(ledger.value("SELECT state FROM revisions WHERE id = ?", revision.id))


def _courier(ledger: Ledger, spool: Spool, sender: _Sender, **changes: Any) -> Courier:
    return Courier(DESTINATION.model_copy(update=changes), sender, spool, ledger, RETRIES)


def test_what_is_sent_is_sent_once(ledger: Ledger, spool: Spool, revision: Revision) -> None:
    sender = _Sender()
    courier = _courier(ledger, spool, sender)
    assert courier.step()
    assert not courier.step()
    assert sender.sent == ["1.1", "1.2"]
    assert _state_of(ledger, revision) == "done"


def test_one_that_is_refused_waits_and_the_other_does_not(ledger: Ledger, spool: Spool, revision: Revision) -> None:
    sender = _Sender("refused")
    courier = _courier(ledger, spool, sender)
    courier.step()
    assert _states(ledger) == [("1.1", "waiting", 1), ("1.2", "stored", 0)]
    assert not courier.step()  # it is not due
    assert _state_of(ledger, revision) == "sending"
    ledger.write("UPDATE deliveries SET next_try = 0")
    courier.step()
    assert sender.sent == ["1.2", "1.1"]
    assert _state_of(ledger, revision) == "done"


def test_a_destination_that_cannot_be_reached_counts_for_all(ledger: Ledger, spool: Spool, revision: Revision) -> None:
    before = time.time()
    _courier(ledger, spool, _Sender(PeerError("pacs: no association"))).step()
    assert _states(ledger) == [("1.1", "waiting", 1), ("1.2", "waiting", 1)]
    due = ledger.value("SELECT min(next_try) FROM deliveries")
    assert due >= before + 5


def test_after_too_many_tries_it_is_a_dead_letter(ledger: Ledger, spool: Spool, revision: Revision) -> None:
    courier = _courier(ledger, spool, _Sender(*[PeerError("pacs: down")] * 3))
    for _ in range(3):
        ledger.write("UPDATE deliveries SET next_try = 0")
        courier.step()
    assert {state for _, state, _ in _states(ledger)} == {"dead"}
    assert _state_of(ledger, revision) == "dead"


def _report(transaction: str, stored: Sequence[str] = (), failed: Sequence[str] = ()) -> Dataset:
    def items(uids: Sequence[str]) -> list[Dataset]:
        made = []
        for uid in uids:
            item = Dataset()
            item.ReferencedSOPInstanceUID, item.FailureReason = uid, 0x0112
            made.append(item)
        return made

    said = Dataset()
    said.TransactionUID = transaction
    said.ReferencedSOPSequence, said.FailedSOPSequence = items(stored), items(failed)
    return said


def test_commitment_ends_a_delivery_and_refusal_repeats_it(ledger: Ledger, spool: Spool, revision: Revision) -> None:
    sender = _Sender()
    _courier(ledger, spool, sender, commitment=True).step()
    assert [state for _, state, _ in _states(ledger)] == ["sent", "sent"]
    (transaction,) = sender.asked
    commitments = Commitments(ledger, RETRIES)
    commitments.report(_report("1.2.3", ["1.1", "1.2"]))
    assert [state for _, state, _ in _states(ledger)] == ["sent", "sent"]
    commitments.report(_report(transaction, ["1.1"], ["1.2"]))
    assert _states(ledger) == [("1.1", "stored", 0), ("1.2", "waiting", 1)]
    assert _state_of(ledger, revision) == "sending"


def test_an_answer_that_never_comes_is_asked_for_again(ledger: Ledger, spool: Spool, revision: Revision) -> None:
    sender = _Sender()
    courier = _courier(ledger, spool, sender, commitment=True)
    for _ in range(4):
        ledger.write("UPDATE deliveries SET next_try = 0")
        courier.step()
    assert len(set(sender.asked)) == 3
    assert {state for _, state, _ in _states(ledger)} == {"dead"}


def test_a_question_that_is_not_taken_waits(ledger: Ledger, spool: Spool, revision: Revision) -> None:
    sender = _Sender(None, None, PeerError("pacs: answered with status 0110"))
    _courier(ledger, spool, sender, commitment=True).step()
    assert _states(ledger) == [("1.1", "sent", 1), ("1.2", "sent", 1)]
    assert ledger.value("SELECT count(*) FROM deliveries WHERE asked = ''") == 2


@given(st.integers(1, 10_000))
def test_waiting_grows_has_jitter_and_a_cap(tries: int) -> None:
    seconds = waiting_time(tries, RETRIES)
    assert 5 <= seconds <= 100
    assert seconds <= 10 * 2.0 ** min(tries - 1, 60)


def test_a_destination_of_no_results_is_not_bothered(ledger: Ledger, spool: Spool) -> None:
    sender = _Sender(PeerError("must not be called"))
    assert not _courier(ledger, spool, sender).step()
    assert Path(spool.folder).exists()


def test_after_a_restart_commitment_is_asked_for_again_at_once(
    ledger: Ledger, spool: Spool, revision: Revision
) -> None:
    sender = _Sender()
    courier = _courier(ledger, spool, sender, commitment=True)
    courier.step()
    ledger.resume()
    courier.step()
    first, second = sender.asked
    Commitments(ledger, RETRIES).report(_report(first, ["1.1"]))
    Commitments(ledger, RETRIES).report(_report(second, ["1.1", "1.2"]))
    assert _states(ledger) == [("1.1", "stored", 0), ("1.2", "stored", 0)]
    assert _state_of(ledger, revision) == "done"
