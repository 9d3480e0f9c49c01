"""The limits let through what they say they do, and docs/security.md has what the code has."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import nibabel
import numpy as np
import pytest

from rehearsal.phantoms import make_instance
from tumorlens import limits
from tumorlens.errors import TooLarge
from tumorlens.formats import read_scans
from tumorlens.formats.checks import check_size

_PAGE = Path(__file__).parents[1] / "docs" / "security.md"


def test_the_table_has_every_limit_and_its_value() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([\d,]+) \|", _PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    stated = {name: value for name, value in vars(limits).items() if name.isupper() and name not in ("KB", "MB")}
    assert {name: float(value.replace(",", "")) for name, value in rows.items()} == stated


def test_a_picture_of_4096_by_4096_pixels_is_decoded_and_a_volume_fills_no_more_than_a_gibibyte() -> None:
    assert limits.PIXELS >= 4096 * 4096
    assert limits.VOXELS * 4 <= 2**30


def test_the_largest_file_has_the_time_to_come_at_a_megabyte_a_second() -> None:
    assert limits.FILE / limits.MB <= limits.MESSAGE_SECONDS
    assert limits.PDU / limits.MB <= limits.PDU_SECONDS


def test_the_largest_association_request_of_the_standard_is_taken() -> None:
    contexts, syntaxes, uid = 128, 40, 64 // 2  # UIDs of transfer syntaxes are half as long as they may be
    assert contexts * (8 + 4 + 64 + syntaxes * (4 + uid)) <= limits.REQUEST


@pytest.mark.parametrize(
    ("height", "width", "frames"),
    [(240, 240, 155), (512, 512, 500), (512, 512, 1024), (4096, 4096, 1)],
    ids=["a volume of BraTS", "a long multi-frame", "a long CT in one file", "a digital radiograph"],
)
def test_what_hospitals_and_researchers_have_is_taken(height: int, width: int, frames: int) -> None:
    check_size("scan", height, width, frames)


def test_a_study_of_1172_slices_is_no_more_than_a_case_may_be() -> None:
    assert limits.CASE_FILES >= 1172
    assert limits.CASE >= 1172 * (512 * 512 * 2 + 10 * limits.KB)
    assert limits.CASE_SECONDS / 1172 > 0.5  # a slice takes a tenth of that; see docs/speed.md


def test_more_is_refused_with_the_limit_and_the_remedy() -> None:
    with pytest.raises(TooLarge, match=r"268,435,456 we accept; split the file or resample it"):
        check_size("scan", 512, 512, 1025)


def test_a_volume_of_brats_and_500_frames_are_read(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (240, 240, 155), np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1, -1, 1, 1])), tmp_path / "flair.nii")
    assert [scan.pixels.shape for scan in islice(read_scans(tmp_path / "flair.nii"), 2)] == [(240, 240)] * 2

    frames = np.random.default_rng(0).integers(0, 900, (500, 64, 64), np.uint16)
    instance = make_instance("long", NumberOfFrames=500, PixelData=frames.tobytes())
    instance.save_as(tmp_path / "long.dcm", enforce_file_format=True)
    assert sum(1 for _ in read_scans(tmp_path / "long.dcm")) == 500
