from __future__ import annotations

from collections.abc import Callable

import pytest
from limits import parse

from tests.web.conftest import PASSWORD, Page, token
from tumorlens.web.accounts import Accounts
from tumorlens.web.database import Database
from tumorlens.web.security import COOKIE
from tumorlens.web.settings import Settings


def test_logging_in_and_out(guarded: Page) -> None:
    assert guarded.post("/login", json={"name": "jane", "password": "wrong wrong wrong"}).status_code == 401
    assert guarded.post("/login", json={"name": "nobody", "password": PASSWORD}).status_code == 401
    answer = guarded.post("/login", json={"name": "jane", "password": PASSWORD})

    assert answer.json() == {"name": "jane", "role": "reader", "accounts": True}
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert guarded.get("/me").json()["name"] == "jane"
    assert guarded.http.get("/").status_code == 200
    kept = guarded.http.cookies[COOKIE]
    guarded.post("/logout")
    guarded.http.cookies.set(COOKIE, kept)
    assert guarded.get("/me").status_code == 401


def test_cookies_travel_by_https_alone_where_there_is_https(
    open_page: Callable[..., Page], make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(accounts=True, https=True)
    settings.prepare()
    database = Database(settings.database_url)
    database.migrate()
    Accounts(database).add("ann", PASSWORD, "admin")
    database.close()
    page = open_page(settings)

    answer = page.post("/login", json={"name": "ann", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_a_token_is_its_account_until_it_ends(guarded: Page, jpeg: bytes) -> None:
    jane = token(guarded, "jane")
    case = guarded.post("/cases", json={}, headers=jane).json()
    assert case["owner"] == "jane"
    (listed,) = guarded.get("/tokens", headers=jane).json()
    assert guarded.http.delete(f"/api/v1/tokens/{listed['id']}", headers=token(guarded, "joe")).status_code == 404
    assert guarded.http.delete(f"/api/v1/tokens/{listed['id']}", headers=jane).status_code == 204

    assert guarded.get("/cases", headers=jane).status_code == 401


def test_another_password_ends_visits_and_tokens(guarded: Page) -> None:
    jane, joe = token(guarded, "jane"), token(guarded, "joe")
    guarded.post("/login", json={"name": "jane", "password": PASSWORD})
    assert guarded.get("/me").status_code == 200
    guarded.parts.accounts.set_password("jane", "another password")
    assert guarded.get("/me").status_code == 401
    assert guarded.get("/cases", headers=jane).status_code == 401
    assert guarded.get("/cases", headers=joe).status_code == 200


def test_a_token_makes_no_token_and_who_logs_in_does(guarded: Page) -> None:
    asked = {"purpose": "more", "days": 3650}
    assert guarded.post("/tokens", json=asked, headers=token(guarded, "jane")).status_code == 403
    guarded.post("/login", json={"name": "jane", "password": PASSWORD})
    assert guarded.post("/tokens", json=asked).status_code == 201


def test_readers_are_not_admins(guarded: Page) -> None:
    jane, joe, ann = (token(guarded, name) for name in ("jane", "joe", "ann"))
    case = guarded.post("/cases", json={}, headers=jane).json()["id"]

    assert guarded.http.delete(f"/api/v1/cases/{case}", headers=joe).status_code == 403
    for path in ("/accounts", "/audit"):
        assert guarded.get(path, headers=jane).status_code == 403
        assert guarded.get(path, headers=ann).status_code == 200
    new = {"name": "eve", "password": PASSWORD, "role": "admin"}
    assert guarded.post("/accounts", json=new, headers=jane).status_code == 403
    assert guarded.post("/accounts", json=new, headers=ann).status_code == 403  # what it makes would outlive the token
    guarded.post("/login", json={"name": "ann", "password": PASSWORD})
    assert guarded.post("/accounts", json=new).status_code == 201
    assert guarded.post("/accounts", json=new).status_code == 400
    assert guarded.http.delete("/api/v1/accounts/eve", headers=ann).status_code == 204
    assert guarded.http.delete("/api/v1/accounts/ann", headers=ann).status_code == 400  # the last admin
    assert guarded.http.delete(f"/api/v1/cases/{case}", headers=ann).status_code == 204
    assert "secret" not in guarded.get("/accounts", headers=ann).text


def test_passwords_cannot_be_tried_for_long(guarded: Page, open_page: Callable[..., Page]) -> None:
    page = open_page(guarded.settings.model_copy(update={"login_rate": "3/minute"}))
    statuses = [page.post("/login", json={"name": "jane", "password": "x" * 12}).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_a_password_is_not_tried_for_long_from_many_addresses(
    guarded: Page, open_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tumorlens.web.accounts._TRIES", parse("3/hour"))
    page = open_page(guarded.settings.model_copy(update={"login_rate": "1000/minute"}))
    right, wrong = ({"name": "jane", "password": password} for password in (PASSWORD, "x" * 12))
    assert [page.post("/login", json=right).status_code for _ in range(5)] == [200] * 5  # who knows it is not counted
    assert [page.post("/login", json=wrong).status_code for _ in range(4)] == [401] * 3 + [429]
    assert page.post("/login", json=right).status_code == 429
    assert page.post("/login", json={"name": "joe", "password": PASSWORD}).status_code == 200
