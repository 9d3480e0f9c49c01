"""The pages stand by themselves: nothing is loaded from elsewhere, and the first one is small."""

from __future__ import annotations

import gzip
import re

import pytest

from tests.web.conftest import Page
from tumorlens.web.pages import HERE

SCRIPT = re.compile(r"from \"\./([a-z]+\.js)\"")


@pytest.mark.parametrize("path", ["/", "/model", "/how-to-read", "/api"])
def test_pages_say_what_they_are_and_load_nothing_from_elsewhere(shared_page: Page, path: str) -> None:
    answer = shared_page.http.get(path)

    assert answer.status_code == 200
    assert "Research use only" in answer.text
    assert "<html lang=" in answer.text
    assert not re.search(r"(src|href)=\"(https?:)?//", answer.text)
    assert "style=" not in answer.text  # the policy would block it
    assert not re.search(r"<script(?![^>]*src=)", answer.text)


def test_the_model_page_shows_scores_with_intervals_and_what_is_missing(shared_page: Page) -> None:
    text = shared_page.http.get("/model").text

    assert "95% interval" in text
    score = shared_page.parts.card.scores["accuracy"]
    assert f"{score['value']:.3f}" in text
    assert f"{score['low']:.3f}–{score['high']:.3f}" in text
    assert "never tested on" in text


def test_the_first_page_is_below_200_kb(shared_page: Page) -> None:
    html = shared_page.http.get("/").text
    wanted = set(re.findall(r"/static/([^\"?]+)", html))
    queue = list(wanted)
    while queue:
        found = SCRIPT.findall((HERE / "static" / queue.pop()).read_text("utf-8"))
        queue += [f for f in found if f not in wanted]
        wanted |= set(found)
    size = len(gzip.compress(html.encode())) + sum(
        len(gzip.compress((HERE / "static" / w).read_bytes())) for w in wanted
    )

    assert {"style.css", "common.js", "room.js", "uploads.js"} <= wanted
    assert size < 200_000
    assert shared_page.http.get("/static/room.js").headers["content-encoding"] == "gzip"


def test_metrics_count_and_name_nobody(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.read({"Jane.jpg": jpeg}, title="Jane")["id"]
    shared_page.post("/findings", params={"name": "Jane"}, content=jpeg)
    text = shared_page.http.get("/metrics").text

    assert 'tumorlens_findings_total{label="meningioma"} 1.0' in text
    assert 'tumorlens_cases_total{status="done"} 1.0' in text
    assert "tumorlens_workers 1.0" in text
    assert case not in text
    assert "Jane" not in text


def test_logs_name_nobody(shared_page: Page, jpeg: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "tumorlens.web"):
        shared_page.read({"Jane.jpg": jpeg}, title="Jane")
        shared_page.get("/cases", params={"text": "Jane"})
        shared_page.post("/findings", params={"name": "Jane.png"}, content=b"Jane")
    lines = [str(vars(record)) for record in caplog.records if record.name.startswith("tumorlens")]

    assert len(lines) > 5
    assert not [line for line in lines if "Jane" in line]


def test_errors_are_logged_without_their_words() -> None:
    import sys

    from tumorlens.web.logs import _Formatter

    try:
        raise ValueError("Jane Doe")
    except ValueError:
        said = _Formatter("{message}", style="{").formatException(sys.exc_info())
    assert said.startswith("ValueError at test_pages.py:")
    assert "Doe" not in said
