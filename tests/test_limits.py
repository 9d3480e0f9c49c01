"""The limits let through what they say they do, and docs/security.md has what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from tumorlens import limits

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
