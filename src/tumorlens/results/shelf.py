"""Pixels kept for later, out of memory if they are many."""

from __future__ import annotations

from dataclasses import replace
from os import SEEK_END
from tempfile import SpooledTemporaryFile

import numpy as np

from tumorlens.scan import Scan

_IN_MEMORY = 2**28
"""Bytes; more go to a file without a name, which ends with the process."""


class Shelf:
    """Scans of an analysis, so that no file must be decoded again."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - it lives as long as the shelf
        self._scans: dict[tuple[str, int], tuple[Scan, int]] = {}

    def put(self, scan: Scan) -> None:
        """Keeps a scan, without the values behind its window."""
        offset = self._file.seek(0, SEEK_END)
        np.save(self._file, scan.pixels, allow_pickle=False)
        blank = np.broadcast_to(np.float32(0), scan.pixels.shape)  # of the same shape, and of no size
        self._scans[scan.source, scan.frame] = replace(scan, pixels=blank, values=None), offset

    def take(self, source: str, frame: int) -> Scan:
        """The scan of a file's frame."""
        scan, offset = self._scans[source, frame]
        self._file.seek(offset)
        return replace(scan, pixels=np.load(self._file, allow_pickle=False))

    def close(self) -> None:
        """Drops all scans from memory."""
        self._file.close()
