from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from tests.web.conftest import Page
from tumorlens.web.volumes import scan_volume


def test_a_nifti_volume_is_the_file_s(shared_page: Page, nifti: bytes, tmp_path: Path) -> None:
    case = shared_page.read({"volume.nii.gz": nifti})
    slices = shared_page.get(f"/cases/{case['id']}/slices").json()
    (series,) = shared_page.get(f"/cases/{case['id']}/series").json()
    (tmp_path / "volume.nii.gz").write_bytes(nifti)
    original = nibabel.Nifti1Image.from_filename(tmp_path / "volume.nii.gz")
    grid, at = series["volume"], f"/cases/{case['id']}/series/1"
    steps = np.frombuffer(shared_page.get(f"{at}/volume").content, "<u2").reshape(grid["shape"])
    values = grid["low"] + steps / 65535 * (grid["high"] - grid["low"])
    # Pictures begin at the patient's right and front, RAS at the left and back.
    assert np.abs(values[:, ::-1, ::-1].transpose(2, 1, 0) - original.get_fdata()).max() <= 1
    corner = original.affine @ [original.shape[0] - 1, original.shape[1] - 1, 0, 1]
    assert np.allclose(slices[0]["position"], corner[:3] * [-1, -1, 1])
    # A picture's heat lies in the volume where the picture's pixels do, and counts by its class's probability.
    shown = max(slices, key=lambda s: s["finding"]["probabilities"].get("meningioma", 0))
    picture = np.asarray(Image.open(io.BytesIO(shared_page.http.get(shown["heat"]["meningioma"]).content)), float)
    heat = np.frombuffer(shared_page.get(f"{at}/heat/meningioma").content, np.uint8).reshape(-1, *grid["heat"])
    plane = heat[grid["slices"].index(shown["number"])]
    assert np.abs(plane - picture * shown["finding"]["probabilities"]["meningioma"]).max() <= 1


def test_a_large_volume_is_shrunk_within_its_slices(shared_page: Page, nifti: bytes) -> None:
    case = shared_page.read({"volume.nii.gz": nifti})
    store = shared_page.parts.store
    (series,) = store.series(store.get(case["id"]))
    rows = {row.number: row for row in store.slices(case["id"])}
    pictures = {number: store.pictures(case["id"], number) for number in rows}
    whole = scan_volume(series.volume, rows, pictures)
    planes, height, width = whole.shape
    half = scan_volume(series.volume.model_copy(update={"shape": (planes, height // 2, width // 2)}), rows, pictures)
    expected = whole.reshape(planes, height // 2, 2, width // 2, 2).mean((2, 4))
    assert np.abs(half - expected).max() <= 1
