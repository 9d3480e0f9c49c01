"""Evidence for a class in a scan: a heat map, and the region where it is strongest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

Point = tuple[float, float]


class Region(BaseModel, frozen=True):
    """Region of interest of a heat map: where the evidence is strongest. It is no outline of a tumour.

    Attributes:
        box: (x0, y0, x1, y1) in pixels of the scan; x to the right, y down, the last ones just outside.
        contour: Closed line of (x, y), in pixels from the top left corner of the scan.
        area: Pixels inside.
        box_mm: The box in mm from the top left corner; None where the scan has no spacing.
        contour_mm: The contour in mm; None where the scan has no spacing.
        area_mm2: The area in mm²; None where the scan has no spacing.
    """

    box: tuple[int, int, int, int]
    contour: tuple[Point, ...]
    area: int
    box_mm: tuple[float, float, float, float] | None = None
    contour_mm: tuple[Point, ...] | None = None
    area_mm2: float | None = None

    def __repr__(self) -> str:
        left, top, right, bottom = self.box
        size = f"{self.area} pixels" if self.area_mm2 is None else f"{self.area} pixels, {self.area_mm2:.0f} mm²"
        return f"<Region x {left} to {right}, y {top} to {bottom}: {size}>"

    __str__ = __repr__  # pydantic's own lists the whole contour


class Evidence(NamedTuple):
    """Heat map (class activation map) of one class in one scan, and its region.

    Attributes:
        heatmap: (H, W) float32 in [0, 1] on the scan's own grid, its peak 1; all zero where nothing speaks for it.
        region: Where it is strongest; None where nothing is, and for a class that means nothing was found.
    """

    heatmap: NDArray[np.float32]
    region: Region | None
