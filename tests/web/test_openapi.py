"""The API does as its OpenAPI document says, whatever it is sent, and never fails by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from tests.web.conftest import READS_PHANTOMS, Server
from tumorlens.web.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, jpeg: bytes, module_database: str) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("openapi")
    running = Server(Settings(home=home, weights=READS_PHANTOMS, workers=1, database=module_database))
    with httpx2.Client(base_url=f"{running.address}/api/v1") as api:
        case = api.post("/cases", json={}).json()["id"]
        api.put(f"/cases/{case}/files", content=jpeg)
        api.post(f"/cases/{case}/start")
    yield running
    running.kill()


def test_no_request_makes_the_server_fail(server: Server) -> None:
    schema = schemathesis.openapi.from_url(f"{server.address}/api/v1/openapi.json")
    asked: dict[str, set[int]] = {}
    for result in schema.exclude(path_regex="/events$").get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def ask(case: schemathesis.Case[Any]) -> None:
            answer = case.call()
            asked.setdefault(case.operation.label, set()).add(answer.status_code)
            assert answer.status_code < 500, answer.text

        ask()

    assert len(asked) > 25
    assert any(200 in statuses for statuses in asked.values())
