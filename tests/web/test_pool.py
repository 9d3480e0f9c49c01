from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.web.conftest import Page
from tumorlens.errors import AnalysisFailed
from tumorlens.web import pool as pools
from tumorlens.web.desk import ATTEMPTS
from tumorlens.web.messages import Done, FindInFile
from tumorlens.web.pool import Pool
from tumorlens.web.settings import Settings


def saved(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def kill_readers(page: Page, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Kills the worker each time it has begun to read a case, so many times."""
    store, left = page.parts.store, [signal.SIGKILL] * times
    begin = store.begin

    def deadly(case: str) -> object:
        if left:
            for pid in page.parts.pool.pids:
                os.kill(pid, left.pop())
        return begin(case)

    monkeypatch.setattr(store, "begin", deadly)


def test_a_worker_that_is_killed_is_replaced_and_the_case_read(
    open_page: Callable[..., Page], long_archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page()
    (victim,) = page.parts.pool.pids
    kill_readers(page, monkeypatch, 1)
    found = page.read({"study.zip": long_archive})

    assert (found["status"], found["slices"]) == ("done", 120)
    assert page.parts.pool.pids != [victim]
    assert page.parts.pool.restarts == 1


def test_a_case_that_kills_every_worker_fails_and_the_next_is_read(
    open_page: Callable[..., Page], long_archive: bytes, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page()
    kill_readers(page, monkeypatch, ATTEMPTS)
    found = page.read({"study.zip": long_archive})

    assert found["status"] == "failed"
    assert "was lost" in found["error"]
    assert page.read({"good.jpg": jpeg})["status"] == "done"
    assert page.post(f"/cases/{found['id']}/start").status_code == 202
    again = page.wait(found["id"])
    assert (again["status"], again["slices"]) == ("done", 120)


def test_what_takes_too_long_is_given_up(open_page: Callable[..., Page], archive: bytes, jpeg: bytes) -> None:
    page = open_page(limits={"seconds": 0.05})
    slow = page.read({"study.zip": archive})

    assert slow["status"] == "failed"
    assert "longer than the 0.05 seconds" in slow["error"]
    assert page.post("/findings?name=a.jpg", content=jpeg).status_code == 200


def test_time_that_ends_while_an_answer_is_kept_leaves_no_case_unfinished(
    open_page: Callable[..., Page], archive: bytes, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(limits={"seconds": 1})
    keep = page.parts.store.begin

    def slowly(case: str) -> object:
        time.sleep(1.2)
        return keep(case)

    monkeypatch.setattr(page.parts.store, "begin", slowly)
    assert page.read({"study.zip": archive})["status"] in ("done", "failed")
    assert page.read({"good.jpg": jpeg})["status"] in ("done", "failed")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory so")
def test_what_takes_too_much_memory_is_refused(open_page: Callable[..., Page], jpeg: bytes) -> None:
    page = open_page(limits={"memory": 64 * 2**20})
    greedy = page.read({"wide.png": saved(Image.linear_gradient("L").resize((7000, 7000)))})

    assert greedy["status"] == "failed"
    assert "memory" in greedy["error"]
    assert page.read({"good.jpg": jpeg})["status"] == "done"


class Stub:
    """A worker that takes its time."""

    def __init__(self, *, running: bool, seconds: float, start: float = 0.1) -> None:
        self.running, self.busy, self.seconds, self.starts = running, False, seconds, 0
        self._start = start

    async def start(self) -> None:
        await asyncio.sleep(self._start)
        self.running, self.starts = True, self.starts + 1

    async def stop(self) -> None:
        await asyncio.sleep(0.1)
        self.running = False

    async def ask(self, _command: Any) -> AsyncIterator[Done]:
        await asyncio.sleep(self.seconds)
        yield Done()


async def _ask(pool: Pool, seconds: float) -> None:
    command = FindInFile(path=Path("scan.png"), name="scan.png", axis="axial", target=None, pictures=False)
    async with contextlib.aclosing(pool.ask(command, seconds, quick=True)) as messages:
        async for _ in messages:
            pass


def _pool_of(settings: Settings, worker: Stub) -> Pool:
    pool = Pool(settings)
    pool._workers = [worker]  # type: ignore[list-item]
    return pool


def test_a_worker_is_free_again_however_often_whoever_asked_is_cancelled(
    make_settings: Callable[..., Settings],
) -> None:
    async def run() -> None:
        worker = Stub(running=True, seconds=3600)
        asking = asyncio.create_task(_ask(_pool_of(make_settings(), worker), 3600))
        for _ in range(3):  # while it is asked, stopped and started
            await asyncio.sleep(0.07)
            asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(60):
            while worker.busy or not worker.running:
                await asyncio.sleep(0.01)
        assert worker.starts == 1

    asyncio.run(run())


def test_a_pool_that_closes_starts_no_worker_again(make_settings: Callable[..., Settings]) -> None:
    async def run() -> None:
        worker = Stub(running=True, seconds=3600)
        pool = _pool_of(make_settings(), worker)
        asking = asyncio.create_task(_ask(pool, 3600))
        await asyncio.sleep(0.05)
        pool.close()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await pool.stop()
        assert (worker.busy, worker.running, worker.starts) == (False, False, 0)

    asyncio.run(run())


def test_the_start_of_a_worker_is_not_in_the_time_of_what_is_asked(make_settings: Callable[..., Settings]) -> None:
    worker = Stub(running=False, seconds=0, start=2)
    asyncio.run(_ask(_pool_of(make_settings(), worker), 1))
    assert worker.starts == 1


def test_a_worker_that_does_not_start_in_time_does_not_stay_half_started(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_START_SECONDS", 0.05)

    async def run() -> None:
        (worker,) = Pool(make_settings())._workers
        with pytest.raises(AnalysisFailed, match=r"within 0\.05 seconds"):
            await worker.start()
        assert not worker.running

    asyncio.run(run())
