from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tumorlens.phantoms.phantom import Phantom, make_phantoms


def test_size_changes_the_pixels_not_the_patient() -> None:
    small, large = (next(make_phantoms(1, seed=1, size=size)) for size in (64, 160))
    assert small.scan.pixels.shape == (64, 64)
    assert large.scan.pixels.shape == (160, 160)
    assert small.position == large.position
    assert small.scan.spacing[0] == pytest.approx(large.scan.spacing[0] * 160 / 64)
    assert small.outline.points.mean(0) == pytest.approx(large.outline.points.mean(0), abs=0.02)


def test_a_series_is_one_patient_in_one_plane_and_neighbouring_slices(phantoms: list[Phantom]) -> None:
    series: dict[str, list[Phantom]] = {}
    for p in phantoms:
        series.setdefault(p.scan.series, []).append(p)
    for slices in series.values():
        assert len({(p.scan.patient, p.label, p.plane, p.contrast, p.scan.spacing) for p in slices}) == 1
        assert slices[0].scan.series == f"{slices[0].scan.patient}-{slices[0].plane}"
        assert all(0 < b.position - a.position < 6.1 for a, b in pairwise(slices))
    patients = Counter(slices[0].scan.patient for slices in series.values())
    assert set(patients.values()) == {1, 2}
