"""Series as a reader sees them: by number, with one window, and a volume or the reason why there is none."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.studies import GRIDS, classic, enhanced, save
from tests.web.conftest import Page
from tumorlens.web.series import series_of


def packed(datasets: Iterable[Dataset], folder: Path) -> bytes:
    """DICOM files as a zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i, ds in enumerate(datasets):
            archive.write(save(ds, folder / f"{i:03d}.dcm"), f"study/{i:03d}.dcm")
    return file.getvalue()


def stack(name: str, places: Iterable[float], number: int = 1, **changes: Any) -> list[Dataset]:
    grid = GRIDS[name]
    found = []
    for count, index in enumerate(places, 1):
        ds = classic(grid, grid.position(index, 8), index == 4, series=f"1.2.3.{number}", number=count)
        ds.SeriesNumber, ds.SeriesDescription = number, "t1 post"
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
        found.append(ds)
    return found


def read(page: Page, datasets: Iterable[Dataset], tmp_path: Path) -> list[dict[str, Any]]:
    case = page.read({"study.zip": packed(datasets, tmp_path)})
    assert case["status"] == "done", case
    return list(page.get(f"/cases/{case['id']}/series").json())


def test_series_stand_by_number_whatever_came_first(shared_page: Page, tmp_path: Path) -> None:
    late = stack("axial", range(8), 7, SeriesDescription="t2 axial")
    found = read(shared_page, [*late, *stack("coronal", range(8), 2), *stack("sagittal", range(3), 4)], tmp_path)
    assert [(s["place"], s["number"], s["plane"], len(s["slices"])) for s in found] == [
        (1, 2, "coronal", 8),
        (2, 4, "sagittal", 3),
        (3, 7, "axial", 8),
    ]
    assert found[0]["slices"] == list(range(1, 9))  # the case counts in the same order
    assert (found[0]["name"], found[2]["sequence"]) == ("T1 post-contrast", "T2")
    assert found[2]["reason"]
    default, brain, contrast = found[0]["windows"]
    assert (default["level"], default["width"]) == (500, 1000)
    assert brain["width"] < 1000
    assert contrast["level"] + contrast["width"] / 2 > 600


def doubled() -> list[Dataset]:
    """Two of eight images are given twice."""
    return [*stack("axial", range(8)), *stack("axial", range(2))]


def coloured(datasets: list[Dataset]) -> list[Dataset]:
    """The same in colour: the lesion is red."""
    for ds in datasets:
        grey = np.clip(ds.pixel_array / 4, 0, 255)
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit = 7
        ds.PixelData = np.stack([grey, grey / 4, grey / 4], -1).astype(np.uint8).tobytes()
    return datasets


def _of_two_sizes() -> list[Dataset]:
    datasets = stack("axial", range(8))
    datasets[5].PixelData = datasets[5].pixel_array[:100].tobytes()
    datasets[5].Rows = 100
    return datasets


