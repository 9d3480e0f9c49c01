"""What is dropped is read, kept, found again and deleted."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests.web.conftest import Page
from tumorlens import Classifier, read_scans
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


def test_the_findings_are_those_of_the_command_line(page: Page, jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (expected,) = Classifier.load("cnn_lstm").find(read_scans(tmp_path / "a.jpg"))
    case = page.read({"a.jpg": jpeg})
    document = page.get(f"/cases/{case['id']}/findings").json()

    (finding,) = document["findings"]
    assert finding["probabilities"] == pytest.approx(expected.probabilities)
    assert expected.region is not None
    assert tuple(finding["region"]["box"]) == expected.region.box
    assert document["weights"]["sha256"] == expected.weights.sha256


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


def test_what_a_window_hides_can_be_fetched(page: Page, series: list[Path]) -> None:
    case = page.read({"slice.dcm": series[6].read_bytes()})
    (found,) = page.get(f"/cases/{case['id']}/slices").json()
    values = page.http.get(found["scan"].replace("scan.png", "values"))

    steps = np.frombuffer(values.content, "<u2").reshape(found["height"], found["width"])
    meaning = found["values"]
    numbers = meaning["low"] + steps / 65535 * (meaning["high"] - meaning["low"])
    assert np.abs(numbers - dcmread(series[6]).pixel_array).max() <= 0.5
    assert (meaning["black"], meaning["white"]) == (0, 1000)


def test_a_nifti_volume_is_shown_in_three_planes(page: Page, nifti: bytes, tmp_path: Path) -> None:
    case = page.read({"volume.nii.gz": nifti})
    slices = page.get(f"/cases/{case['id']}/slices").json()
    (tmp_path / "volume.nii.gz").write_bytes(nifti)
    original = nibabel.load(tmp_path / "volume.nii.gz")
    volumes = {}
    for part in ("scan", "heat-meningioma"):
        answer = page.get(f"/cases/{case['id']}/volumes/{slices[0]['volume']}/{part}.nii.gz")
        assert answer.status_code == 200
        volumes[part] = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.content))

    assert np.allclose(volumes["scan"].affine, original.affine)
    assert np.abs(volumes["scan"].get_fdata() - original.get_fdata()).max() <= 1
    assert volumes["heat-meningioma"].shape == original.shape
    assert page.get(f"/cases/{case['id']}/volumes/1/heat-cat.nii.gz").status_code == 404
    # A picture's heat lies in the volume where the picture's pixels do.
    shown = max(slices, key=lambda s: s["finding"]["probabilities"].get("meningioma", 0))
    heat = np.asarray(Image.open(io.BytesIO(page.http.get(shown["heat"]["meningioma"]).content)), float)
    plane = volumes["heat-meningioma"].get_fdata()[:, :, shown["finding"]["frame"]]
    weighed = heat * shown["finding"]["probabilities"]["meningioma"]
    assert np.abs(plane[::-1, ::-1].T - weighed).max() <= 1


def test_files_of_a_case_do_not_depend_on_each_other(page: Page, jpeg: bytes) -> None:
    case = page.read({"good.jpg": jpeg, "bad.png": b"\x89PNG\r\n\x1a\n" + b"rubbish" * 20, "note.txt": b"hello"})

    assert (case["status"], case["slices"]) == ("done", 1)
    assert {f["name"] for f in case["failures"]} == {"bad.png", "file 3"}
    assert all("; " in f["error"] for f in case["failures"])


def test_a_folder_s_other_files_are_passed_over(page: Page, jpeg: bytes) -> None:
    case = page.read({"study/a.jpg": jpeg, "study/readme": b"hello", "study/Thumbs.db": b"xx"})

    assert (case["slices"], case["failures"]) == (1, [])


def test_the_worklist_is_searched_filtered_and_sorted(page: Page, jpeg: bytes, archive: bytes) -> None:
    first = page.read({"one.jpg": jpeg}, title="Tuesday's 100% case")
    second = page.read({"s.zip": archive}, title="another")
    broken = page.read({"broken.png": b"not a picture"})

    def ids(**query: object) -> list[str]:
        answer = page.get("/cases", params=query)
        assert answer.status_code == 200, answer.text
        return [c["id"] for c in answer.json()["cases"]]

    assert ids() == [broken["id"], second["id"], first["id"]]
    assert ids(text="TUESDAY") == ids(text="100%") == [first["id"]]
    assert ids(text="_") == []
    assert ids(label="meningioma", status="done") == [first["id"]]
    assert ids(status="failed") == [broken["id"]]
    assert ids(status="done", sort="title") == [second["id"], first["id"]]
    by_doubt = page.get("/cases", params={"sort": "uncertainty", "status": "done"}).json()["cases"]
    assert [c["uncertainty"] for c in by_doubt] == sorted((c["uncertainty"] for c in by_doubt), reverse=True)
    assert page.get("/cases", params={"limit": 1, "offset": 1}).json()["total"] == 3
    page.post(f"/cases/{first['id']}/feedback", json={"slice": 1, "verdict": "unsure", "comment": "Look again"})
    assert ids(verdict="unsure") == ids(verdict="any") == ids(text="look AGAIN") == [first["id"]]
    assert first["id"] not in ids(verdict="none")


def test_a_case_is_renamed_and_deleted_with_its_files(page: Page, jpeg: bytes) -> None:
    case = page.read({"one.jpg": jpeg})["id"]
    assert page.http.patch(f"/api/v1/cases/{case}", json={"title": "  new  "}).json()["title"] == "new"

    assert page.http.delete(f"/api/v1/cases/{case}").status_code == 204

    assert page.get(f"/cases/{case}").status_code == 404
    assert not (page.settings.cases / case).exists()
    assert page.http.get(f"/cases/{case}").status_code == 404


def test_a_case_deleted_while_it_is_read_leaves_nothing(page: Page, long_archive: bytes, jpeg: bytes) -> None:
    case = page.new_case({"study.zip": long_archive})
    page.post(f"/cases/{case}/start")
    while page.get(f"/cases/{case}").json()["slices"] == 0:
        time.sleep(0.002)
    page.http.delete(f"/api/v1/cases/{case}")

    assert page.read({"next.jpg": jpeg})["status"] == "done"  # by the worker that was reading it
    until = time.monotonic() + 10
    while (page.settings.cases / case).exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_cases_are_deleted_after_their_time(open_page: Callable[..., Page], jpeg: bytes) -> None:
    page = open_page(keep_days=1)
    case = page.read({"one.jpg": jpeg})
    assert case["expires"] == pytest.approx(case["created"] + 86400)
    page.parts.store.update(case["id"], created=case["created"] - 90000)

    page.parts.desk._sweep()

    assert page.get(f"/cases/{case['id']}").status_code == 404
    assert [line.action for line in page.parts.audit.lines(1)] == ["case.expired"]


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


@pytest.mark.parametrize("moment", ["receive", "add_upload", "update"])
def test_a_case_that_is_deleted_while_something_is_done_with_it_is_not_there(
    open_page: Callable[..., Page], jpeg: bytes, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    page = open_page()
    case = page.post("/cases", json={}).json()["id"]
    files = f"/api/v1/cases/{case}/files"
    assert page.http.put(files, content=jpeg).status_code == 201
    store = page.parts.store

    if moment == "receive":

        async def late(*arguments: Any, **options: Any) -> Any:
            store.delete(case)
            return await receive(*arguments, **options)

        monkeypatch.setattr("tumorlens.web.api.cases.receive", late)
    else:
        done = getattr(store, moment)

        def deleted(*arguments: Any, **options: Any) -> Any:
            store.delete(case)
            return done(*arguments, **options)

        monkeypatch.setattr(store, moment, deleted)
    answer = page.post(f"/cases/{case}/start") if moment == "update" else page.http.put(files, content=b"1")
    assert answer.status_code == 404
    assert "it may have been deleted" in answer.text
