from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable

import pytest
from PIL import Image

from tests.web.conftest import Page


def saved(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_a_worker_that_is_killed_is_replaced_and_the_case_read(
    open_page: Callable[..., Page], long_archive: bytes
) -> None:
    page = open_page()
    (victim,) = page.parts.pool.pids
    case = page.new_case({"study.zip": long_archive})
    page.post(f"/cases/{case}/start")
    while page.get(f"/cases/{case}").json()["status"] != "reading":
        time.sleep(0.001)
    os.kill(victim, signal.SIGKILL)
    found = page.wait(case)

    assert (found["status"], found["slices"]) == ("done", 120)
    assert page.parts.pool.pids != [victim]
    assert page.parts.pool.restarts == 1


def test_a_case_that_kills_every_worker_fails_and_the_next_is_read(
    open_page: Callable[..., Page], long_archive: bytes, jpeg: bytes
) -> None:
    page = open_page()
    case = page.new_case({"study.zip": long_archive})
    page.post(f"/cases/{case}/start")
    killed: set[int] = set()
    until = time.monotonic() + 60
    while (found := page.get(f"/cases/{case}").json())["status"] not in ("done", "failed"):
        assert time.monotonic() < until
        if found["status"] == "reading":
            for pid in set(page.parts.pool.pids) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.002)

    assert found["status"] == "failed"
    assert "was lost" in found["error"]
    assert page.read({"good.jpg": jpeg})["status"] == "done"
    assert page.post(f"/cases/{case}/start").status_code == 202
    again = page.wait(case)
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
