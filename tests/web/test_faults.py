"""Hostile files, and what goes wrong by itself: a clear message, nothing lost, no other case touched."""

from __future__ import annotations

import errno
import io
import os
import signal
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.web.conftest import Page, Server
from tumorlens.web.settings import Settings


def png(width: int, height: int) -> bytes:
    """A PNG whose header announces a size, and hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def saved(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def volume(data: np.ndarray) -> bytes:
    return bytes(nibabel.Nifti1Image(data, np.eye(4)).to_bytes())


HOSTILE = {
    "text.png": b"I am a text",
    "truncated.png": saved(Image.effect_noise((64, 64), 90))[:900],
    "huge.png": png(20_000, 20_000),
    "bomb.png": png(60_000, 60_000),
    "tiny.png": saved(Image.new("L", (1, 1))),
    "blank.png": saved(Image.new("L", (64, 64), 9)),
    "truncated.jpg": saved(Image.effect_noise((64, 64), 90), "JPEG")[:700],
    "nan.nii": volume(np.full((32, 32, 4), np.nan, np.float32)),
    "four.nii": volume(np.ones((20, 20, 4, 3), np.float32)),
    "cut.nii.gz": b"\x1f\x8b\x08\0\0\0\0\0\0\3" + b"\0" * 30,
    "empty.dcm": b"\0" * 128 + b"DICM",
    "cut.dcm": b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0\x22\0",
    "cheng.mat": b"\x89HDF\r\n\x1a\n" + b"\0" * 50,
    "page.html": b"<script>alert(1)</script>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_fail_with_a_sentence(shared_page: Page, name: str) -> None:
    case = shared_page.read({name: HOSTILE[name]})

    assert case["status"] == "failed"
    assert "; " in case["error"], case["error"]
    assert "Traceback" not in case["error"]
    answer = shared_page.post("/findings", params={"name": name}, content=HOSTILE[name])
    assert answer.status_code == 422
    assert "; " in answer.json()["error"]


def test_all_hostile_files_at_once_leave_the_good_one(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.read({**HOSTILE, "good.jpg": jpeg})

    assert (case["status"], case["slices"], case["label"]) == ("done", 1, "meningioma")
    assert len(case["failures"]) == len(HOSTILE)


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_a_zip_slip_writes_nothing_outside(shared_page: Page, jpeg: bytes) -> None:
    before = set(shared_page.settings.home.parent.iterdir())
    case = shared_page.read({"slip.zip": packed({"../../../evil.jpg": jpeg, "/tmp/tumorlens-evil.jpg": jpeg})})

    assert (case["status"], case["slices"]) == ("done", 2)
    assert set(shared_page.settings.home.parent.iterdir()) == before
    assert not Path("/tmp/tumorlens-evil.jpg").exists()


def test_zip_bombs_are_refused_before_the_disk_is_full(open_page: Callable[..., Page], jpeg: bytes) -> None:
    page = open_page(limits={"files": 40, "case_bytes": 2_000_000})
    large = page.read({"large.zip": packed({"a.png": b"\0" * 5_000_000})})
    many = page.read({"many.zip": packed({f"{i}.png": b"x" for i in range(50)})})
    nested = page.read({"nested.zip": packed({"inside.zip": packed({"a.jpg": jpeg})})})
    # The archive's own figures lie: it says that its file is small.
    honest = packed({"a.png": b"\0" * 5_000_000})
    lying = honest.replace(struct.pack("<I", 5_000_000), struct.pack("<I", 1_000))
    lies = page.read({"lying.zip": lying})
    locked = bytearray(packed({"a.jpg": jpeg}))
    locked[6] |= 1
    locked[locked.rindex(b"PK\1\2") + 8] |= 1
    secret = page.read({"locked.zip": bytes(locked)})

    assert "larger than the 1.91 MB" in large["error"]
    assert "more files than the 40" in many["error"]
    assert "no scans found" in nested["error"]
    assert lies["status"] == "failed"
    assert "password" in secret["error"]
    on_disk = sum(f.stat().st_size for f in page.settings.cases.rglob("*") if f.is_file())
    assert on_disk < 6_000_000
    assert page.read({"good.jpg": jpeg})["status"] == "done"


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


def test_names_are_shown_as_they_are_and_never_run(shared_page: Page, jpeg: bytes) -> None:
    name = "<script>alert(1)</script>.jpg"
    case = shared_page.read({name: jpeg}, title="<img src=x onerror=alert(2)>")
    html = shared_page.http.get(f"/cases/{case['id']}").text
    report = shared_page.get(f"/cases/{case['id']}/report.html").text

    assert "<script>alert" not in html + report
    assert "<img src=x" not in html + report
    assert "&lt;img src=x" in html
    assert shared_page.get(f"/cases/{case['id']}/report.pdf").content.startswith(b"%PDF")


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory so")
def test_what_takes_too_much_memory_is_refused(open_page: Callable[..., Page], jpeg: bytes) -> None:
    page = open_page(limits={"memory": 64 * 2**20})
    greedy = page.read({"wide.png": saved(Image.linear_gradient("L").resize((7000, 7000)))})

    assert greedy["status"] == "failed"
    assert "memory" in greedy["error"]
    assert page.read({"good.jpg": jpeg})["status"] == "done"


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


def test_the_disk_is_full_while_a_case_is_read(open_page: Callable[..., Page], archive: bytes, jpeg: bytes) -> None:
    import resource

    page = open_page()
    (pid,) = page.parts.pool.pids
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, 20_000_000))  # its files may not grow beyond
    case = page.read({"study.zip": archive})
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000_000, 20_000_000))

    assert case["status"] == "failed"
    assert "cannot be written" in case["error"] or "disk is full" in case["error"]
    page.post(f"/cases/{case['id']}/start")
    assert page.wait(case["id"])["slices"] == 12


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


def test_a_server_killed_mid_upload_goes_on_after_its_restart(
    make_settings: Callable[..., Settings], series: list[Path]
) -> None:
    settings = make_settings()
    server = Server(settings)
    api = httpx2.Client(base_url=f"{server.address}/api/v1", timeout=30)
    case = api.post("/cases", json={}).json()["id"]
    for path in series[:5]:
        assert api.put(f"/cases/{case}/files", params={"name": path.name}, content=path.read_bytes()).status_code == 201

    def killing() -> Iterator[bytes]:
        yield series[5].read_bytes()[:1000]
        time.sleep(0.2)
        server.kill()
        yield b"x" * 100_000

    with pytest.raises(httpx2.TransportError):
        api.put(f"/cases/{case}/files", content=killing())
    assert list(settings.cases.rglob("*.part"))  # the half file

    server.start()
    try:
        for path in series[5:]:
            answer = api.put(f"/cases/{case}/files", params={"name": path.name}, content=path.read_bytes())
            assert answer.status_code == 201
        assert api.post(f"/cases/{case}/start").status_code == 202
        until = time.monotonic() + 60
        while (found := api.get(f"/cases/{case}").json())["status"] not in ("done", "failed"):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert (found["status"], found["files"], found["slices"]) == ("done", 12, 12)
        assert not list(settings.cases.rglob("*.part"))
        assert server.stop() in (0, -signal.SIGTERM)
    finally:
        server.kill()
        api.close()
