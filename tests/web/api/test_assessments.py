"""Drafts and assessments, as the API takes them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from rehearsal.kills import wait_for
from tests.web.conftest import READS_PHANTOMS, Page, Server, token
from tumorlens.web.client import Client
from tumorlens.web.settings import Settings

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


def _keep(page: Page, case: str, version: int, number: int = 1, **typed: Any) -> Any:
    return page.http.put(f"/api/v1/cases/{case}/slices/{number}/draft", json={"version": version, **typed})


def _drafts(page: Page, case: str) -> dict[int, Any]:
    return {d["slice"]: d for d in page.get(f"/cases/{case}/standing").json()["drafts"]}


def test_a_draft_is_kept_slice_by_slice(page: Page, archive: bytes) -> None:
    case = page.read({"s.zip": archive})["id"]
    assert _keep(page, case, 0, number=2, comment="half a sen", outline=SQUARE).json()["version"] == 1
    assert _keep(page, case, 1, number=2, verdict="other", comment="half a sentence").json()["version"] == 2
    assert _keep(page, case, 0, number=3, verdict="agree").status_code == 200
    drafts = _drafts(page, case)
    assert drafts[2]["content"] == {"verdict": "other", "label": "", "comment": "half a sentence", "outline": []}
    assert drafts[3]["content"]["verdict"] == "agree"
    assert page.get(f"/cases/{case}/feedback").json() == []  # nothing of it was said yet


def test_saving_ends_the_draft_and_counts_it_on(page: Page, jpeg: bytes) -> None:
    case = page.read({"a.jpg": jpeg})["id"]
    _keep(page, case, 0, comment="x")
    saved = page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "unsure", "version": 1})
    assert saved.status_code == 201
    assert (_drafts(page, case)[1]["version"], _drafts(page, case)[1]["content"]) == (2, None)


def test_the_later_of_two_tabs_is_told(page: Page, jpeg: bytes) -> None:
    case = page.read({"a.jpg": jpeg})["id"]
    _keep(page, case, 0, comment="the first tab's")
    for late in (
        _keep(page, case, 0, comment="the second tab's"),
        page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "agree", "version": 0}),
        page.http.delete(f"/api/v1/cases/{case}/slices/1/draft", params={"version": 0}),
    ):
        assert late.status_code == 409
        assert "another tab" in late.json()["error"]
    assert _drafts(page, case)[1]["content"]["comment"] == "the first tab's"
    assert page.get(f"/cases/{case}/feedback").json() == []
    # Also where the other tab has saved, or thrown its draft away: it is not as if nothing had been there.
    assert page.http.delete(f"/api/v1/cases/{case}/slices/1/draft", params={"version": 1}).json()["content"] is None
    assert _keep(page, case, 0, comment="the second tab's").status_code == 409
    assert _keep(page, case, 2, comment="the second tab's").status_code == 200


def test_drafts_are_their_readers_own(guarded: Page, jpeg: bytes) -> None:
    jane, joe = token(guarded, "jane"), token(guarded, "joe")
    case = guarded.post("/cases", json={}, headers=jane).json()["id"]
    guarded.http.put(f"/api/v1/cases/{case}/files", params={"name": "a.jpg"}, content=jpeg, headers=jane)
    guarded.post(f"/cases/{case}/start", headers=jane)
    wait_for(lambda: guarded.get(f"/cases/{case}", headers=jane).json()["status"] == "done")
    path = f"/api/v1/cases/{case}/slices/1/draft"
    assert guarded.http.put(path, json={"version": 0, "comment": "jane's"}, headers=jane).status_code == 200
    assert guarded.http.put(path, json={"version": 0, "comment": "joe's"}, headers=joe).status_code == 200
    for who, text in ((jane, "jane's"), (joe, "joe's")):
        (draft,) = guarded.get(f"/cases/{case}/standing", headers=who).json()["drafts"]
        assert draft["content"]["comment"] == text


def test_progress_counts_the_suspicious_slices_that_one_has_assessed(page: Page, archive: bytes) -> None:
    case = page.read({"s.zip": archive})
    suspicious = case["study"]["suspected"]
    others = [n for n in range(1, 13) if n not in suspicious]
    assert suspicious
    assert others
    for number in (suspicious[0], others[0]):
        page.post(f"/cases/{case['id']}/feedback", json={"slice": number, "verdict": "unsure"})
    standing = page.get(f"/cases/{case['id']}/standing").json()
    assert (standing["suspicious"], standing["yours"]) == (suspicious, suspicious[:1])
    (said,) = standing["assessed"][str(others[0])].values()
    assert said == "unsure"


@pytest.mark.parametrize("typed", [{"verdict": "perhaps"}, {"outline": [[2, 2]]}, {"comment": "a\0b"}, {"cat": 1}])
def test_a_draft_that_makes_no_sense_is_refused(shared_page: Page, jpeg: bytes, typed: dict[str, Any]) -> None:
    case = shared_page.read({"a.jpg": jpeg})["id"]
    assert _keep(shared_page, case, 0, **typed).status_code == 422
    assert _keep(shared_page, case, 0, number=9).status_code == 404
    assert _drafts(shared_page, case) == {}


def test_a_draft_outlives_a_server_that_is_killed(tmp_path: Path, jpeg: bytes, new_database: Callable[[], str]) -> None:
    server = Server(Settings(home=tmp_path / "home", weights=READS_PHANTOMS, workers=1, database=new_database()))
    try:
        with Client(server.address) as client:
            (tmp_path / "a.jpg").write_bytes(jpeg)
            case = client.read([tmp_path / "a.jpg"])["id"]
        at = f"{server.address}/api/v1/cases/{case}"
        httpx2.put(f"{at}/slices/1/draft", json={"version": 0, "comment": "a ring, I th"})
        server.kill()
        server.start()
        (draft,) = httpx2.get(f"{at}/standing").json()["drafts"]
        assert (draft["version"], draft["content"]["comment"]) == (1, "a ring, I th")
    finally:
        server.kill()
