"""The inbox: bytes as they were sent, once, whatever they are; on a full disk nothing, and nothing half."""

from __future__ import annotations

import errno
import io
import os
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehearsal.phantoms import make_instance
from tumorlens.node.inbox import Inbox, Taken
from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short
from tumorlens.node.spool import Spool


def _bytes(study: str = "inbox", number: int = 1, **elements: Any) -> bytes:
    buffer = io.BytesIO()
    make_instance(study, number, **elements).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _sop(number: int = 1) -> str:
    return str(make_instance("inbox", number).SOPInstanceUID)


def test_the_bytes_are_kept_as_they_were_sent(inbox: Inbox, ledger: Ledger, spool: Spool) -> None:
    content = _bytes()
    assert inbox.take(content, _sop()) is Taken.NEW
    row = ledger.instance(_sop())
    assert row is not None
    assert spool.absolute(row["file"]).read_bytes() == content
    assert row["study"] == make_instance("inbox").StudyInstanceUID


def test_the_same_instance_again_changes_nothing(inbox: Inbox, ledger: Ledger, spool: Spool) -> None:
    inbox.take(_bytes(), _sop())
    # Another sender's file meta information is no other content.
    assert inbox.take(_bytes().replace(b"PYDICOM", b"ANOTHER"), _sop()) is Taken.REPEAT
    row = ledger.instance(_sop())
    assert row is not None
    assert row["repeats"] == 1
    assert len(list(spool.files())) == 1


def test_other_content_under_the_same_uid_is_logged_and_the_first_is_kept(
    inbox: Inbox, ledger: Ledger, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.take(_bytes(), _sop())
    assert inbox.take(_bytes(PatientID="OTHER"), _sop()) is Taken.DIFFERENT
    (path,) = spool.files()
    assert path.read_bytes() == _bytes()
    assert short(_sop()) in caplog.text
    assert "OTHER" not in caplog.text
    assert _sop() not in caplog.text


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"StudyInstanceUID": None}, "StudyInstanceUID is missing"),
        ({"StudyInstanceUID": "no uid"}, "StudyInstanceUID is no UID"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_instance_without_a_study_is_a_dead_letter(
    inbox: Inbox, ledger: Ledger, elements: dict[str, Any], reason: str
) -> None:
    assert inbox.take(_bytes(**elements), _sop()) is Taken.DEAD
    row = ledger.instance(_sop())
    assert row is not None
    assert row["dead"] == reason


def test_an_instance_under_another_name_is_a_dead_letter(inbox: Inbox, ledger: Ledger) -> None:
    assert inbox.take(_bytes(), "1.2.3") is Taken.DEAD
    assert ledger.rows("SELECT dead FROM instances")[0][0] == "SOPInstanceUID is not the one it was announced with"


def test_a_good_instance_takes_the_place_of_a_dead_letter(inbox: Inbox, ledger: Ledger, spool: Spool) -> None:
    assert inbox.take(_bytes()[:150], _sop()) is Taken.DEAD
    assert inbox.take(_bytes(), _sop()) is Taken.NEW
    assert [row["dead"] for row in ledger.rows("SELECT dead FROM instances")] == [None]
    (path,) = spool.files()
    assert path.read_bytes() == _bytes()


def test_two_who_send_the_same_at_once_are_both_answered(inbox: Inbox, ledger: Ledger) -> None:
    taken: list[Taken] = []
    threads = [threading.Thread(target=lambda: taken.append(inbox.take(_bytes(), _sop()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(t.name for t in taken) == ["NEW"] + ["REPEAT"] * 7
    assert ledger.value("SELECT count(*) FROM instances") == 1


def test_our_own_results_are_not_taken(inbox: Inbox, ledger: Ledger, spool: Spool) -> None:
    ledger.write("INSERT INTO results VALUES (?, 1, '', '')", _sop())
    assert inbox.take(_bytes(), _sop()) is Taken.OURS
    assert list(spool.files()) == []


def test_files_that_a_kill_left_without_a_record_are_taken_up(inbox: Inbox, ledger: Ledger, spool: Spool) -> None:
    inbox.take(_bytes(number=1), _sop(1))
    part = spool.coming / "half.part"
    (stray := spool.place_of(_sop(2))).parent.mkdir(exist_ok=True)
    stray.write_bytes(_bytes(number=2))
    part.write_bytes(_bytes(number=3)[:100])
    spool.tidy()
    assert inbox.take_up_strays() == 1
    assert ledger.value("SELECT count(*) FROM instances WHERE dead IS NULL") == 2
    assert inbox.take_up_strays() == 0
    assert not part.exists()


def test_a_full_disk_leaves_nothing_half(
    inbox: Inbox, ledger: Ledger, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        inbox.take(_bytes(), _sop())
    monkeypatch.undo()
    assert [p for p in spool.received.rglob("*") if p.is_file()] == []
    assert ledger.instance(_sop()) is None
    assert inbox.take(_bytes(), _sop()) is Taken.NEW


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_sent_is_kept_or_known_and_nothing_crashes(
    inbox: Inbox, ledger: Ledger, spool: Spool, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(["random", "mutated", "cut"]))
    content = bytearray(_bytes(size=16))
    if kind == "random":
        content = bytearray(data.draw(st.binary(max_size=600)))
    elif kind == "cut":
        del content[data.draw(st.integers(0, len(content))) :]
    else:
        for _ in range(data.draw(st.integers(1, 10))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    sop = data.draw(st.none() | st.just(_sop()) | st.text(max_size=70))
    before = ledger.value("SELECT count(*) FROM instances")
    taken = inbox.take(bytes(content), sop)
    after = ledger.value("SELECT count(*) FROM instances")
    assert after == before or taken in (Taken.NEW, Taken.DEAD)
    assert len(list(spool.files())) == ledger.value("SELECT count(*) FROM instances")
