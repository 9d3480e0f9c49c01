"""Watching servers: each new study is pulled once it is whole, once, also over restarts and failures. No sockets."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from rehearsal.phantoms import make_instance
from tests.node.web_pacs import WebPacs
from tumorlens.node.config import Feed, Retries
from tumorlens.node.inbox import Inbox
from tumorlens.node.ledger import Ledger
from tumorlens.node.status import dead_letters, retry
from tumorlens.node.watch import OrthancServer, QidoServer, Watcher

RETRIES = Retries(tries=3, first=0.001, longest=0.001)
STUDY = str(make_instance("watched").StudyInstanceUID)


@pytest.fixture
def pacs() -> WebPacs:
    filled = WebPacs()
    for number in (1, 2, 3):
        filled.add(make_instance("watched", number))
    return filled


def _qido(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> Watcher:
    feed = Feed(name="pacs", url="http://pacs/dicom-web", kind="qido")
    return Watcher(feed, QidoServer(feed, ledger, pacs.transport), inbox, ledger, RETRIES)


def _orthanc(pacs: WebPacs, inbox: Inbox, ledger: Ledger, since: str = "beginning") -> Watcher:
    feed = Feed(name="orthanc", url="http://orthanc", kind="orthanc", since=since)
    return Watcher(feed, OrthancServer(feed, ledger, pacs.transport), inbox, ledger, RETRIES)


def _count(ledger: Ledger) -> int:
    return int(ledger.value("SELECT count(*) FROM instances"))


def test_a_study_that_no_longer_grows_is_pulled_once(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> None:
    watcher = _qido(pacs, inbox, ledger)
    watcher.step()
    assert _count(ledger) == 0  # it may still be growing
    watcher.step()
    assert _count(ledger) == 3
    asked = pacs.asked("/instances")
    _qido(pacs, inbox, ledger).step()  # another start
    assert pacs.asked("/instances") == asked


def test_only_studies_of_the_last_days_are_asked_for(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> None:
    asked: list[str] = []
    pacs.fault = lambda request: asked.append(request.url.params.get("StudyDate", ""))
    _qido(pacs, inbox, ledger).step()
    assert asked == [f"{dt.date.today() - dt.timedelta(days=2):%Y%m%d}-"]


def test_what_a_study_grew_by_is_pulled_alone(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> None:
    watcher = _qido(pacs, inbox, ledger)
    watcher.step()
    watcher.step()
    pacs.add(make_instance("watched", 4))
    pacs.requests.clear()
    watcher.step()
    watcher.step()
    assert _count(ledger) == 4
    assert sum(path.endswith(str(make_instance("watched", 4).SOPInstanceUID)) for _, path in pacs.requests) == 1
    assert not any(path.endswith(f"studies/{STUDY}") for _, path in pacs.requests)


def test_our_own_results_at_the_server_are_not_pulled(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> None:
    watcher = _qido(pacs, inbox, ledger)
    watcher.step()
    watcher.step()
    result = make_instance("watched", 99)
    ledger.write("INSERT INTO results VALUES (?, 1, '', '')", str(result.SOPInstanceUID))
    pacs.add(result)
    watcher.step()
    watcher.step()
    assert _count(ledger) == 3


def test_a_corrupt_instance_costs_itself_only(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> None:
    pacs.add(make_instance("watched", 4), b"\0" * 128 + b"DICM" + b"\xff" * 50)
    watcher = _qido(pacs, inbox, ledger)
    watcher.step()
    watcher.step()
    assert _count(ledger) == 4
    assert [letter.what for letter in dead_letters(ledger)] == ["instance"]


def test_a_server_that_is_down_is_asked_again(
    pacs: WebPacs, inbox: Inbox, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.fault = lambda _: httpx.Response(503)
    watcher = _qido(pacs, inbox, ledger)
    watcher.step()
    assert "answered with HTTP 503" in caplog.text
    pacs.fault = lambda _: None
    watcher.step()
    watcher.step()
    assert _count(ledger) == 3


def test_a_study_that_cannot_be_pulled_is_a_dead_letter_and_holds_up_no_other(
    pacs: WebPacs, inbox: Inbox, ledger: Ledger
) -> None:
    pacs.add(make_instance("other", 1))
    pacs.fault = lambda request: httpx.Response(500) if STUDY in request.url.path else None
    watcher = _qido(pacs, inbox, ledger)
    for _ in range(6):
        watcher.step()
        ledger.write("UPDATE pulls SET next_try = 0")
    assert _count(ledger) == 1
    (letter,) = dead_letters(ledger)
    assert (letter.what, letter.uid) == ("pull", STUDY)
    pacs.fault = lambda _: None
    retry(ledger, [letter.id])
    watcher.step()
    assert _count(ledger) == 4


def test_orthancs_stable_studies_are_pulled(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> None:
    pacs.change("NewStudy", STUDY)
    watcher = _orthanc(pacs, inbox, ledger)
    watcher.step()
    assert _count(ledger) == 0
    pacs.change("StableStudy", STUDY)
    watcher.step()
    assert _count(ledger) == 3


def test_a_long_list_of_changes_is_read_to_its_end_and_on_from_there(
    pacs: WebPacs, inbox: Inbox, ledger: Ledger
) -> None:
    for _ in range(250):
        pacs.change("NewInstance", "x")
    pacs.change("StableStudy", STUDY)
    _orthanc(pacs, inbox, ledger).step()
    assert _count(ledger) == 3
    pacs.requests.clear()
    _orthanc(pacs, inbox, ledger).step()  # another start
    assert pacs.asked("changes") == 1
    assert ledger.value("SELECT position FROM feeds") == "251"


def test_orthancs_past_is_left_alone_unless_it_is_asked_for(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> None:
    pacs.change("StableStudy", STUDY)
    watcher = _orthanc(pacs, inbox, ledger, since="now")
    watcher.step()
    assert _count(ledger) == 0
    pacs.change("StableStudy", STUDY)
    watcher.step()
    assert _count(ledger) == 3


def test_a_kill_in_the_middle_of_a_pull_repeats_it(pacs: WebPacs, inbox: Inbox, ledger: Ledger) -> None:
    class Killed(BaseException):
        pass

    pacs.change("StableStudy", STUDY)
    calls = 0

    def fault(request: httpx.Request) -> httpx.Response | None:
        nonlocal calls
        calls += request.url.path.endswith("/file")
        if calls == 2:
            raise Killed
        return None

    pacs.fault = fault
    with pytest.raises(Killed):
        _orthanc(pacs, inbox, ledger).step()
    assert _count(ledger) == 1
    pacs.fault = lambda _: None
    _orthanc(pacs, inbox, ledger).step()
    assert _count(ledger) == 3


@pytest.mark.parametrize("content", [b"", b"[]", b'{"Last": "x"}', b'{"Changes": [1], "Last": 1}'])
def test_nonsense_from_orthanc_is_logged_and_asked_again(
    pacs: WebPacs, inbox: Inbox, ledger: Ledger, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    pacs.fault = lambda _: httpx.Response(200, content=content)
    _orthanc(pacs, inbox, ledger).step()
    assert "cannot look for new studies" in caplog.text
