from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tests.web.conftest import Page
from tumorlens.phantoms.phantom import Phantom


def test_a_jpeg_becomes_a_finding_with_pictures(page: Page, jpeg: bytes, meningioma: Phantom) -> None:
    case = page.read({"a.jpg": jpeg})
    (found,) = page.get(f"/cases/{case['id']}/slices").json()

    assert (case["status"], case["label"], case["title"]) == ("done", "meningioma", "a.jpg")
    assert found["finding"]["label"] == "meningioma"
    assert set(found["heat"]) == {"glioma", "meningioma", "pituitary"}  # what speaks for no tumour has no place
    scan = Image.open(io.BytesIO(page.http.get(found["scan"]).content))
    assert np.abs(np.asarray(scan, float) / 255 - meningioma.scan.pixels).max() < 0.1
    for address in [*found["heat"].values(), found["finding"]["overlay"]]:
        answer = page.http.get(address)
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).height == 192


def test_a_case_is_renamed_and_deleted_with_its_files(page: Page, jpeg: bytes) -> None:
    case = page.read({"one.jpg": jpeg})["id"]
    assert page.http.patch(f"/api/v1/cases/{case}", json={"title": "  new  "}).json()["title"] == "new"

    assert page.http.delete(f"/api/v1/cases/{case}").status_code == 204

    assert page.get(f"/cases/{case}").status_code == 404
    assert not (page.settings.cases / case).exists()
    assert page.http.get(f"/cases/{case}").status_code == 404


def test_a_case_takes_no_files_once_it_is_begun(page: Page, jpeg: bytes) -> None:
    case = page.read({"one.jpg": jpeg})["id"]

    assert page.http.put(f"/api/v1/cases/{case}/files?name=b.jpg", content=jpeg).status_code == 409
    assert page.post(f"/cases/{case}/start").status_code == 409
    assert page.post(f"/cases/{page.new_case({})}/start").status_code == 409


def test_events_tell_how_a_case_stands(page: Page, jpeg: bytes) -> None:
    import asyncio

    async def two() -> list[dict[str, object]]:
        watched = page.parts.desk.watch()
        first = asyncio.ensure_future(anext(watched))
        await asyncio.sleep(0)
        case = page.parts.store.create("", "me", "axial")
        page.parts.desk.announce(case)
        event = await first
        await watched.aclose()
        return [event, {"case": case.id}]

    event, expected = asyncio.run(two())
    assert event["case"] == expected["case"]
    assert event["status"] == "uploading"
