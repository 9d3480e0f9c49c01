"""What a header says of its series: its sequence, and why it may hold no slices to judge."""

from __future__ import annotations

from typing import Any

import pytest

from tumorlens.formats.dicom.header import Header
from tumorlens.formats.dicom.info import CLASSIC_MR, clean_description, series_info


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
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7"}, "no MR image"),
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
