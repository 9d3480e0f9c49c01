from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from tests.web.conftest import Page


def test_nothing_is_shown_to_strangers(guarded: Page, jpeg: bytes) -> None:
    document = guarded.app.openapi()
    asked = 0
    for path, methods in document["paths"].items():
        for method in methods:
            if path in ("/healthz", "/api/v1/login"):
                continue
            address = path.format_map(defaultdict(lambda: "1"))
            answer = guarded.http.request(method, address, json={} if method in ("post", "patch") else None)
            assert answer.status_code == 401, (method, path, answer.status_code)
            asked += 1
    assert asked > 25
    home = guarded.http.get("/", follow_redirects=False)
    assert (home.status_code, home.headers["location"]) == (303, "/login?next=/")
    assert guarded.get("/cases", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert guarded.http.get("/healthz").json()["status"] == "ok"


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

    def endless() -> Iterator[bytes]:
        yield b"{"

    assert shared_page.post("/cases", content=endless()).status_code == 413


def test_rates_are_limited(open_page: Callable[..., Page]) -> None:
    page = open_page(rate="20/minute")
    statuses = [page.get("/me").status_code for _ in range(25)]
    assert (statuses.count(200), statuses.count(429)) == (20, 5)
