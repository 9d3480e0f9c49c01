"""From a head to one slice: the patient's anatomy, the plane, the scanner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tumorlens.phantoms.head import Head
from tumorlens.phantoms.lesion import Lesion, Look, paint
from tumorlens.phantoms.tissue import (
    ORIGIN,
    SHAPE,
    STEP,
    Floats,
    grey_values,
    intracranial,
    white_matter,
)

PLANES = ("axial", "coronal", "sagittal")
_HALF_APART = 1.1  # mm
_NODES = 33  # smooth things are computed at 33 × 33 places of a slice and interpolated between them
NORMAL = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The axis a plane is perpendicular to, in mm to the right, front, top."""
# Directions of columns and rows as (axis, sign). Radiological: the patient's right is on the left of the picture.
_IN_PLANE = {
    "axial": ((0, -1), (1, -1)),
    "coronal": ((0, -1), (2, -1)),
    "sagittal": ((1, -1), (2, -1)),
}


class Anatomy:
    """One patient's head: the common head, turned, stretched and warped."""

    def __init__(self, rng: np.random.Generator) -> None:
        turn = np.radians(rng.normal(0, [3.0, 2.5, 4.0])).clip(-0.16, 0.16)
        matrix = np.diag(1 / rng.normal(1, [0.035, 0.035, 0.035]).clip(0.91, 1.09))
        for axis, angle in enumerate(turn):
            a, b = (k for k in range(3) if k != axis)
            rotation = np.eye(3)
            rotation[[a, b], [a, b]] = np.cos(angle)
            rotation[a, b], rotation[b, a] = -np.sin(angle), np.sin(angle)
            matrix = rotation @ matrix
        matrix += np.triu(rng.normal(0, 0.015, (3, 3)), 1)
        self.matrix = matrix.astype(np.float32)
        direction = rng.standard_normal((10, 3))
        direction *= 2 * np.pi / (rng.uniform(55, 160, 10) * np.linalg.norm(direction, axis=1))[:, None]
        self.waves = direction.astype(np.float32)
        self.phases = rng.uniform(0, 2 * np.pi, (10, 1)).astype(np.float32)
        # Long waves may be high, short ones must be low, or the head would fold.
        height = 0.10 / np.linalg.norm(direction, axis=1) / 2
        self.heights = (rng.standard_normal((3, 10)) * height).astype(np.float32)

    def to_head(self, points: Floats) -> Floats:
        """Where (3, N) places of the patient, in mm, lie in the common head: (3, N) float32."""
        places: Floats = self.matrix @ points + self.heights @ np.sin(self.waves @ points + self.phases)
        return places

    def from_head(self, point: NDArray[np.floating]) -> Floats:
        """The patient's place, (3,) float32, of a place in the common head."""
        inverse = np.linalg.inv(self.matrix)
        place = np.zeros((3, 1), np.float32)
        for _ in range(12):
            place = place + inverse @ (np.asarray(point, np.float32)[:, None] - self.to_head(place))
        return place[:, 0].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Scanner:
    """What is common to the slices of a series.

    Attributes:
        table: (256,) float32 grey value of each material.
        field_of_view: Edge of the square picture, mm.
        centre: (3,) middle of the picture, mm; its component along the normal is not used.
        noise: Standard deviation of the noise in either channel.
        shading: (4, 4) wave vectors, phases and heights of the coil's uneven sensitivity.
    """

    plane: str
    contrast: str
    table: Floats
    field_of_view: float
    centre: Floats
    noise: float
    gamma: float
    shading: Floats

    @classmethod
    def draw(cls, plane: str, contrast: str, rng: np.random.Generator) -> Scanner:
        """Sets a scanner up, the same way for every kind of patient."""
        view = rng.uniform(214, 256)
        centre = np.array([0, -6, 106 - view / 2]) + rng.normal(0, 4, 3)
        if plane == "axial":
            centre[1] -= 5
        shading = np.hstack(
            [rng.normal(0, 0.012, (4, 3)), rng.uniform(0, 2 * np.pi, (4, 1)), rng.normal(0, 0.09, (4, 1))]
        )
        return cls(
            plane,
            contrast,
            grey_values(contrast, rng) * np.float32(rng.uniform(0.85, 1.1)),
            float(view),
            centre.astype(np.float32),
            noise=float(rng.uniform(0.006, 0.028)),
            gamma=float(rng.uniform(0.85, 1.2)),
            shading=shading.astype(np.float32),
        )

    def also(self, contrast: str, rng: np.random.Generator) -> Scanner:
        """The same pictures of the same patient, who has not moved, in another contrast."""
        table = grey_values(contrast, rng) * np.float32(rng.uniform(0.85, 1.1))
        noise, gamma = float(rng.uniform(0.006, 0.028)), float(rng.uniform(0.85, 1.2))
        return replace(self, contrast=contrast, table=table, noise=noise, gamma=gamma)


