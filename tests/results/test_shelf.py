"""What was put on the shelf comes back, in any order and however much it is."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from tumorlens.results import shelf
from tumorlens.scan import Scan, Values


@pytest.mark.parametrize("in_memory", [1 << 20, 100])
def test_scans_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    monkeypatch.setattr(shelf, "_IN_MEMORY", in_memory)
    pixels = np.random.default_rng(0).random((4, 20, 30), np.float32)
    with closing(shelf.Shelf()) as kept:
        for frame, each in enumerate(pixels):
            kept.put(Scan(each, "a.dcm", frame, (1.0, 2.0), warnings=("one",), values=Values(each, 0, 1)))
        for frame in (2, 0, 3, 1):
            scan = kept.take("a.dcm", frame)
            np.testing.assert_array_equal(scan.pixels, pixels[frame])
            assert (scan.frame, scan.spacing, scan.warnings, scan.values) == (frame, (1.0, 2.0), ("one",), None)
