from __future__ import annotations

from sqlalchemy import text

from tests.web.conftest import PASSWORD, Page, token


def test_passwords_and_tokens_are_not_in_the_database(guarded: Page) -> None:
    shown = token(guarded, "jane")["Authorization"].removeprefix("Bearer ")
    with guarded.parts.store.database.session() as session:
        everything = str([list(session.execute(text(f"SELECT * FROM {t}"))) for t in ("accounts", "tokens", "visits")])
    assert shown not in everything
    assert PASSWORD not in everything
    assert "$argon2id$" in everything
