"""A radiologist's polygon of the tumour, in fractions of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tumorlens.errors import DataError

_FINER = 16  # polygons are drawn at this many times the picture's size, then averaged


@dataclass(frozen=True, eq=False)
class Outline:
    """A closed polygon.

    Attributes:
        points: (N, 2) float64, N >= 3: x (to the right) and y (down) in fractions of width and height;
            (0, 0) is the top left corner of the top left pixel, (1, 1) the bottom right corner of the last.
    """

    points: NDArray[np.float64]

    def __post_init__(self) -> None:
        p = self.points
        if p.ndim != 2 or p.shape[1] != 2 or len(p) < 3:
            raise DataError(f"an outline needs at least three x,y points, not an array of shape {p.shape}")
        if not np.isfinite(p).all() or p.min() < 0 or p.max() > 1:
            raise DataError("an outline leaves the picture; its points are fractions from 0 to 1")

    @classmethod
    def parse(cls, text: str) -> Outline:
        """Reads "x,y x,y x,y …", the form outlines have in manifests.

        Raises:
            DataError: If the text is no such list, or a point lies outside [0, 1].
        """
        try:
            points = np.array([[float(v) for v in point.split(",")] for point in text.split()])
        except ValueError as error:
            raise DataError(f"not an outline: {text[:40]!r}; write it as 'x,y x,y x,y'") from error
        return cls(points)

    def __str__(self) -> str:
        return " ".join(f"{x:.4f},{y:.4f}" for x, y in self.points)

    def mirrored(self) -> Outline:
        """The outline of the picture mirrored left to right."""
        return Outline(self.points * [-1, 1] + [1, 0])

    def coverage(self, height: int, width: int) -> NDArray[np.float32]:
        """Share of each pixel that lies inside, (height, width) float32 in [0, 1]."""
        corners = self.points * [width, height]
        # Only the pixels around the polygon are drawn finely; Pillow fills the pixels on the line too, which at
        # this fineness widens the shape by a thirtieth of a pixel.
        low = np.floor(corners.min(0)).astype(int)
        high = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, [width, height])
        columns, rows = np.maximum(high - low, 1)
        canvas = Image.new("L", (int(columns) * _FINER, int(rows) * _FINER))
        scaled = (corners - low) * _FINER - 0.5
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in scaled], fill=1)
        fine = np.asarray(canvas, np.float32).reshape(rows, _FINER, columns, _FINER)
        covered = np.zeros((height, width), np.float32)
        target = covered[low[1] : low[1] + rows, low[0] : low[0] + columns]
        target[:] = fine.mean((1, 3))[: target.shape[0], : target.shape[1]]
        return covered

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Pixels that lie at least half inside, (height, width) bool."""
        return self.coverage(height, width) >= 0.5
