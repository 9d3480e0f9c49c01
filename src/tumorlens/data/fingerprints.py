"""Which pictures trained a network: fingerprints beside its weights, so that a test can tell what it has learnt from.

A fingerprint is 64 bits of a hash of a picture's 8-bit greys, as its reader gives them. Files with the same pixels have
the same one; a copy that was mirrored, scaled or stored as another JPEG has another, and so has a neighbouring slice.
It leads back to no picture, but whoever has the picture can tell whether it was there.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import ModelError
from tumorlens.files import write_atomically
from tumorlens.scan import Scan

Fingerprints = NDArray[np.uint64]
"""(N,) uint64."""

_STORED = np.dtype("<u8")


def fingerprint(scan: Scan) -> int:
    """The fingerprint of a scan, 0 to 2⁶⁴ − 1."""
    greys = np.ascontiguousarray(np.rint(scan.pixels * np.float32(255)), np.uint8)
    return int.from_bytes(blake2b(greys.data, digest_size=8, salt=str(greys.shape).encode()[:16]).digest(), "little")


def write_fingerprints(weights: Path, fingerprints: Iterable[int]) -> None:
    """Writes those of the pictures that trained weights into a file beside these, `.fingerprints`."""
    ordered = np.unique(np.fromiter(fingerprints, np.uint64))
    write_atomically(weights.with_suffix(".fingerprints"), ordered.astype(_STORED).tobytes())


def read_fingerprints(weights: Path) -> Fingerprints | None:
    """Fingerprints of the pictures that trained weights, ascending; None where nothing beside these tells them.

    Raises:
        ModelError: If the file is cut off.
    """
    path = weights.with_suffix(".fingerprints")
    if not path.is_file():
        return None
    content = path.read_bytes()
    if len(content) % _STORED.itemsize:
        raise ModelError(f"{path}: is cut off; copy it again, or delete it to do without")
    return np.frombuffer(content, _STORED).astype(np.uint64)
