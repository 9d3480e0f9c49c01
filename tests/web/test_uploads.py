from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from tests.web.conftest import Page


def test_uploads_beyond_the_limits_are_refused(open_page: Callable[..., Page], jpeg: bytes) -> None:
    page = open_page(limits={"files": 2, "file_bytes": 100_000, "case_bytes": 150_000})
    case = page.new_case({})
    put = f"/api/v1/cases/{case}/files"

    assert page.http.put(put, content=b"x" * 100_001).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000

    assert page.http.put(put, content=endless()).status_code == 413
    assert page.http.put(put, content=b"").status_code == 400
    assert page.http.put(put, content=jpeg).status_code == 201
    assert page.http.put(put, content=jpeg).json()["number"] == 1  # the same again
    assert page.http.put(put, content=jpeg + b"\0").status_code == 201
    third = page.http.put(put, content=jpeg + b"\0\0")
    assert third.status_code == 413
    assert "2 files" in third.json()["error"]
    assert page.post("/findings", content=b"x" * 100_001).status_code == 413
    parts = [f.name for f in page.settings.cases.rglob("*.part")]
    assert parts == []


def test_a_full_disk_is_said_and_nothing_half_is_left(
    open_page: Callable[..., Page], jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page()
    case = page.new_case({"a.jpg": jpeg})

    class Full:
        def __init__(self, *_: object) -> None: ...
        def update(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tumorlens.web.uploads.hashlib.sha256", Full)
        answer = page.http.put(f"/api/v1/cases/{case}/files?name=b.jpg", content=jpeg)
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["error"]
    assert not list(page.settings.cases.rglob("*.part"))

    page.post(f"/cases/{case}/start")
    assert page.wait(case)["status"] == "done"


def test_no_file_is_taken_when_the_disk_is_nearly_full(open_page: Callable[..., Page], jpeg: bytes) -> None:
    page = open_page(limits={"reserve": 2**62})

    answer = page.http.put(f"/api/v1/cases/{page.new_case({})}/files?name=b.jpg", content=jpeg)
    assert answer.status_code == 507
