from __future__ import annotations

import gzip
import io
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from tests.web.conftest import Page


def test_a_nifti_volume_is_shown_in_three_planes(page: Page, nifti: bytes, tmp_path: Path) -> None:
    case = page.read({"volume.nii.gz": nifti})
    slices = page.get(f"/cases/{case['id']}/slices").json()
    (tmp_path / "volume.nii.gz").write_bytes(nifti)
    original = nibabel.Nifti1Image.from_filename(tmp_path / "volume.nii.gz")
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
