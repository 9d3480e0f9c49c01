from __future__ import annotations

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
