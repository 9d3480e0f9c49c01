"""Where slices lie, which way they face, and which of them belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.studies import GRIDS, classic
from tumorlens.formats.dicom.geometry import Geometry, nearest_plane, parallel, plane_of
from tumorlens.formats.dicom.header import Header


def _geometry(grid: str = "oblique") -> Geometry:
    geometry = Header.of(classic(GRIDS[grid], np.array([1.0, 2.0, 3.0]))).geometry(0)
    assert geometry is not None
    return geometry


@pytest.mark.parametrize(("grid", "depth"), [("axial", 3), ("coronal", 2), ("sagittal", -1), ("reversed rows", -3)])
def test_depth_grows_along_the_normal(grid: str, depth: float) -> None:
    assert _geometry(grid).depth == pytest.approx(depth)


@pytest.mark.parametrize(
    ("orientation", "plane", "tilt"),
    [
        ((1, 0, 0, 0, 1, 0), "axial", 0),
        ((-1, 0, 0, 0, 0, -1), "coronal", 0),
        ((0, 1, 0, 0, 0, -1), "sagittal", 0),
        ((1, 0, 0, 0, 0.940, 0.342), "axial", 20),
        ((1, 0, 0, 0, 0.342, 0.940), "coronal", 20),
    ],
)
def test_the_nearest_plane_and_the_tilt_out_of_it(orientation: tuple[float, ...], plane: str, tilt: float) -> None:
    nearest, degrees = nearest_plane(orientation)
    assert nearest == plane
    assert degrees == pytest.approx(tilt, abs=0.1)


def test_a_slice_that_is_tilted_too_far_is_of_no_plane() -> None:
    assert plane_of((1, 0, 0, 0, 0.94, 0.342)) == "axial"
    assert plane_of((1, 0, 0, 0, 0.77, 0.64)) == "oblique"
    assert plane_of(None) is None


def test_rounding_makes_no_other_orientation_and_a_turn_does() -> None:
    orientation = _geometry().orientation
    assert parallel(orientation, tuple(np.round(orientation, 3)))
    assert not parallel(orientation, _geometry("axial").orientation)


def test_slices_of_one_grid_differ_in_nothing_but_their_position() -> None:
    one = _geometry()
    assert one.same_grid(replace(one, position=(9, 9, 9), thickness=7))
    assert one.same_grid(replace(one, spacing=tuple(v + 1e-5 for v in one.spacing)))
    for other in ({"spacing": (1.4, 1.5)}, {"frame_of_reference": "1.2"}, {"orientation": (1, 0, 0, 0, 1, 0)}):
        assert not one.same_grid(replace(one, **other))
