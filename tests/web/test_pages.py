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
