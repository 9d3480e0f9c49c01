"""Where a slice lies in the patient (PS3.3 C.7.6.2.1.1): plane, normal, depth, and which slices are parallel.

In DICOM's patient space, x grows to the patient's left, y to the back, z to the head, in mm. An orientation is six
direction cosines: of a row (columns increase), then of a column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PlaneName = Literal["axial", "coronal", "sagittal"]

Vector = tuple[float, ...]

OBLIQUE = 35.0
"""Degrees of tilt up to which a slice is of the nearest plane: heads are tilted, and so are slices on purpose."""

_PLANES: tuple[PlaneName, ...] = ("sagittal", "coronal", "axial")  # by the axis across: x, y, z
_SKEWED = 0.02  # deviation from right angles and unit length: more than two decimals of rounding leave
_ALIKE = 2e-3  # difference of direction cosines: more than three decimals of rounding leave
_FARTHEST = 1e5  # mm from the origin; no patient lies farther from a scanner's isocentre
_COARSEST = 100.0  # mm between pixels, or slices


def is_orientation(cosines: Sequence[float]) -> bool:
    """Whether six direction cosines are of unit length and at right angles, but for rounding."""
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    if max(map(abs, cosines)) > 2:
        return False
    return bool(max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)) < _SKEWED)


def is_position(position: Sequence[float]) -> bool:
    """Whether a position is one that a patient may be at."""
    return max(map(abs, position)) < _FARTHEST


def is_distance(millimetres: float) -> bool:
    """Whether a distance between pixels or slices, or a thickness, is one that a scan may have."""
    return 0 < millimetres < _COARSEST


def normal_of(orientation: Sequence[float]) -> NDArray[np.float64]:
    """Unit vector across a slice, (3,)."""
    normal = np.cross(orientation[:3], orientation[3:])
    unit: NDArray[np.float64] = normal / np.linalg.norm(normal)
    return unit


def depth_of(position: Sequence[float], orientation: Sequence[float]) -> float:
    """How far along its normal a slice lies, mm."""
    return float(normal_of(orientation) @ np.array(position))


def parallel(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two orientations are the same, but for rounding."""
    return bool(np.abs(np.subtract(one, other)).max() < _ALIKE)


def nearest_plane(orientation: Sequence[float]) -> tuple[PlaneName, float]:
    """The plane nearest to an orientation, and by how many degrees the slice is tilted out of it."""
    across = np.abs(normal_of(orientation))
    axis = int(across.argmax())
    return _PLANES[axis], math.degrees(math.acos(min(1.0, float(across[axis]))))


def plane_of(orientation: Sequence[float] | None) -> PlaneName | Literal["oblique"] | None:
    """The plane of a slice; "oblique" if it is tilted by more than `OBLIQUE` degrees, None without an orientation."""
    if orientation is None:
        return None
    plane, tilt = nearest_plane(orientation)
    return plane if tilt <= OBLIQUE else "oblique"


@dataclass(frozen=True)
class Geometry:
    """A slice's grid in the patient; only where all of it is known.

    Attributes:
        position: Centre of the first pixel.
        spacing: Distance between pixel centres, (down the rows, along a row), in mm.
        frame_of_reference: UID of the space the numbers are in.
        thickness: In mm; None where the header has none.
    """

    position: Vector
    orientation: Vector
    spacing: Vector
    frame_of_reference: str = field(repr=False)
    thickness: float | None = None

    @property
    def depth(self) -> float:
        """How far along the normal the slice lies, mm."""
        return depth_of(self.position, self.orientation)

    def same_grid(self, other: Geometry) -> bool:
        """Whether two slices are parallel, of one spacing, and in one space: slices of one stack."""
        return (
            self.frame_of_reference == other.frame_of_reference
            and parallel(self.orientation, other.orientation)
            and bool(np.abs(np.subtract(self.spacing, other.spacing)).max() < _ALIKE)
        )
