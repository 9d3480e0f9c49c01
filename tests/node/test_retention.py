"""What was done long ago goes; what is not done, or could not be, stays."""

from __future__ import annotations

import io
import time

import pytest

from rehearsal.phantoms import make_instance
from tumorlens.node.inbox import Inbox, Taken
from tumorlens.node.ledger import Ledger
from tumorlens.node.retention import forget_old
from tumorlens.node.spool import Spool


def _content(study: str) -> bytes:
    buffer = io.BytesIO()
    make_instance(study).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def studies(inbox: Inbox, ledger: Ledger, spool: Spool) -> dict[str, str]:
    """Four studies, by what is the matter with them; all but "new" came ten days ago."""
    uids = {}
    for name in ("done", "new", "sending", "dead"):
        inbox.take(_content(name))
        uids[name] = str(make_instance(name).StudyInstanceUID)
    for revision in ledger.open_revisions(0):
        result = f"{revision.study}.9"[:60]
        (spool.results / f"{result}.dcm").write_bytes(b"result")
        destinations = ["pacs"] if revision.study == uids["sending"] else []
        ledger.add_results(revision, "d", [(result, "c", f"results/{result}.dcm")], destinations, "")
    ledger.write("UPDATE studies SET last_received = ?", time.time() - 10 * 86_400)
    ledger.write("UPDATE studies SET last_received = ? WHERE uid = ?", time.time(), uids["new"])
    ledger.write("UPDATE instances SET dead = 'corrupt' WHERE study = ?", uids["dead"])
    return uids


def test_only_what_is_done_and_old_goes(ledger: Ledger, spool: Spool, studies: dict[str, str]) -> None:
    assert not forget_old(spool, ledger, 7)
    left = {row[0] for row in ledger.rows("SELECT study FROM instances")}
    assert left == {studies["new"], studies["sending"], studies["dead"]}
    assert len(list(spool.files())) == 3
    assert len(list(spool.results.iterdir())) == 3


def test_a_result_is_still_known_as_ours(inbox: Inbox, ledger: Ledger, spool: Spool, studies: dict[str, str]) -> None:
    forget_old(spool, ledger, 7)
    assert ledger.is_result(f"{studies['done']}.9"[:60])


def test_a_study_that_comes_again_is_taken_again(
    inbox: Inbox, ledger: Ledger, spool: Spool, studies: dict[str, str]
) -> None:
    forget_old(spool, ledger, 7)
    assert inbox.take(_content("done")) is Taken.NEW
    (revision,) = ledger.open_revisions(0)
    assert (revision.study, revision.number) == (studies["done"], 2)
    assert inbox.take_up_strays() == 0
