"""The small client of the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.web.conftest import Page
from tumorlens.errors import RequestRefused
from tumorlens.web.client import Client


@pytest.fixture
def client(shared_page: Page) -> Iterator[Client]:
    """A client that asks the page without a socket."""

    def carry(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        answer = shared_page.http.request(
            request.method,
            path,
            content=request.read(),
            headers={"Content-Type": request.headers.get("Content-Type", "")},
        )
        headers = {k: v for k, v in answer.headers.items() if k != "content-encoding"}
        return httpx.Response(answer.status_code, headers=headers, content=answer.content)

    with Client("http://localhost", transport=httpx.MockTransport(carry)) as asking:
        yield asking


def test_a_scan_a_case_a_word_a_report(client: Client, jpeg: bytes, archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (tmp_path / "s.zip").write_bytes(archive)
    assert client.find(tmp_path / "a.jpg").findings[0].label == "meningioma"
    case = client.read([tmp_path / "s.zip"], title="Tuesday")
    assert (case["title"], case["label"]) == ("Tuesday", "glioma")
    assert len(client.findings(case["id"]).findings) == 12
    assert case["id"] in {c["id"] for c in client.cases(text="tuesday")}
    client.say(case["id"], 2, "other", label="no_tumor", outline=[(0.1, 0.1), (0.2, 0.1), (0.2, 0.3)])
    client.report(case["id"], tmp_path / "r.pdf")
    client.report(case["id"], tmp_path / "r.html")
    client.export(tmp_path / "feedback.zip")
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    assert "Tuesday" in (tmp_path / "r.html").read_text("utf-8")
    assert (tmp_path / "feedback.zip").read_bytes().startswith(b"PK")
    client.delete(case["id"])
    with pytest.raises(RequestRefused, match="no such case") as refused:
        client.case(case["id"])
    assert refused.value.status == 404


def test_what_cannot_be_read_is_an_error_with_its_words(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(RequestRefused, match="no picture that we read"):
        client.find(tmp_path / "a.png")
    with pytest.raises(RequestRefused, match="no picture that we read"):
        client.read([tmp_path / "a.png"])


def test_a_page_that_is_not_there_is_said() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(RequestRefused, match="is it running"):
        client.cases()
