"""The ledger: transactions that hold, studies that are complete when they are quiet, and counts for people."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tumorlens.errors import ConfigError
from tumorlens.node.ledger import Ledger, Revision
from tumorlens.node.status import STATES, dead_letters, retry, study_states, totals


def _receive(ledger: Ledger, *sops: str, study: str = "1") -> None:
    for sop in sops:
        ledger.add_instance(sop, study, f"{sop}.dcm", f"sha {sop}", None)


def test_it_is_whole_after_it_was_closed(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "state")
    _receive(first, "1.1")
    first.close()
    second = Ledger(tmp_path / "state")
    assert second.instance("1.1") is not None
    assert second.value("PRAGMA journal_mode") == "wal"
    assert second.value("PRAGMA synchronous") == 2  # FULL
    second.close()


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    def half() -> None:
        with ledger.transaction():
            _receive(ledger, "1.1")
            ledger.write("INSERT INTO revisions (study) VALUES ('1')")

    with pytest.raises(sqlite3.IntegrityError):
        half()
    assert ledger.instance("1.1") is None
    _receive(ledger, "1.2")  # and the next one holds
    assert ledger.instance("1.2") is not None


@pytest.mark.parametrize("content", [b"no database at all, by any means", None])
def test_a_file_that_is_no_state_of_ours_is_said(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "state"
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA user_version = 99")
        other.close()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError):
        Ledger(path)


def test_a_study_is_complete_when_it_was_quiet(ledger: Ledger) -> None:
    _receive(ledger, "1.1", "1.2")
    assert ledger.open_revisions(60) == []
    (revision,) = ledger.open_revisions(0)
    assert [i.sop for i in ledger.instances_of(revision)] == ["1.1", "1.2"]
    assert ledger.open_revisions(0) == []


def test_what_comes_later_is_the_next_revision(ledger: Ledger) -> None:
    _receive(ledger, "1.1")
    (first,) = ledger.open_revisions(0)
    _receive(ledger, "1.2")
    (second,) = ledger.open_revisions(0)
    assert (first.number, second.number) == (1, 2)
    assert [i.sop for i in ledger.instances_of(first)] == ["1.1"]
    assert [i.sop for i in ledger.instances_of(second)] == ["1.1", "1.2"]


def test_a_clock_that_was_set_back_holds_no_study(ledger: Ledger) -> None:
    _receive(ledger, "1.1")
    ledger.write("UPDATE studies SET last_received = ?", time.time() + 86_400)
    assert len(ledger.open_revisions(60)) == 1


def test_sending_it_again_keeps_a_study_open(ledger: Ledger) -> None:
    _receive(ledger, "1.1")
    ledger.write("UPDATE studies SET last_received = ?", time.time() - 100)
    ledger.count_repeat("1.1")
    assert ledger.open_revisions(60) == []


def test_silence_while_nobody_listened_means_nothing(ledger: Ledger) -> None:
    _receive(ledger, "1.1")
    ledger.write("UPDATE studies SET last_received = ?", time.time() - 100)
    ledger.resume()
    assert ledger.open_revisions(60) == []


def _revision(ledger: Ledger, study: str = "1") -> Revision:
    _receive(ledger, f"{study}.1", study=study)
    return next(revision for revision in ledger.open_revisions(0) if revision.study == study)


def test_what_was_being_analysed_waits_again(ledger: Ledger) -> None:
    revision = _revision(ledger)
    ledger.set_revision(revision, "analysing")
    assert ledger.resume() == 1
    assert ledger.value("SELECT state FROM revisions") == "waiting"
    again = ledger.next_revision()
    assert again is not None
    assert (again.id, again.tries) == (revision.id, 1)


def test_a_job_that_waits_for_its_next_try_is_not_due(ledger: Ledger) -> None:
    revision = _revision(ledger)
    ledger.set_revision(revision, "waiting", "failed", wait=100)
    assert ledger.next_revision() is None


def test_a_result_that_an_earlier_revision_made_is_not_sent_again(ledger: Ledger) -> None:
    first = _revision(ledger)
    ledger.add_results(first, "d1", [("9.1", "c", "f")], ["pacs"], "")
    _receive(ledger, "1.2")
    (second,) = ledger.open_revisions(0)
    ledger.add_results(second, "d2", [("9.1", "c", "f2"), ("9.2", "c", "f3")], ["pacs"], "")
    assert [row[0] for row in ledger.rows("SELECT result FROM deliveries ORDER BY result")] == ["9.1", "9.2"]
    assert ledger.value("SELECT file FROM results WHERE sop = '9.1'") == "f"


def test_the_same_instances_are_known(ledger: Ledger) -> None:
    first = _revision(ledger)
    ledger.add_results(first, "d1", [], [], "")
    _receive(ledger, "1.2")
    (second,) = ledger.open_revisions(0)
    assert ledger.analysed_before(second, "d1")
    assert not ledger.analysed_before(second, "d2")
    assert not ledger.analysed_before(first, "d1")


def test_counts_say_where_everything_stands(ledger: Ledger) -> None:
    _receive(ledger, "0.1", study="0")
    ledger.set_revision(_revision(ledger, "2"), "analysing")
    ledger.add_results(_revision(ledger, "3"), "d", [("9.1", "c", "f")], ["pacs"], "")
    ledger.set_revision(_revision(ledger, "4"), "dead", "why")
    _receive(ledger, "0.2", study="0")
    assert study_states(ledger) == {
        "receiving": 1,
        "waiting": 0,
        "analysing": 1,
        "sending": 1,
        "done": 0,
        "dead": 1,
    }
    assert tuple(study_states(ledger)) == STATES
    assert totals(ledger)["instances"] == 5
    assert totals(ledger)["to be delivered"] == 1


def test_every_kind_of_dead_letter_is_listed_and_can_be_tried_again(ledger: Ledger) -> None:
    ledger.add_results(_revision(ledger, "1"), "d", [("9.1", "c", "f")], ["pacs"], "")
    ledger.write("UPDATE deliveries SET state = 'dead', note = 'down'")
    ledger.close_revision(1)
    ledger.set_revision(_revision(ledger, "2"), "dead", "crashed")
    _receive(ledger, "3.1", study="3")
    ledger.bury_instance("3.1", "corrupt")
    ledger.add_instance("4.1", "", "f", "", "StudyInstanceUID is missing")
    ledger.write("INSERT INTO pulls (feed, study, state, note) VALUES ('f', 'x', 'dead', 'gone')")
    letters = dead_letters(ledger)
    assert [(x.what, x.reason) for x in letters] == [
        ("instance", "corrupt"),
        ("instance", "StudyInstanceUID is missing"),
        ("study", "crashed"),
        ("delivery", "down"),
        ("pull", "gone"),
    ]
    assert retry(ledger) == 5
    assert [x.reason for x in dead_letters(ledger)] == ["StudyInstanceUID is missing"]  # no study, no way on
    assert ledger.value("SELECT state FROM revisions WHERE id = 1") == "sending"
    assert {revision.study for revision in ledger.open_revisions(0)} == {"3"}


def test_many_threads_may_write(ledger: Ledger) -> None:
    def work(number: int) -> None:
        for i in range(20):
            _receive(ledger, f"{number}.{i}", study=str(number))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.value("SELECT count(*) FROM instances") == 80
