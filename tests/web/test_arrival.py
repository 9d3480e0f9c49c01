from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests.web.conftest import Page
from tumorlens import read_scans
from tumorlens.web.arrival import elided


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_a_dicom_archive_is_one_series_in_order_and_names_nobody(
    page: Page, archive: bytes, series: list[Path]
) -> None:
    case = page.read({"DOE_JANE.zip": archive})
    slices = page.get(f"/cases/{case['id']}/slices").json()

    assert case["status"] == "done", case
    assert case["title"] == "DICOM study, 12 slices"
    assert case["failures"] == []
    assert [s["finding"]["source"] for s in slices] == [f"series 1, slice {n}" for n in range(1, 13)]
    assert slices[0]["spacing"] == pytest.approx(list(dcmread(series[0]).PixelSpacing))
    expected = read_scans(series[0])[0]
    shown = np.asarray(Image.open(io.BytesIO(page.http.get(slices[0]["scan"]).content)), float) / 255
    assert np.abs(shown - expected.pixels).max() < 0.01
    secrets = (
        b"DOE",
        b"Phantom^Synthetic",
        dcmread(series[0]).PatientID.encode(),
        dcmread(series[0]).StudyInstanceUID.encode(),
    )
    for file in page.settings.home.rglob("*"):
        if file.is_file():
            assert not [s for s in secrets if s in file.read_bytes()], file
    uploads = page.parts.store.uploads(case["id"])
    assert [u.name for u in uploads] == ["file 1"]


def test_dicom_stays_as_it_is_where_that_is_wanted(open_page: Callable[..., Page], series: list[Path]) -> None:
    page = open_page(deidentify=False)
    case = page.read({"one.dcm": series[0].read_bytes()})

    (file,) = (page.settings.cases / case["id"] / "files").iterdir()
    assert file.read_bytes() == series[0].read_bytes()


def test_a_folder_s_other_files_are_passed_over(page: Page, jpeg: bytes) -> None:
    case = page.read({"study/a.jpg": jpeg, "study/readme": b"hello", "study/Thumbs.db": b"xx"})

    assert (case["slices"], case["failures"]) == (1, [])


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


def test_a_long_name_is_kept_and_a_longer_one_keeps_its_ends(shared_page: Page, jpeg: bytes) -> None:
    long = "a" * 120 + " left temporal " + "b" * 90 + ".jpg"
    longer = "first" + "x" * 3000 + "last.jpg"
    cases = [shared_page.read({name: jpeg}) for name in (long, longer)]

    assert cases[0]["title"] == long
    assert len(cases[1]["title"]) == 255
    assert cases[1]["title"].startswith("firstx")
    assert "…" in cases[1]["title"]
    assert cases[1]["title"].endswith("xlast.jpg")
    assert elided("abcdefghij", 6) == "abc…ij"
    # Whatever the length, what may be a patient's name is not kept.
    dicom = shared_page.new_case({"DOE_JANE" * 20 + ".dcm": jpeg})
    assert [u.name for u in shared_page.parts.store.uploads(dicom)] == ["file 1.dcm"]