CASES: dict[str, tuple[Callable[[], list[Dataset]], str, int]] = {
    "straight": (lambda: stack("axial", range(8)), "", 0),
    "reversed": (lambda: stack("axial", range(7, -1, -1)), "", 0),
    "oblique": (lambda: stack("doubly oblique", range(8)), "", 0),
    "a gap": (lambda: stack("axial", [0, 1, 2, 5, 6, 7]), "", 2),
    "tilted gantry": (lambda: stack("tilted gantry", range(8)), "its slices are shifted against each other", 0),
    "uneven": (lambda: stack("axial", [0, 0.3, 1, 4, 5]), "its slices lie at uneven distances", 0),
    "two sizes": (_of_two_sizes, "its slices differ in size or spacing", 0),
    "colour": (lambda: coloured(stack("axial", range(8))), "its pictures are in colour", 0),
    "few": (lambda: stack("axial", range(2)), "there are fewer than three slices", 0),
    "no spacing": (lambda: stack("axial", range(8), PixelSpacing=None), "its files do not say how large a pixel is", 0),
    "no place": (
        lambda: stack("axial", range(8), ImagePositionPatient=None),
        "its files do not say where the slices lie in the patient",
        0,
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_volume_or_why_there_is_none(shared_page: Page, tmp_path: Path, kind: str) -> None:
    make, flat, missing = CASES[kind]
    (found,) = read(shared_page, make(), tmp_path)
    assert (found["flat"], found["missing"]) == (flat, missing)
    assert (found["volume"] is None) == bool(flat)


def test_doubled_slices_are_told_and_shown_once(shared_page: Page, tmp_path: Path) -> None:
    (found,) = read(shared_page, doubled(), tmp_path)
    assert (len(found["slices"]), len(found["twice"])) == (8, 2)


def test_echoes_at_one_place_are_no_volume(shared_page: Page, tmp_path: Path) -> None:
    echoes = stack("axial", range(8)) + stack("axial", range(8))
    for i, ds in enumerate(echoes):
        ds.SOPInstanceUID = f"1.2.3.4.{i}"
    (found,) = read(shared_page, echoes, tmp_path)
    assert found["flat"] == "several images lie at one place, such as echoes or repetitions"
    assert len(found["slices"]) == 16


def two_stacks() -> list[Dataset]:
    """One series with an axial stack and a coronal one."""
    both = stack("axial", range(5)) + stack("coronal", range(4))
    for i, ds in enumerate(both):
        ds.SOPInstanceUID = f"1.2.3.5.{i}"
    return both


def test_two_stacks_of_one_series_are_two(shared_page: Page, tmp_path: Path) -> None:
    found = read(shared_page, two_stacks(), tmp_path)
    assert sorted((s["plane"], len(s["slices"])) for s in found) == [("axial", 5), ("coronal", 4)]


def two_sequences() -> list[Dataset]:
    """One series with a T1 and a T2 stack, slice by slice at the same places."""
    both = stack("axial", range(5)) + stack("axial", range(5), SeriesDescription="t2 axial")
    for i, ds in enumerate(both):
        ds.SOPInstanceUID = f"1.2.3.6.{i}"
    return both


def test_two_sequences_in_one_series_are_two(shared_page: Page, tmp_path: Path) -> None:
    found = read(shared_page, two_sequences(), tmp_path)
    assert sorted((s["sequence"], len(s["slices"])) for s in found) == [("T1 post-contrast", 5), ("T2", 5)]


def test_frames_of_an_enhanced_file_are_a_series(shared_page: Page, tmp_path: Path) -> None:
    grid = GRIDS["axial"]
    (found,) = read(shared_page, [enhanced(grid, [grid.position(i, 6) for i in range(6)])], tmp_path)
    assert (len(found["slices"]), found["volume"]["shape"][0]) == (6, 6)


def test_a_volume_that_an_earlier_version_read_says_what_to_do(shared_page: Page, nifti: bytes, jpeg: bytes) -> None:
    case = shared_page.read({"volume.nii.gz": nifti, "a.jpg": jpeg})
    rows = shared_page.parts.store.slices(case["id"])
    for row in rows:
        unknown_then = ("place", "position", "orientation", "space", "colour")
        row.content = {key: value for key, value in row.content.items() if key not in unknown_then}
    volume, picture = series_of(rows)
    assert (len(volume.slices), volume.name, volume.volume) == (20, "No description", None)
    assert volume.flat == "an earlier version of the page read it; drop its files again"
    assert (picture.name, len(picture.slices), picture.flat) == ("Picture", 1, "single pictures are no volume")


def test_pictures_are_one_list(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.read({"a.jpg": jpeg, "b.jpg": jpeg + b"\0"})
    (found,) = shared_page.get(f"/cases/{case['id']}/series").json()
    assert (found["name"], found["slices"], found["windows"]) == ("Pictures", [1, 2], [])


def test_the_volume_is_what_the_slices_hold(shared_page: Page, tmp_path: Path) -> None:
    case = shared_page.read({"study.zip": packed(stack("doubly oblique", [0, 1, 2, 4, 5, 6]), tmp_path)})
    (found,) = shared_page.get(f"/cases/{case['id']}/series").json()
    grid = found["volume"]
    at = f"/cases/{case['id']}/series/1"
    volume = np.frombuffer(shared_page.get(f"{at}/volume").content, "<u2").reshape(grid["shape"])
    values = grid["low"] + volume / 65535 * (grid["high"] - grid["low"])
    slices = {s["number"]: s for s in shared_page.get(f"/cases/{case['id']}/slices").json()}
    for plane, number in enumerate(grid["slices"]):
        if not number:
            assert not volume[plane].any()
            continue
        meaning = slices[number]["values"]
        steps = np.frombuffer(shared_page.http.get(slices[number]["scan"].replace("scan.png", "values")).content, "<u2")
        numbers = meaning["low"] + steps / 65535 * (meaning["high"] - meaning["low"])
        assert np.abs(values[plane].ravel() - numbers).max() < 1
    assert grid["slices"].count(0) == 1
    # A voxel lies where its slice's header says.
    last = slices[grid["slices"][-1]]
    step = np.array(grid["across"]) * grid["spacing"][0] * (grid["shape"][0] - 1)
    assert np.allclose(np.array(slices[grid["slices"][0]]["position"]) + step, last["position"], atol=0.01)
    heat = shared_page.get(f"{at}/heat/glioma")
    assert len(heat.content) == grid["shape"][0] * grid["heat"][0] * grid["heat"][1]
    assert shared_page.get(f"{at}/heat/cat").status_code == 404
    assert shared_page.get(f"/cases/{case['id']}/series/9/volume").status_code == 404
