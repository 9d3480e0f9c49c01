from __future__ import annotations

from tests.web.conftest import Page


def test_metrics_count_and_name_nobody(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.read({"Jane.jpg": jpeg}, title="Jane")["id"]
    shared_page.post("/findings", params={"name": "Jane"}, content=jpeg)
    text = shared_page.http.get("/metrics").text

    assert 'tumorlens_findings_total{label="meningioma"} 1.0' in text
    assert 'tumorlens_cases_total{status="done"} 1.0' in text
    assert "tumorlens_workers 1.0" in text
    assert case not in text
    assert "Jane" not in text
