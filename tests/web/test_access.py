"""Who may ask for what, and what no other site may do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from limits import parse
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from tests.web.conftest import Page
from tumorlens.cli import app
from tumorlens.errors import ConfigError
from tumorlens.web.accounts import Accounts
from tumorlens.web.app import create_app
from tumorlens.web.database import Database
from tumorlens.web.security import COOKIE
from tumorlens.web.settings import Settings

PASSWORD = "correct horse battery"


@pytest.fixture
def guarded(open_page: Callable[..., Page], make_settings: Callable[..., Settings]) -> Page:
    """A page that asks for accounts, with jane (reader), joe (reader) and ann (admin)."""
    settings = make_settings(accounts=True, host="127.0.0.1", login_rate="1000/minute")
    settings.prepare()
    database = Database(settings.database_url)
    database.migrate()
    accounts = Accounts(database)
    for name, role in (("jane", "reader"), ("joe", "reader"), ("ann", "admin")):
        accounts.add(name, PASSWORD, role)
    database.close()
    return open_page(settings)


def token(page: Page, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {page.parts.accounts.add_token(name, 'a test')}"}


def test_nothing_is_shown_to_strangers(guarded: Page, jpeg: bytes) -> None:
    document = guarded.app.openapi()
    asked = 0
    for path, methods in document["paths"].items():
        for method in methods:
            if path in ("/healthz", "/api/v1/login"):
                continue
            address = path.format(case_id="0123", number=1, label="glioma", part="scan", name="jane", token_id="x")
            answer = guarded.http.request(method, address, json={} if method in ("post", "patch") else None)
            assert answer.status_code == 401, (method, path, answer.status_code)
            asked += 1
    assert asked > 25
    home = guarded.http.get("/", follow_redirects=False)
    assert (home.status_code, home.headers["location"]) == (303, "/login?next=/")
    assert guarded.get("/cases", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert guarded.http.get("/healthz").json()["status"] == "ok"


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
    guarded.parts.accounts.set_password("jane", "another password")
    assert guarded.get("/cases", headers=jane).status_code == 401
    assert guarded.get("/cases", headers=joe).status_code == 200


def test_a_token_makes_no_token_and_who_logs_in_does(guarded: Page) -> None:
    asked = {"purpose": "more", "days": 3650}
    assert guarded.post("/tokens", json=asked, headers=token(guarded, "jane")).status_code == 403
    guarded.post("/login", json={"name": "jane", "password": PASSWORD})
    assert guarded.post("/tokens", json=asked).status_code == 201


def test_another_readers_case_is_looked_at_and_not_changed(guarded: Page, jpeg: bytes) -> None:
    jane, joe, ann = (token(guarded, name) for name in ("jane", "joe", "ann"))
    case = f"/cases/{guarded.post('/cases', json={}, headers=jane).json()['id']}"
    assert guarded.get(case, headers=joe).status_code == 200
    for reader, statuses in ((joe, {403}), (jane, {200, 201, 202}), (ann, {200, 409})):
        answers = [
            guarded.http.patch(f"/api/v1{case}", json={"title": "mine"}, headers=reader),
            guarded.http.put(f"/api/v1{case}/files", content=jpeg, headers=reader),
            guarded.post(f"{case}/start", headers=reader),
        ]
        assert {answer.status_code for answer in answers} == statuses


def test_a_password_is_not_tried_for_long_from_many_addresses(
    guarded: Page, open_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tumorlens.web.accounts._TRIES", parse("3/hour"))
    page = open_page(guarded.parts.settings.model_copy(update={"login_rate": "1000/minute"}))
    wrong = {"name": "jane", "password": "x" * 12}
    statuses = [page.post("/login", json=wrong).status_code for _ in range(4)]
    assert statuses == [401] * 3 + [429]
    assert page.post("/login", json={"name": "joe", "password": PASSWORD}).status_code == 200


def test_the_database_is_for_its_owner_alone(guarded: Page) -> None:
    files = list(guarded.parts.settings.home.glob("tumorlens.db*"))
    assert {path.stat().st_mode & 0o777 for path in files} <= {0o600}


def test_the_page_knows_the_address_it_is_bound_to(make_settings: Callable[..., Settings]) -> None:
    assert "127.0.0.2" in make_settings(host="127.0.0.2").allowed_hosts
    assert make_settings(host="127.0.0.1").allowed_hosts == ("127.0.0.1", "localhost", "[::1]")


def test_readers_are_not_admins(guarded: Page) -> None:
    jane, joe, ann = (token(guarded, name) for name in ("jane", "joe", "ann"))
    case = guarded.post("/cases", json={}, headers=jane).json()["id"]

    assert guarded.http.delete(f"/api/v1/cases/{case}", headers=joe).status_code == 403
    for path in ("/accounts", "/audit"):
        assert guarded.get(path, headers=jane).status_code == 403
        assert guarded.get(path, headers=ann).status_code == 200
    new = {"name": "eve", "password": PASSWORD, "role": "admin"}
    assert guarded.post("/accounts", json=new, headers=jane).status_code == 403
    assert guarded.post("/accounts", json=new, headers=ann).status_code == 201
    assert guarded.post("/accounts", json=new, headers=ann).status_code == 400
    assert guarded.http.delete("/api/v1/accounts/eve", headers=ann).status_code == 204
    assert guarded.http.delete("/api/v1/accounts/ann", headers=ann).status_code == 400  # the last admin
    assert guarded.http.delete(f"/api/v1/cases/{case}", headers=ann).status_code == 204
    assert "secret" not in guarded.get("/accounts", headers=ann).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
)
def test_another_site_changes_nothing(shared_page: Page, headers: dict[str, str]) -> None:
    assert shared_page.post("/cases", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}]
)
def test_our_own_page_and_programs_may(shared_page: Page, headers: dict[str, str]) -> None:
    assert shared_page.post("/cases", json={}, headers=headers).status_code == 201


def test_a_rebound_name_is_refused(shared_page: Page) -> None:
    assert shared_page.get("/cases", headers={"Host": "evil.example"}).status_code == 400
    assert shared_page.get("/cases", headers={"Host": "127.0.0.1:8000"}).status_code == 200


def test_every_answer_has_its_headers(shared_page: Page) -> None:
    for path in ("/", "/api/v1/cases", "/nowhere", "/static/style.css", "/api/v1/cases/x"):
        headers = shared_page.http.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "unsafe-eval" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_bodies_that_are_no_uploads_are_small(shared_page: Page) -> None:
    assert shared_page.post("/cases", content=b'{"title": "' + b"x" * 2_000_000 + b'"}').status_code == 413

    def endless() -> Iterator[bytes]:  # type: ignore[no-untyped-def]
        yield b"{"

    assert shared_page.post("/cases", content=endless()).status_code == 413


def test_rates_are_limited(open_page: Callable[..., Page]) -> None:
    page = open_page(rate="20/minute")
    statuses = [page.get("/me").status_code for _ in range(25)]
    assert (statuses.count(200), statuses.count(429)) == (20, 5)


def test_passwords_cannot_be_tried_for_long(guarded: Page, open_page: Callable[..., Page]) -> None:
    page = open_page(guarded.settings.model_copy(update={"login_rate": "3/minute"}))
    statuses = [page.post("/login", json={"name": "jane", "password": "x" * 12}).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_passwords_and_tokens_are_not_in_the_database(guarded: Page) -> None:
    shown = token(guarded, "jane")["Authorization"].removeprefix("Bearer ")
    with guarded.parts.store.database.session() as session:
        everything = str([list(session.execute(text(f"SELECT * FROM {t}"))) for t in ("accounts", "tokens", "visits")])
    assert shown not in everything
    assert PASSWORD not in everything
    assert "$argon2id$" in everything


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


def test_another_address_takes_accounts(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigError, match="--accounts"):
        create_app(make_settings(host="0.0.0.0"))
    with pytest.raises(ConfigError, match="tumorlens accounts add"):
        create_app(make_settings(host="0.0.0.0", accounts=True))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "in the clear"),
        (["--host", "0.0.0.0", "--insecure-http", "--no-accounts"], "takes accounts"),
        (["--host", "0.0.0.0", "--insecure-http"], "nobody could log in"),
        (["--tls-key", "key.pem"], "go together"),
        (["--tls-key", "no.pem", "--tls-certificate", "no.pem"], "no such file"),
        (["--proxy", "127.0.0.1", "--no-accounts"], "let everybody in"),
        (["--database", "mysql://x/y"], "postgresql://"),
        (["--database", "postgresql://u:secret@127.0.0.1:1/x"], "cannot be reached"),
        (["--weights", "nothing"], "nothing"),
    ],
)
def test_serve_says_what_is_wrong_with_how_it_is_run(
    tmp_path: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUMORLENS_DATABASE", raising=False)
    result = CliRunner().invoke(app, ["serve", "--home", str(tmp_path / "home"), "--no-open", *arguments])

    assert result.exit_code != 0
    assert words in str(result.exception)
    assert "secret" not in str(result.exception)


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "--home", str(tmp_path), "--port", port, "--no-open"])
    assert "choose another --port" in str(result.exception)


def test_accounts_from_the_command_line(tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["accounts", *arguments, "--home", str(tmp_path)])

    (tmp_path / "password").write_text(PASSWORD + "\n")
    given = ("--password-file", str(tmp_path / "password"))
    assert run("add", "ann", "--role", "admin", *given).exit_code == 0
    assert run("add", "jane", *given).exit_code == 0
    assert "ann" in run("list").stdout
    assert run("token", "jane").stdout.startswith("tl_")
    assert run("password", "jane", *given).exit_code == 0
    assert "an account jane already" in str(run("add", "jane", *given).exception)
    assert "no account" in str(run("remove", "joe").exception)
    assert "last admin" in str(run("remove", "ann").exception)
    assert run("remove", "jane").exit_code == 0
    (tmp_path / "short").write_text("short")
    assert "shorter than 12" in str(run("add", "eve", "--password-file", str(tmp_path / "short")).exception)
