"""Who may send what back to the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.web.conftest import PASSWORD, Page, token
from tumorlens.web.accounts import Accounts
from tumorlens.web.database import Database
from tumorlens.web.settings import Settings
from tumorlens.web.tables import DONE, Case, Feedback, Slice


def test_a_case_that_was_uploaded_has_nobody_to_go_to(page: Page, jpeg: bytes) -> None:
    case = page.read({"a.jpg": jpeg})["id"]
    page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "agree"})
    assert page.get(f"/cases/{case}/sendings").json() == []
    assert page.post(f"/cases/{case}/sendings", json={}).status_code == 409


def test_only_who_logged_in_can_vouch(
    open_page: Callable[..., Page], make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings(accounts=True, exchange=tmp_path / "shared")
    settings.prepare()
    database = Database(settings.database_url)
    database.migrate()
    Accounts(database).add("ann", PASSWORD, "admin")
    with database.session() as session:
        session.add(Case(id="0123", title="a", owner="node", origin="90a47f5ba6-001", status=DONE))
        session.flush()
        session.add(Slice(case_id="0123", number=1, content={"handed": 1}))
        session.add(Feedback(case_id="0123", slice=1, reader="ann", verdict="unsure", label=""))
    database.close()
    page = open_page(settings)
    by_token = page.post("/cases/0123/sendings", json={"verified": True}, headers=token(page, "ann"))
    assert by_token.status_code == 403
    assert "logged in with a password" in by_token.json()["error"]
    assert page.post("/cases/0123/sendings", json={}, headers=token(page, "ann")).json()["verified"] is False
    page.post("/login", json={"name": "ann", "password": PASSWORD})
    assert page.post("/cases/0123/sendings", json={"verified": True}).json()["verified"] is True
    assert len(list((tmp_path / "shared" / "assessments").iterdir())) == 2


def test_without_accounts_nobody_can_vouch(open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(exchange=tmp_path / "shared")
    with page.parts.store.database.session() as session:
        session.add(Case(id="0123", title="a", owner="node", origin="90a47f5ba6-001", status=DONE))
    assert page.post("/cases/0123/sendings", json={"verified": True}).status_code == 403
