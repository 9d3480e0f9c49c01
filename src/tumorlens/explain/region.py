"""From a heat map to a region: the part that holds the peak, as a box and a contour."""

from __future__ import annotations

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tumorlens.finding import Region

THRESHOLD = 0.5
"""Share of the peak that bounds the region. Half maximum is the convention where none was fitted."""


def find_region(
    heatmap: NDArray[np.float32], spacing: tuple[float, float] | None = None, threshold: float = THRESHOLD
) -> Region | None:
    """Finds the connected part of a heat map around its peak.

    Args:
        heatmap: (H, W) float32 in [0, 1]; its peak is 1, or it is all zero.
        spacing: (down the rows, along a row) in mm, where known.
        threshold: Share of the peak that still belongs to the region, in (0, 1).

    Returns:
        The region, or None where the map is flat.
    """
    peak = float(heatmap.max())
    if peak <= 0:
        return None
    hot = heatmap >= threshold * peak
    parts, _ = ndimage.label(hot)
    inside = parts == parts[np.unravel_index(int(heatmap.argmax()), heatmap.shape)]
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    contour = _trace(np.where(inside, heatmap, np.minimum(heatmap, threshold * peak * 0.999)), threshold * peak)
    row_step, column_step = spacing or (None, None)
    if row_step is None or column_step is None:
        return Region(box=box, contour=contour, area=int(inside.sum()))
    return Region(
        box=box,
        contour=contour,
        area=int(inside.sum()),
        box_mm=(box[0] * column_step, box[1] * row_step, box[2] * column_step, box[3] * row_step),
        contour_mm=tuple((x * column_step, y * row_step) for x, y in contour),
        area_mm2=float(inside.sum()) * row_step * column_step,
    )


def _trace(surface: NDArray[np.float32], level: float) -> tuple[tuple[float, float], ...]:
    """The outermost line at a level, closed, as (x, y) in pixels from the picture's top left corner."""
    # A border of zeros closes lines that would run out of the picture.
    padded = np.pad(surface, 1)
    lines = contourpy.contour_generator(z=padded, name="serial").lines(level)
    outermost = max((np.asarray(line) for line in lines), key=_enclosed)
    # contourpy counts pixel centres from 0; the picture's corner is half a pixel before the first centre.
    height, width = surface.shape
    points = np.clip(outermost - 1 + 0.5, 0, [width, height])
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)


def _enclosed(line: NDArray[np.float64]) -> float:
    """Area inside a closed line, by the shoelace formula; a hole in the region may have the longer line."""
    x, y = line.T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2
