from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.web.conftest import Page, token
from tumorlens.phantoms.phantom import Phantom
from tumorlens.web.uploads import receive


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


def test_another_readers_case_is_looked_at_and_not_changed(guarded: Page, jpeg: bytes) -> None:
    jane, joe, ann = (token(guarded, name) for name in ("jane", "joe", "ann"))
    case = f"/cases/{guarded.post('/cases', json={}, headers=jane).json()['id']}"
    assert guarded.get(case, headers=joe).status_code == 200
    for reader, statuses in ((joe, {403}), (jane, {200, 201, 202}), (ann, {200, 409})):
        answers = [
            guarded.http.patch(f"/api/v1{case}", json={"title": "mine"}, headers=reader),
            guarded.http.put(f"/api/v1{case}/files", content=jpeg, headers=reader),
            guarded.post(f"{case}/start", headers=reader),
        ]
        assert {answer.status_code for answer in answers} == statuses


@pytest.mark.parametrize("moment", ["receive", "add_upload", "start"])
def test_a_case_that_is_deleted_while_something_is_done_with_it_is_not_there(
    page: Page, jpeg: bytes, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    case = page.post("/cases", json={}).json()["id"]
    files = f"/api/v1/cases/{case}/files"
    assert page.http.put(files, content=jpeg).status_code == 201
    store = page.parts.store

    if moment == "receive":

        async def late(*arguments: Any, **options: Any) -> Any:
            store.delete(case)
            store.folder_of(case).mkdir()  # as if it had been emptied just before this file was made in it
            return await receive(*arguments, **options)

        monkeypatch.setattr("tumorlens.web.api.cases.receive", late)
    else:
        done = getattr(store, moment)

        def deleted(*arguments: Any, **options: Any) -> Any:
            store.delete(case)
            return done(*arguments, **options)

        monkeypatch.setattr(store, moment, deleted)
    answer = page.post(f"/cases/{case}/start") if moment == "start" else page.http.put(files, content=b"1")
    assert answer.status_code == 404
    assert "it may have been deleted" in answer.text
    assert not store.folder_of(case).exists()


def test_the_same_files_are_recognised_by_their_contents(shared_page: Page, jpeg: bytes) -> None:
    first, second = jpeg + b"one", jpeg + b"two"
    earlier = shared_page.read({"a.jpg": first, "b.jpg": second})
    again = shared_page.new_case({"renamed.jpg": second, "other.jpg": first})
    fewer = shared_page.new_case({"a.jpg": first})

    assert [c["id"] for c in shared_page.get(f"/cases/{again}/same").json()] == [earlier["id"]]
    assert shared_page.get(f"/cases/{fewer}/same").json() == []
    assert shared_page.get(f"/cases/{earlier['id']}/same").json() == []  # the others are not read
    assert shared_page.get(f"/cases/{shared_page.new_case({})}/same").json() == []


def test_a_case_is_linked_to_an_earlier_one(shared_page: Page, jpeg: bytes) -> None:
    earlier, later = (shared_page.new_case({"a.jpg": jpeg}, title=title) for title in ("earlier", "later"))
    address = f"/api/v1/cases/{later}"

    assert shared_page.http.patch(address, json={"linked": earlier}).json()["linked"] == earlier
    assert shared_page.http.patch(address, json={"title": "new"}).json()["linked"] == earlier
    for wrong in (later, "nothing"):
        assert "no such other case" in shared_page.http.patch(address, json={"linked": wrong}).json()["error"]
    assert shared_page.http.patch(address, json={"linked": ""}).json()["linked"] == ""
    shared_page.http.patch(address, json={"linked": earlier})
    shared_page.http.delete(f"/api/v1/cases/{earlier}")
    assert shared_page.get(f"/cases/{later}").json()["linked"] == ""


def test_only_what_may_end_otherwise_is_to_be_tried_again(shared_page: Page, jpeg: bytes) -> None:
    text = shared_page.read({"notes.png": b"not a picture"})
    assert (text["status"], text["retry"]) == ("failed", False)
    shared_page.parts.store.finish(text["id"], "the worker was lost", retry=True)
    assert shared_page.get(f"/cases/{text['id']}").json()["retry"] is True
    done = shared_page.read({"a.jpg": jpeg})
    assert (done["retry"], done["state"]) == (False, "Tumour suspected")
