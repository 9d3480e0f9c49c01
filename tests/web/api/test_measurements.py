from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from rehearsal.kills import wait_for
from tests.web.conftest import Page, token


def test_measurements_are_kept_with_the_case(page: Page, series: list[Path]) -> None:
    case = page.read({"slice.dcm": series[6].read_bytes()})["id"]
    at = f"/cases/{case}/measurements"
    (found,) = page.get(f"/cases/{case}/slices").json()
    box = [[0.25, 0.25], [0.5, 0.5]]
    added = page.post(at, json={"slice": 1, "kind": "rectangle", "points": box}).json()
    pixels = dcmread(series[6]).pixel_array
    side = pixels.shape[0]
    inside = pixels[side // 4 : side // 2, side // 4 : side // 2]
    assert added["mean"] == pytest.approx(inside.mean(), abs=0.5)
    assert added["spread"] == pytest.approx(inside.std(), abs=0.5)
    assert added["area"] == pytest.approx((side / 4) ** 2 * np.prod(found["spacing"]))
    page.post(at, json={"slice": 1, "kind": "length", "points": [[0, 0], [1, 0]]})
    made = page.get(at).json()
    assert [m["kind"] for m in made] == ["rectangle", "length"]
    assert made[1]["text"] == f"length {side * found['spacing'][1]:.1f} mm"
    assert page.http.delete(f"/api/v1{at}/{made[0]['id']}").status_code == 204
    assert page.http.delete(f"/api/v1{at}/{made[0]['id']}").status_code == 404
    assert [m.text for m in page.parts.store.measurements(case)] == [made[1]["text"]]
    page.http.delete(f"/api/v1/cases/{case}")
    assert page.parts.store.measurements(case) == []


def test_a_picture_is_measured_in_pixels_and_grey(page: Page, jpeg: bytes) -> None:
    case = page.read({"a.jpg": jpeg})["id"]
    at = f"/cases/{case}/measurements"
    added = page.post(at, json={"slice": 1, "kind": "ellipse", "points": [[0.3, 0.3], [0.6, 0.6]]}).json()
    assert added["unit"] == "pixels"
    assert "pixels" in added["text"]
    assert added["text"].endswith(" grey")
    for wrong in (
        {"slice": 2, "kind": "length", "points": [[0, 0], [1, 1]]},
        {"slice": 1, "kind": "length", "points": [[0, 0], [0, 0]]},
        {"slice": 1, "kind": "volume", "points": [[0, 0], [1, 1]]},
        {"slice": 1, "kind": "length", "points": [[0, 0], [1, 2]]},
    ):
        answer = page.post(at, json=wrong)
        assert answer.status_code in (400, 404, 422)
        assert answer.json()["error"]


def test_only_one_s_own_are_deleted(guarded: Page, jpeg: bytes) -> None:
    jane, joe, ann = (token(guarded, name) for name in ("jane", "joe", "ann"))
    case = guarded.post("/cases", json={}, headers=jane).json()["id"]
    guarded.http.put(f"/api/v1/cases/{case}/files", params={"name": "a.jpg"}, content=jpeg, headers=jane)
    guarded.post(f"/cases/{case}/start", headers=jane)
    wait_for(lambda: guarded.get(f"/cases/{case}", headers=jane).json()["status"] in ("done", "failed"))
    new = {"slice": 1, "kind": "length", "points": [[0, 0], [1, 1]]}
    number = guarded.post(f"/cases/{case}/measurements", json=new, headers=joe).json()["id"]
    at = f"/api/v1/cases/{case}/measurements/{number}"
    assert guarded.http.delete(at, headers=jane).status_code == 403
    assert guarded.http.delete(at, headers=ann).status_code == 204