def cut(
    head: Head, anatomy: Anatomy, lesion: Lesion | None, scanner: Scanner, position: float, size: int
) -> tuple[Floats, Floats]:
    """Cuts one slice, without noise.

    `position` is where the slice crosses the plane's normal, in mm to the right, front or top; `size` is the edge of
    the picture in pixels.

    Returns:
        The picture, (size, size) float32 from 0 to about 1, and how much of each pixel is lesion, the same shape,
        in [0, 1], 0.5 on the border.
    """
    spacing = scanner.field_of_view / size
    nodes = _nodes(scanner, position)
    coarse = anatomy.to_head(nodes).reshape(3, _NODES, _NODES)
    points = _spread(coarse, size)

    share = np.zeros((size, size), np.float32)
    box = None
    if lesion is not None:
        box = _box(coarse, lesion, size)
    if lesion is not None and box is not None:
        here = points[:, *box].reshape(3, -1)
        field = lesion.field(here)
        moved = lesion.displace(here)
        shape = points[0][box].shape
        points[:, *box] = moved.reshape(3, *shape)
        tissue = (_sample(head, _INSIDE, moved), _sample(head, _WHITE, moved))
    # A slice has a thickness: the mean of two planes also softens the head's voxels.
    across = anatomy.matrix[:, NORMAL[scanner.plane], None] * np.float32(_HALF_APART)
    flat = points.reshape(3, -1)
    image = _sample(head, scanner.table, flat - across)
    image += _sample(head, scanner.table, flat + across)
    image = (image * np.float32(0.5)).reshape(size, size)
    if lesion is not None and box is not None:
        part = image[box].ravel()
        look = Look(scanner.contrast, scanner.table, spacing)
        share[box] = paint(part, lesion, here, field, tissue, look).reshape(shape)
        image[box] = part.reshape(shape)
    image *= _spread(_sensitivity(scanner, nodes), size)
    return image, share


def expose(image: Floats, scanner: Scanner, rng: np.random.Generator) -> Floats:
    """Adds Rician noise (Gudbjartsson & Patz, 1995, doi:10.1002/mrm.1910340618) and the grey scale.

    Returns:
        (H, W) float32 in [0, 1].
    """
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(scanner.noise)
    real += image
    real *= real
    imaginary *= imaginary
    real += imaginary
    # The square root of the magnitude and the grey scale's exponent in one.
    grey: Floats = np.minimum(real ** np.float32(scanner.gamma / 2), np.float32(1))
    return grey


_INSIDE, _WHITE = intracranial(), white_matter()


def _nodes(scanner: Scanner, position: float) -> Floats:
    """The patient's places, (3, 33²) float32 in mm, that span the slice from the first to the last pixel's edge."""
    steps = np.linspace(-0.5, 0.5, _NODES, dtype=np.float32) * scanner.field_of_view
    (column_axis, column_sign), (row_axis, row_sign) = _IN_PLANE[scanner.plane]
    nodes = np.empty((3, _NODES, _NODES), np.float32)
    nodes[NORMAL[scanner.plane]] = position
    nodes[column_axis] = scanner.centre[column_axis] + column_sign * steps[None, :]
    nodes[row_axis] = scanner.centre[row_axis] + row_sign * steps[:, None]
    return nodes.reshape(3, -1)


@lru_cache(maxsize=8)
def _interpolation(size: int) -> tuple[NDArray[np.intp], Floats]:
    """The node before each pixel's centre, and the way from there to the next node, in [0, 1)."""
    place = (np.arange(size) + 0.5) / size * (_NODES - 1)
    return place.astype(np.intp), (place % 1).astype(np.float32)


def _spread(coarse: Floats, size: int) -> Floats:
    """Interpolates linearly from the nodes to the pixels' centres: (…, 33, 33) to (…, size, size).

    Not a matrix product: for so small ones, a threaded BLAS is ten times slower when cores are busy.
    """
    node, way = _interpolation(size)
    rows = coarse[..., node, :]
    rows += (coarse[..., node + 1, :] - rows) * way[:, None]
    pixels = rows[..., node]
    pixels += (rows[..., node + 1] - pixels) * way
    return pixels


def _sensitivity(scanner: Scanner, nodes: Floats) -> Floats:
    """The coil's sensitivity at the nodes, (33, 33) float32: smooth, and failing below the jaw."""
    vectors, phases, heights = scanner.shading[:, :3], scanner.shading[:, 3:4], scanner.shading[:, 4]
    smooth = np.exp(heights @ np.sin(vectors @ nodes + phases))
    fade = ((nodes[2] + 134) / 36).clip(0, 1)
    sensitivity: Floats = (smooth * fade * fade * (3 - 2 * fade)).reshape(_NODES, _NODES)
    return sensitivity


def _box(coarse: Floats, lesion: Lesion, size: int) -> tuple[slice, slice] | None:
    """Rows and columns of the picture that the lesion may touch, from the places of the nodes in the head."""
    distance = np.sqrt(((coarse - lesion.centre[:, None, None]) ** 2).sum(0))
    near = distance < lesion.reach + 8
    if not near.any():
        return None
    slices = []
    for axis in (1, 0):
        hit = np.flatnonzero(near.any(axis))
        low, high = hit[0] / (_NODES - 1) * size, hit[-1] / (_NODES - 1) * size
        slices.append(slice(max(0, int(low) - 1), min(size, int(high) + 2)))
    return slices[0], slices[1]


_STRIDES = (SHAPE[1] * SHAPE[2], SHAPE[2], 1)
_LAST = np.array(SHAPE, np.float32)[:, None] - np.float32(1.001)


def _sample(head: Head, table: Floats, points: Floats) -> Floats:
    """Looks materials up in a table and interpolates linearly: (N,) float32 at (3, N) places, in mm."""
    place = (points - ORIGIN.astype(np.float32)[:, None]) * np.float32(1 / STEP)
    np.clip(place, 0, _LAST, out=place)
    whole = place.astype(np.int32)
    place -= whole
    start = (whole[0] * SHAPE[1] + whole[1]) * SHAPE[2] + whole[2]
    voxels = head.material.reshape(-1)

    def along(axis: int, offset: int) -> Floats:
        if axis == 3:
            values: Floats = table.take(voxels.take(start + offset))
            return values
        low, high = along(axis + 1, offset), along(axis + 1, offset + _STRIDES[axis])
        high -= low
        high *= place[axis]
        high += low
        return high

    return along(0, 0)
