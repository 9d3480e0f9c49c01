"""What a plot shows, point by point, so that a page can tell the values under the pointer."""

from __future__ import annotations

import json

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

_MOST = 60  # points of one curve; more lie closer than a pointer can tell apart

Point = tuple[float, float, str]


def points_of(figure: Figure) -> list[Point]:
    """Points of labelled curves, marks beside a named row, and ends of bars: where they lie, and their values in words.

    Places are shares of the figure's width, and of its height from above. Left out are reference lines, which have no
    label, and what lies outside the axes.
    """
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    points = []
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        for x, y, words in _points(axes):
            across, up = axes.transData.transform((x, y))
            if axes.bbox.padded(1).contains(across, up):
                points.append((round(across / width, 4), round(1 - up / height, 4), words))
    return points


def as_json(figure: Figure) -> str:
    """The same as compact JSON, for a page's data attribute."""
    return json.dumps(points_of(figure), separators=(",", ":"), ensure_ascii=False)


def _points(axes: Axes) -> list[Point]:
    beneath = (other.xaxis.get_label_text() for other in axes.get_shared_x_axes().get_siblings(axes))
    across = _short(axes.xaxis.get_label_text() or max(beneath, default=""))  # stacked plots name it once
    up = _short(axes.yaxis.get_label_text())
    rows = dict(zip(axes.get_yticks(), (t.get_text() for t in axes.get_yticklabels()), strict=False)) if not up else {}
    found = []
    for line in axes.get_lines():
        label, data = str(line.get_label()), np.asarray(line.get_xydata(), np.float64)
        data = data[np.isfinite(data).all(1)]
        if rows and len(data) == 1:  # a mark in a row that has a name
            x, y = data[0]
            row = rows[min(rows, key=lambda place: abs(place - y))]
            found.append((x, y, f"{row}{'' if label.startswith('_') else ', ' + label}: {x:.3g}"))
        elif not label.startswith("_") and (len(data) > 2 or line.get_marker() != "None"):
            name = label.partition("  ")[0]
            for x, y in data[np.unique(np.linspace(0, len(data) - 1, min(_MOST, len(data))).astype(int))]:
                found.append((x, y, f"{name}: {across} {x:.3g}, {up} {y:.3g}"))
    for patch in axes.patches:
        if isinstance(patch, Rectangle) and patch.get_height():
            middle, top = patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height()
            found.append((middle, top, f"{across} {middle:.3g}: {up} {top:,.3g}".strip()))
    return found


def _short(label: str) -> str:
    """A label without what stands in brackets."""
    return label.partition(" (")[0]
