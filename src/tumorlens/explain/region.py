"""From a heat map to a region: the part that holds the peak, as a box and a contour."""

from __future__ import annotations

import contourpy
import numpy as np
from numpy.typing import NDArray

from tumorlens.evidence import Region

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
    rows, columns = np.flatnonzero(hot.any(1)), np.flatnonzero(hot.any(0))
    top, left = int(rows[0]), int(columns[0])
    # Only what is hot is looked at: of a large scan that is a small part.
    near = heatmap[top : rows[-1] + 1, left : columns[-1] + 1]
    inside = _part_with(hot[top : rows[-1] + 1, left : columns[-1] + 1], np.unravel_index(near.argmax(), near.shape))
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)
    # A pixel more on each side, where the scan has one: the contour runs between pixels inside and outside.
    y0, x0, y1, x1 = max(box[1] - 1, 0), max(box[0] - 1, 0), box[3] + 1, box[2] + 1
    around = heatmap[y0:y1, x0:x1]
    belongs = np.zeros_like(around, bool)
    ours = belongs[box[1] - y0 : box[3] - y0, box[0] - x0 : box[2] - x0]
    ours[:] = inside[box[1] - top : box[3] - top, box[0] - left : box[2] - left]
    level = threshold * peak
    contour = _trace(np.where(belongs, around, np.minimum(around, level * 0.999)), level, (x0, y0), heatmap.shape)
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


def _part_with(hot: NDArray[np.bool_], seed: tuple[np.intp, ...]) -> NDArray[np.bool_]:
    """The 4-connected part of (H, W) `hot` that holds the pixel `seed`.

    A pixel spreads along its whole run in its row, then in its column, and so on: a few rounds fill any usual part.
    SciPy's labelling gives the same, but importing it takes as long as the rest of a start.
    """
    # Most maps have one hot part, of one run in each row: that is seen at once.
    beside = hot[:, 1:] & hot[:, :-1]
    runs = hot.sum(1) - beside.sum(1)
    if (runs == 1).all() and (hot[1:] & hot[:-1]).any(1).all():
        return hot
    filled = np.zeros_like(hot)
    filled[seed] = True
    count = 0
    while (now := int(filled.sum())) != count:
        count = now
        filled = _along_rows(hot, filled)
        filled = _along_rows(hot.T, filled.T).T
    return filled


def _along_rows(hot: NDArray[np.bool_], filled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fills each horizontal run of `hot` that `filled` touches."""
    starts = hot.copy()
    starts[:, 1:] &= ~hot[:, :-1]
    runs = np.cumsum(starts).reshape(hot.shape)  # a number for each run; gaps have any
    touched = np.zeros(int(runs[-1, -1]) + 1, bool)
    touched[runs[filled]] = True
    return hot & touched[runs]


def _trace(
    surface: NDArray[np.float32], level: float, corner: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[float, float], ...]:
    """The outermost line at a level, closed, as (x, y) in pixels from the picture's top left corner.

    `surface` is the part of a picture of `shape` (H, W) whose first pixel lies at `corner` (x, y).
    """
    # A border of zeros closes lines that would run out of the picture.
    padded, x, y = np.zeros((3, surface.shape[0] + 2, surface.shape[1] + 2))
    padded[1:-1, 1:-1] = surface
    # The picture's corner is half a pixel before the first centre.
    x += np.arange(padded.shape[1]) + corner[0] - 0.5
    y += np.arange(padded.shape[0])[:, None] + corner[1] - 0.5
    lines = contourpy.contour_generator(x, y, padded, name="serial").lines(level)
    outermost = max((np.asarray(line) for line in lines), key=enclosed_area)
    points = np.clip(outermost, 0, [shape[1], shape[0]])
    return tuple(zip(*np.round(points.T, 2).tolist(), strict=True))


def enclosed_area(line: NDArray[np.float64]) -> float:
    """Area inside a closed line, by the shoelace formula; a hole in the region may have the longer line."""
    x, y = line.T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2
