from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.web.conftest import Page


def test_the_audit_log_takes_no_change(page: Page, jpeg: bytes) -> None:
    case = page.read({"Jane Doe.jpg": jpeg}, title="Jane Doe")["id"]
    page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "agree", "comment": "Jane Doe"})
    page.get(f"/cases/{case}/report.pdf")
    log = page.get("/audit").json()

    actions = [line["action"] for line in log["lines"][::-1]]
    assert actions == ["case.created", "file.uploaded", "case.started", "case.done", "feedback.added", "report.made"]
    assert log["broken"] is None
    assert "Doe" not in str(log)
    for statement in ("UPDATE events SET who = 'x'", "DELETE FROM events"):
        with pytest.raises(DBAPIError, match="append-only"), page.parts.store.database.session() as session:
            session.execute(text(statement))


def test_a_forged_line_is_found(page: Page) -> None:
    if page.settings.database:
        pytest.skip("forged in SQLite's file")
    for _ in range(3):
        page.post("/cases", json={})
    with sqlite3.connect(page.settings.home / "tumorlens.db") as database:
        database.execute("DROP TRIGGER events_UPDATE")
        database.execute("UPDATE events SET who = 'somebody' WHERE id = 2")

    assert page.get("/audit").json()["broken"] == 2
