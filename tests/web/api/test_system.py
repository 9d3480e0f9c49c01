"""What the page says of itself."""

from typing import Any

import pytest

from tests.web.conftest import READS_PHANTOMS, Page


def test_the_card_is_that_of_the_weights_that_answer(shared_page: Page) -> None:
    assert shared_page.get("/weights").json()["name"] == READS_PHANTOMS


def test_the_api_s_description_is_made_once(shared_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shared_page.get("/openapi.json")
    assert first.headers["content-type"] == "application/json"
    assert "/api/v1/cases/{case_id}" in first.json()["paths"]

    def again() -> None:
        raise AssertionError

    monkeypatch.setattr(shared_page.app, "openapi", again)
    assert shared_page.get("/openapi.json").content == first.content


def test_health_tells_how_many_workers_run(shared_page: Page) -> None:
    assert shared_page.http.get("/healthz").json() == {"status": "ok", "workers": 1}


def test_without_a_database_the_page_is_not_well(shared_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(shared_page.parts.store.database, "session", gone)
    answer = shared_page.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"error": "the database does not answer"})


def test_without_a_worker_the_page_is_not_well(shared_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(shared_page.parts.pool), "alive", 0)
    answer = shared_page.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"error": "no worker runs"})


def test_metrics_are_for_readers_alone(guarded: Page) -> None:
    assert guarded.http.get("/metrics").status_code == 401
    assert guarded.http.get("/healthz").status_code == 200
