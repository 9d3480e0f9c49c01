from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from rehearsal.kills import wait_for
from tests.web.conftest import Page
from tumorlens.web.app import create_app
from tumorlens.web.settings import Settings


def test_a_case_deleted_while_it_is_read_leaves_nothing(page: Page, long_archive: bytes, jpeg: bytes) -> None:
    case = page.new_case({"study.zip": long_archive})
    page.post(f"/cases/{case}/start")
    wait_for(lambda: page.get(f"/cases/{case}").json()["slices"])
    page.http.delete(f"/api/v1/cases/{case}")

    assert page.read({"next.jpg": jpeg})["status"] == "done"  # by the worker that was reading it
    wait_for(lambda: not (page.settings.cases / case).exists())


def test_cases_are_deleted_after_their_time(open_page: Callable[..., Page], jpeg: bytes) -> None:
    page = open_page(keep_days=1)
    case = page.read({"one.jpg": jpeg})
    assert case["expires"] == pytest.approx(case["created"] + 86400)
    page.parts.store.update(case["id"], created=case["created"] - 90000)

    page.parts.desk._sweep()

    assert page.get(f"/cases/{case['id']}").status_code == 404
    assert [line.action for line in page.parts.audit.lines(1)] == ["case.expired"]


def test_an_upload_that_stopped_fails_after_a_while(page: Page, jpeg: bytes) -> None:
    case = page.new_case({"a.jpg": jpeg})
    page.parts.store.update(case, touched=time.time() - 4000)
    page.parts.desk._sweep()

    found = page.get(f"/cases/{case}").json()
    assert found["status"] == "failed"
    assert "broken off" in found["error"]
    # What has arrived is still there, and can be read.
    page.post(f"/cases/{case}/start")
    assert page.wait(case)["status"] == "done"


def test_a_large_file_that_still_comes_in_is_no_upload_that_stopped(page: Page, jpeg: bytes) -> None:
    case = page.new_case({"a.jpg": jpeg})
    page.parts.store.update(case, touched=time.time() - 4000)
    part = page.settings.cases / case / ".0123.part"
    part.write_bytes(jpeg)
    page.parts.desk._sweep()
    assert page.get(f"/cases/{case}").json()["status"] == "uploading"

    os.utime(part, (time.time() - 3000,) * 2)
    page.parts.desk._sweep()
    assert page.get(f"/cases/{case}").json()["status"] == "failed"


def test_what_a_stopped_server_left_is_taken_up(
    open_page: Callable[..., Page], make_settings: Callable[..., Settings], archive: bytes
) -> None:
    settings = make_settings()
    first = open_page(settings)
    waiting = first.new_case({"study.zip": archive})
    half = first.read({"study.zip": archive})["id"]
    first.parts.store.update(waiting, status="waiting")
    first.parts.store.update(half, status="reading")
    (settings.cases / "0123456789abcdef").mkdir()  # a folder that a kill left without its row
    first.close()

    second = open_page(settings)
    assert second.wait(waiting)["slices"] == 12
    assert second.wait(half)["slices"] == 12
    assert len(second.get(f"/cases/{half}/slices").json()) == 12
    assert not (settings.cases / "0123456789abcdef").exists()


def test_who_stops_watching_leaves_nothing(make_settings: Callable[..., Settings]) -> None:
    app = create_app(make_settings())
    desk = app.state.parts.desk

    async def run() -> None:
        events = desk.watch()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.05)
        assert desk.watchers == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0)
        assert desk.watchers == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    app.state.parts.store.database.close()


def test_a_case_deleted_in_the_moment_it_is_finished_is_no_error(
    page: Page, jpeg: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    case, store = page.new_case({"a.jpg": jpeg}), page.parts.store
    study = store._study

    def deleted(slices: object) -> object:
        store.delete(case)
        return study(slices)

    monkeypatch.setattr(store, "_study", deleted)
    page.post(f"/cases/{case}/start")
    wait_for(lambda: page.get(f"/cases/{case}").status_code == 404 and not store.folder_of(case).exists())
    page.close()
    assert not [record for record in caplog.records if record.exc_info]
