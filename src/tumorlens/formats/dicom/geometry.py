"""Where a slice lies in the patient (PS3.3 C.7.6.2.1.1), from classic and enhanced headers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from tumorlens.formats.dicom.header import is_uid
from tumorlens.formats.dicom.reader import functional_group
from tumorlens.formats.dicom.series import vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

PlaneName = Literal["axial", "coronal", "sagittal"]

_PLANES: tuple[PlaneName, ...] = ("sagittal", "coronal", "axial")  # by the axis across: x, y, z (PS3.3 C.7.6.2.1.1)
_SKEWED = 5e-3  # deviation from right angles and unit length: more than three decimals of rounding leave
_FARTHEST = 1e5  # mm from the origin; no patient lies farther from a scanner's isocentre
_COARSEST = 100.0  # mm between pixels
_DIGITS = 4  # of direction cosines and spacing that planes of one stack share


@dataclass(frozen=True)
class Plane:
    """A slice's place in DICOM's patient space: x to the patient's left, y to the back, z to the head, in mm.

    Attributes:
        position: Centre of the first pixel, ImagePositionPatient.
        orientation: Unit vectors along a row (columns increase), then down a column: ImageOrientationPatient.
        spacing: Distance between pixel centres, (down the rows, along a row), in mm: PixelSpacing.
        frame_of_reference: UID of the space the numbers are in.
        thickness: SliceThickness in mm; None where the header has none.
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    frame_of_reference: str = field(repr=False)
    thickness: float | None = None

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slice, (3,)."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    @property
    def depth(self) -> float:
        """How far along the normal the slice lies, mm."""
        return float(self.normal @ np.array(self.position))

    @property
    def stack(self) -> tuple[object, ...]:
        """What parallel slices of one grid have in common."""
        return (*np.round((*self.orientation, *self.spacing), _DIGITS).tolist(), self.frame_of_reference)

    def to_patient(self, points: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
        """Points of the picture in patient space.

        Args:
            points: N of (x, y), in pixels from the top left corner of the picture, as in `Region.contour`.

        Returns:
            (N, 3) in mm.
        """
        x, y = np.asarray(points, float).reshape(-1, 2).T - 0.5  # the first pixel's centre is at half a pixel
        along, down = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        return np.array(self.position) + np.outer(x * self.spacing[1], along) + np.outer(y * self.spacing[0], down)


def plane_of(header: Dataset, frame: int) -> Plane | None:
    """Where a frame lies; None where the header has no usable geometry.

    Args:
        header: The file's, classic or enhanced.
        frame: The frame's place in the file, from 0.

    Raises:
        Exception: Whatever the parser raises for a corrupt header; call it inside `formats.checks.parsing`.
    """
    position = vector(functional_group(header, frame, "PlanePositionSequence").get("ImagePositionPatient"), 3)
    axes = vector(functional_group(header, frame, "PlaneOrientationSequence").get("ImageOrientationPatient"), 6)
    measures = functional_group(header, frame, "PixelMeasuresSequence")
    spacing = vector(measures.get("PixelSpacing"), 2)
    reference = str(header.get("FrameOfReferenceUID") or "").strip()
    if position is None or axes is None or spacing is None or not is_uid(reference):
        return None
    first, second = np.array(axes[:3]), np.array(axes[3:])
    skew = max(abs(first @ first - 1), abs(second @ second - 1), abs(first @ second))
    if not (skew < _SKEWED and max(map(abs, position)) < _FARTHEST and 0 < min(spacing) <= max(spacing) < _COARSEST):
        return None
    thickness = vector(measures.get("SliceThickness"), 1)
    known = thickness[0] if thickness and 0 < thickness[0] < _COARSEST else None
    return Plane(position, axes, spacing, reference, known)


def name_plane(ds: Dataset) -> tuple[PlaneName | None, float]:
    """The plane an image lies in, and by how many degrees it is tilted (PS3.3 C.7.6.2.1.1, C.7.6.16.2.4)."""
    value = ds.get("ImageOrientationPatient")
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups = ds.get(keyword)
        if value is None and groups and groups[0].get("PlaneOrientationSequence"):
            value = groups[0].PlaneOrientationSequence[0].get("ImageOrientationPatient")
    try:
        axes = np.array([float(v) for v in value or ()])
    except (TypeError, ValueError):
        return None, 0.0
    if axes.shape != (6,) or not np.isfinite(axes).all() or np.abs(axes).max() > 2:
        return None, 0.0
    normal = np.abs(np.cross(axes[:3], axes[3:]))
    length = float(np.linalg.norm(normal))
    if length < 0.5:  # rows and columns must be at right angles, and of length 1
        return None, 0.0
    axis = int(normal.argmax())
    return _PLANES[axis], math.degrees(math.acos(min(1.0, float(normal[axis]) / length)))
