"""What stands in a DICOM header."""

from __future__ import annotations

import re


def is_uid(text: str) -> bool:
    """Whether a text is a UID (PS3.5, 9.1), but for leading zeros, which some scanners write."""
    return len(text) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) is not None
