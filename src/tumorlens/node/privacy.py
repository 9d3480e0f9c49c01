"""What may be said of a study in a log: nothing but a stand-in for its UIDs."""

from __future__ import annotations

import hashlib
import logging

LOUD = ("pynetdicom", "pydicom", "httpx", "httpcore", "python_multipart")


def short(uid: str | None) -> str:
    """A stand-in for a UID in logs and reports: the same UID, the same ten hexadecimal digits, and no way back."""
    return hashlib.sha256((uid or "").encode(errors="replace")).hexdigest()[:10]


def quieten() -> None:
    """Stops libraries from logging: what they log quotes data sets, and addresses with UIDs in them."""
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
