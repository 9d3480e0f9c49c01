from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.web.conftest import Page


def test_the_worklist_is_searched_filtered_and_sorted(page: Page, jpeg: bytes, archive: bytes) -> None:
    first = page.read({"one.jpg": jpeg}, title="Tuesday's 100% case")
    second = page.read({"s.zip": archive}, title="another")
    broken = page.read({"broken.png": b"not a picture"})

    def ids(**query: object) -> list[str]:
        answer = page.get("/cases", params=query)
        assert answer.status_code == 200, answer.text
        return [c["id"] for c in answer.json()["cases"]]

    assert ids() == [broken["id"], second["id"], first["id"]]
    assert ids(text="TUESDAY") == ids(text="100%") == [first["id"]]
    assert ids(text="_") == []
    assert ids(label="meningioma", status="done") == [first["id"]]
    assert ids(status="failed") == [broken["id"]]
    assert ids(status="done", sort="title") == [second["id"], first["id"]]
    by_doubt = page.get("/cases", params={"sort": "uncertainty", "status": "done"}).json()["cases"]
    assert [c["uncertainty"] for c in by_doubt] == sorted((c["uncertainty"] for c in by_doubt), reverse=True)
    assert page.get("/cases", params={"limit": 1, "offset": 1}).json()["total"] == 3
    page.post(f"/cases/{first['id']}/feedback", json={"slice": 1, "verdict": "unsure", "comment": "Look again"})
    assert ids(verdict="unsure") == ids(verdict="any") == ids(text="look AGAIN") == [first["id"]]
    assert first["id"] not in ids(verdict="none")


def test_a_case_is_started_but_once_whoever_asks_at_the_same_moment(page: Page, jpeg: bytes) -> None:
    case = page.new_case({"one.jpg": jpeg})
    store, together = page.parts.store, threading.Barrier(4)

    def start(_: int) -> bool:
        together.wait()
        return store.start(case) is not None

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [False, False, False, True]
    assert page.post(f"/cases/{case}/start").status_code == 409
    assert store.start("nowhere") is None
