"""Hostile files, and what goes wrong by itself: a clear message, nothing lost, no other case touched."""

from __future__ import annotations

import io
import signal
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import nibabel
import numpy as np
import pytest
from PIL import Image

from rehearsal.kills import wait_for
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


def test_names_are_shown_as_they_are_and_never_run(shared_page: Page, jpeg: bytes) -> None:
    name = "<script>alert(1)</script>.jpg"
    case = shared_page.read({name: jpeg}, title="<img src=x onerror=alert(2)>")
    html = shared_page.http.get(f"/cases/{case['id']}").text
    report = shared_page.get(f"/cases/{case['id']}/report.html").text

    assert "<script>alert" not in html + report
    assert "<img src=x" not in html + report
    assert "&lt;img src=x" in html
    assert shared_page.get(f"/cases/{case['id']}/report.pdf").content.startswith(b"%PDF")


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


def test_a_server_killed_mid_upload_goes_on_after_its_restart(
    make_settings: Callable[..., Settings], series: list[Path]
) -> None:
    settings = make_settings()
    server = Server(settings)
    api = httpx2.Client(base_url=f"{server.address}/api/v1", timeout=120)
    case = api.post("/cases", json={}).json()["id"]
    for path in series[:5]:
        assert api.put(f"/cases/{case}/files", params={"name": path.name}, content=path.read_bytes()).status_code == 201

    def killing() -> Iterator[bytes]:
        yield series[5].read_bytes()[:1000]
        wait_for(lambda: list(settings.cases.rglob("*.part")))
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
        until = time.monotonic() + 300
        while (found := api.get(f"/cases/{case}").json())["status"] not in ("done", "failed"):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert (found["status"], found["files"], found["slices"]) == ("done", 12, 12)
        assert not list(settings.cases.rglob("*.part"))
        assert server.stop() in (0, -signal.SIGTERM)
    finally:
        server.kill()
        api.close()
