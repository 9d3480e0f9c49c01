"""What a reader measures in a slice: a length, an angle, the values in an ellipse or a rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["length", "angle", "ellipse", "rectangle"]

POINTS: dict[Kind, int] = {"length": 2, "angle": 3, "ellipse": 2, "rectangle": 2}
"""How many points make each: two ends; an end, the corner, the other end; two corners of the box around it."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """What is known of the slice that is measured.

    Attributes:
        size: (width, height) in pixels.
        spacing: mm between pixel centres, (down, along the rows); None where the file does not say.
        values: (height, width) of what the file holds, or of the picture's grey, 0 to 255.
        unit: Of the values: "HU"; "grey" of a picture's; empty where the file's numbers have none.
    """

    size: tuple[int, int]
    spacing: tuple[float, float] | None
    values: NDArray[np.float32]
    unit: str


@dataclass(frozen=True)
class Measured:
    """A measurement's numbers. Lengths and areas are in mm and mm² only where the spacing is known, else in pixels.

    Attributes:
        text: All of it in words.
        length: Of a length.
        angle: In degrees.
        area: Of an ellipse or rectangle.
        mean: Of the values inside.
        spread: Their standard deviation.
        least: Their least.
        most: Their greatest.
        unit: Of length and area: "mm" or "pixels".
    """

    text: str
    unit: str
    length: float | None = None
    angle: float | None = None
    area: float | None = None
    mean: float | None = None
    spread: float | None = None
    least: float | None = None
    most: float | None = None


def measure(kind: Kind, points: Sequence[Point], grid: Grid) -> Measured:
    """Measures between points in fractions of width and height.

    Raises:
        ValueError: If there are more or fewer points than the kind has, or nothing lies between them.
    """
    if len(points) != POINTS[kind]:
        raise ValueError(f"{'an' if kind[0] in 'ae' else 'a'} {kind} has {POINTS[kind]} points")
    across, down = grid.size
    tall, wide = grid.spacing or (1.0, 1.0)
    unit = "pixels" if grid.spacing is None else "mm"
    placed = np.array(points, float) * [across * wide, down * tall]
    if kind == "length":
        length = float(np.linalg.norm(placed[1] - placed[0]))
        if not length:
            raise ValueError("the ends of a length are two places")
        return Measured(f"length {length:.1f} {unit}", unit, length=length)
    if kind == "angle":
        one, other = placed[0] - placed[1], placed[2] - placed[1]
        lengths = np.linalg.norm(one) * np.linalg.norm(other)
        if not lengths:
            raise ValueError("the ends of an angle lie off its corner")
        angle = float(np.degrees(np.arccos(np.clip(one @ other / lengths, -1, 1))))
        doubt = "" if grid.spacing else ", if pixels are square"
        return Measured(f"angle {angle:.0f}°{doubt}", unit, angle=angle)
    inside = grid.values[_inside(kind, points, grid.size)]
    if not inside.size:
        raise ValueError("no pixel's centre lies inside; draw it larger")
    width, height = np.abs(placed[1] - placed[0])
    area = float(width * height * (np.pi / 4 if kind == "ellipse" else 1))
    mean, spread = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
    least, most = float(inside.min()), float(inside.max())
    of = f" {grid.unit}" if grid.unit else ""
    size = f"{area:.0f} {'mm²' if grid.spacing else 'pixels'}"
    text = f"{kind} {size}: mean {_short(mean)}, spread {_short(spread)}, {_short(least)} to {_short(most)}{of}"
    return Measured(text, unit, area=area, mean=mean, spread=spread, least=least, most=most)


def _inside(kind: Kind, points: Sequence[Point], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres lie inside, (height, width)."""
    across, down = size
    (x0, x1), (y0, y1) = (sorted(axis) for axis in zip(*points, strict=True))
    x, y = (np.arange(across) + 0.5) / across, ((np.arange(down) + 0.5) / down)[:, None]
    box: NDArray[np.bool_] = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    if kind == "rectangle" or x0 == x1 or y0 == y1:
        return box
    inside: NDArray[np.bool_] = ((x - (x0 + x1) / 2) / (x1 - x0)) ** 2 + ((y - (y0 + y1) / 2) / (y1 - y0)) ** 2 <= 0.25
    return box & inside


def _short(value: float) -> str:
    """A value with three figures, or all that stand before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
