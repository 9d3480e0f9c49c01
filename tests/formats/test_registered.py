from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.errors import NotAScan, UnreadableFile, UnsupportedFile
from tumorlens.formats import read_registered
from tumorlens.formats.registered import join
from tumorlens.phantoms.phantom import make_study
from tumorlens.phantoms.tissue import CONTRASTS


def test_phantoms_of_all_sequences_lie_on_one_grid() -> None:
    studies = {contrast: make_study(contrast=contrast, slices=8, size=64) for contrast in CONTRASTS}
    scan = join({contrast: study[4].scan for contrast, study in studies.items()})
    assert list(scan.sequences) == list(CONTRASTS)
    for contrast, study in studies.items():
        np.testing.assert_array_equal(scan.sequences[contrast], study[4].scan.grey)
    with pytest.raises(UnsupportedFile, match=r"its slices lie .* mm off; register them"):
        join({"t1": studies["t1"][3].scan, "t2": studies["t2"][5].scan})


def test_volumes_of_one_space_are_joined_slice_by_slice(make_nifti: Callable[..., Path], tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 900, (20, 24, 5)).astype(np.int16)
    volume[:, :, 2] = 0
    other = volume[::-1].copy()
    other[:, :, 4] = 0
    one = make_nifti(volume).rename(tmp_path / "one.nii")
    two = make_nifti(other).rename(tmp_path / "two.nii")
    scans = read_registered({"t1c": one, "flair": two})
    assert [s.frame for s in scans] == [0, 1, 3, 4]
    assert all(set(s.sequences) == {"t1c", "flair"} for s in scans)
    assert not scans[-1].sequences["flair"].any()


def test_what_is_not_on_one_grid_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (32, 32)), ("b.png", (32, 40))):
        Image.fromarray(rng.integers(0, 255, size).astype(np.uint8)).save(tmp_path / name)
    with pytest.raises(UnsupportedFile, match=r"b\.png: it does not lie on the grid of .*a\.png: 40 × 32 pixels"):
        read_registered({"t1": tmp_path / "a.png", "t2": tmp_path / "b.png"})
    with pytest.raises(UnreadableFile, match=r"c\.png"):
        read_registered({"t1": tmp_path / "a.png", "t2": tmp_path / "c.png"})
    Image.new("L", (32, 32)).save(tmp_path / "blank.png")
    with pytest.raises(NotAScan, match="nothing is shown"):
        read_registered({"t1": tmp_path / "blank.png"})
