"""What a header says of its series: its sequence, and why it may hold no slices to judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.studies import GRIDS, classic, save
from tumorlens.formats import read_scans
from tumorlens.formats.dicom.deidentify import deidentify
from tumorlens.formats.dicom.header import Header
from tumorlens.formats.dicom.info import CLASSIC_MR, clean_description, series_info


def image(**values: object) -> Dataset:
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(0, 1))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("header", "sequence"),
    [
        ({"description": "t1 mprage"}, "T1"),
        ({"description": "t1 mprage", "contrast": "Gadovist"}, "T1 post-contrast"),
        ({"protocol": "ax FLAIR"}, "FLAIR"),
        ({"sequence": "*ep_b1000", "description": "DWI"}, "diffusion"),
        ({"times": (5000.0, 100.0, None)}, "T2"),
        ({"description": "brain"}, None),
    ],
)
def test_the_sequence_is_what_texts_agent_and_times_tell(header: dict[str, Any], sequence: str | None) -> None:
    info = series_info(Header(sop_class=CLASSIC_MR, series_number=4, **header))
    assert (info.number, info.sequence, info.flaw) == (4, sequence, None)


@pytest.mark.parametrize(
    ("header", "flaw"),
    [
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7"}, "no MR or CT image"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localiser"),
        ({"description": "3-plane scout"}, "localiser"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "M", "MOSAIC")}, "mosaic of slices"),
        ({"image_type": ("DERIVED", "SECONDARY", "MIP")}, "projection of others"),
    ],
)
def test_what_is_no_series_of_slices_says_why(header: dict[str, Any], flaw: str) -> None:
    assert series_info(Header(**({"sop_class": CLASSIC_MR} | header))).flaw == flaw


@pytest.mark.parametrize("description", ["scout", "T1 post Gd, Petra", "Petra", "FLAIR"])
def test_a_clean_description_says_the_same_and_names_nobody(description: str) -> None:
    info = series_info(Header(sop_class=CLASSIC_MR, description=description))
    clean = clean_description(info)
    again = series_info(Header(sop_class=CLASSIC_MR, description=clean))
    assert (again.sequence, again.flaw) == (info.sequence, info.flaw)
    assert "Petra" not in clean


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
