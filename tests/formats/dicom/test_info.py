"""What a DICOM header says of its series."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from tests.studies import GRIDS, classic, save
from tumorlens.formats import read_scans
from tumorlens.formats.dicom.deidentify import deidentify
from tumorlens.formats.dicom.header import Header
from tumorlens.formats.dicom.info import series_info

AXIAL = GRIDS["axial"]


def image(**values: object) -> Dataset:
    ds = classic(AXIAL, AXIAL.position(0, 1))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("values", "sequence"),
    [
        ({"SeriesDescription": "t1 tse tra", "ContrastBolusAgent": "Gadovist"}, "T1 post-contrast"),
        ({"SeriesDescription": "t1 tse tra"}, "T1"),
        ({"SeriesDescription": "axial", "ProtocolName": "t2_flair"}, "FLAIR"),
        ({"RepetitionTime": 500, "EchoTime": 10}, "T1"),
        ({}, None),
    ],
)
def test_sequence_and_contrast_are_read(values: dict[str, object], sequence: str | None) -> None:
    info = series_info(Header.of(image(**values)))
    assert (info.sequence, info.flaw, info.number) == (sequence, None, 3)


@pytest.mark.parametrize(
    ("values", "flaw"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localiser"),
        ({"SeriesDescription": "3-plane loc"}, "localiser"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "mosaic of slices"),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]}, "projection of others"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "no MR image"),
    ],
)
def test_what_holds_no_slices_to_judge_is_told(values: dict[str, object], flaw: str) -> None:
    assert series_info(Header.of(image(**values))).flaw == flaw


@pytest.mark.parametrize(
    "values",
    [
        {"SeriesDescription": "t1 post, Doe", "ContrastBolusAgent": "Gadovist"},
        {"ProtocolName": "t2_flair for Dr Doe"},
        {"SeriesDescription": "localizer Doe"},
        {"SeriesDescription": "SAG T1 PRE Doe", "ContrastBolusAgent": "Gadovist"},
    ],
)
def test_a_deidentified_file_says_the_same_of_its_series_and_names_nobody(values: dict[str, object]) -> None:
    ds = image(**values)
    before = series_info(Header.of(ds))
    deidentify(ds, b"secret")
    after = series_info(Header.of(ds))

    assert (after.sequence, after.flaw) == (before.sequence, before.flaw)
    assert "Doe" not in str(ds)


def test_scans_carry_it(tmp_path: Path) -> None:
    (scan,) = read_scans(save(image(SeriesDescription="t2 tra"), tmp_path / "a.dcm"))
    assert (scan.info.sequence, scan.info.number, scan.number) == ("T2", 3, 1)
    assert scan.orientation == (1, 0, 0, 0, 1, 0)
    assert scan.study != scan.series != scan.instance
