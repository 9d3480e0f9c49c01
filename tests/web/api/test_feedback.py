from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.web.conftest import Page

SQUARE = [[0.2, 0.2], [0.4, 0.2], [0.4, 0.5], [0.2, 0.5]]


def test_who_said_what_when_is_kept(page: Page, jpeg: bytes) -> None:
    case = page.read({"a.jpg": jpeg})["id"]
    first = page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "unsure", "comment": " hm "}).json()
    page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "other", "label": "glioma", "outline": SQUARE})
    said = page.get(f"/cases/{case}/feedback").json()

    assert [(f["verdict"], f["label"]) for f in said] == [("unsure", ""), ("other", "glioma")]
    assert said[0]["comment"] == "hm"
    assert said[0]["reader"] == first["reader"] != ""
    assert said[0]["said"] <= said[1]["said"]
    assert page.get(f"/cases/{case}").json()["verdict"] == "other"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ({"slice": 9, "verdict": "agree"}, 404),
        ({"slice": 1, "verdict": "other"}, 400),
        ({"slice": 1, "verdict": "other", "label": "cat"}, 400),
        ({"slice": 1, "verdict": "perhaps"}, 422),
        ({"slice": 1, "verdict": "agree", "outline": [[0.1, 0.1], [0.2, 0.2]]}, 400),
        ({"slice": 1, "verdict": "agree", "outline": [[0.1, 0.1], [0.2, 0.2], [1.5, 0.2]]}, 422),
        ({"slice": 1, "verdict": "agree", "comment": "x" * 5000}, 422),
        ({"slice": 1, "verdict": "agree", "comment": "a\0b"}, 422),
    ],
)
def test_a_word_that_makes_no_sense_is_refused(
    shared_page: Page, jpeg: bytes, word: dict[str, object], status: int
) -> None:
    case = shared_page.read({"a.jpg": jpeg})["id"]
    answer = shared_page.post(f"/cases/{case}/feedback", json=word)

    assert answer.status_code == status
    assert answer.json()["error"]
    assert shared_page.get(f"/cases/{case}/feedback").json() == []


def test_with_an_unknown_scan_nobody_can_agree(page: Page) -> None:
    file = io.BytesIO()
    Image.effect_noise((128, 128), 80).save(file, "PNG")
    case = page.read({"noise.png": file.getvalue()})["id"]
    refused = page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "agree"})
    assert refused.status_code == 400
    assert "no class to agree with" in refused.json()["error"]
    other = page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "other", "label": "glioma"})
    assert other.status_code == 201
