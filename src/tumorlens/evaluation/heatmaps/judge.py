"""One heat map against one radiologist's outline, and the maps of no network to hold it against.

References:
    Zhang et al., Top-down neural attention by excitation backprop, IJCV 126, 2018: the pointing game and its 15 pixels.
    Arras, Osman and Samek, CLEVR-XAI, Information Fusion 81, 2022: relevance mass accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tumorlens.outline import Outline
from tumorlens.scan import Scan

TOLERANCE = 15 / 512
"""How far outside the outline the hottest point may lie in the pointing game, as a share of the picture's width."""

THRESHOLDS = np.arange(1, 20) / 20
"""Shares of the peak that are tried as a threshold."""

FIGURES = ("pointing", "pointing_strict", "mass", "dice", "iou", "box", "blank")
"""What is measured of each map, in the order of `judge`."""


@dataclass(frozen=True, eq=False)
class Tumour:
    """An outline on a scan's grid, with what judging many maps against it needs.

    Attributes:
        coverage: (H, W) float32 in [0, 1], share of each pixel inside.
        mask: (H, W) bool, pixels inside; never empty.
        distance: (H, W) float64, distance of each pixel outside to the mask, in pixels; 0 inside.
        box: Of the mask, (x0, y0, x1, y1) in pixels, the last ones just outside.
    """

    coverage: NDArray[np.float32]
    mask: NDArray[np.bool_]
    distance: NDArray[np.float64]
    box: tuple[int, int, int, int]

    @classmethod
    def of(cls, outline: Outline, height: int, width: int) -> Tumour:
        """Draws an outline on a grid."""
        coverage = outline.coverage(height, width)
        mask = coverage >= 0.5
        if not mask.any():  # thinner than a pixel
            mask = coverage > 0
        return cls(coverage, mask, ndimage.distance_transform_edt(~mask), _box(mask))

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> Tumour:
        """Takes a mask of whole pixels, (H, W), that is not empty."""
        return cls(mask.astype(np.float32), mask, ndimage.distance_transform_edt(~mask), _box(mask))


def judge(heat: NDArray[np.float32], tumour: Tumour, threshold: float) -> NDArray[np.float64]:
    """Judges one map.

    Where several pixels share the peak, the pointing game gives the share of them that hit: so an even map scores
    what a random point would.

    `heat` is (H, W) float32 >= 0 of any scale, on the grid of `tumour`; from the share `threshold` of its peak a pixel
    counts as marked.

    Returns:
        The `FIGURES` as (7,) float64 in [0, 1]; all are 0 for a blank map, but `blank` itself, which is 1.
    """
    peak = float(heat.max())
    if peak <= 0:
        return np.array([0, 0, 0, 0, 0, 0, 1], np.float64)
    away = tumour.distance[heat >= peak]
    marked = heat >= threshold * peak
    common, both = np.count_nonzero(marked & tumour.mask), np.count_nonzero(marked) + np.count_nonzero(tumour.mask)
    parts, _ = ndimage.label(marked)
    hottest = parts == parts.flat[int(heat.argmax())]
    return np.array(
        [
            (away <= TOLERANCE * heat.shape[1]).mean(),
            (away == 0).mean(),
            float((heat * tumour.coverage).sum(dtype=np.float64) / heat.sum(dtype=np.float64)),
            2 * common / both,
            common / (both - common),
            _box_overlap(_box(hottest), tumour.box) >= 0.5,
            0,
        ],
        np.float64,
    )


def dice_by_threshold(heat: NDArray[np.float32], tumour: Tumour) -> NDArray[np.float64]:
    """Dice at each of `THRESHOLDS`, (19,) float64; 0 for a blank map."""
    peak = float(heat.max())
    if peak <= 0:
        return np.zeros(len(THRESHOLDS))
    steps = len(THRESHOLDS) + 1
    # Counted once by step, then summed from the hottest down. The margin keeps a pixel at a threshold above it.
    step = np.minimum(heat * (steps / peak) + 1e-4, steps).astype(np.int64)
    marked = np.bincount(step.ravel(), minlength=steps + 1)[::-1].cumsum()[::-1][1:steps]
    common = np.bincount(step[tumour.mask], minlength=steps + 1)[::-1].cumsum()[::-1][1:steps]
    dice: NDArray[np.float64] = 2 * common / (marked + np.count_nonzero(tumour.mask))
    return dice


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _box_overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(wide, 0) * max(tall, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def _even(scan: Scan) -> NDArray[np.float32]:
    return np.ones((scan.height, scan.width), np.float32)


def _centre(scan: Scan) -> NDArray[np.float32]:
    y = (np.arange(scan.height) + 0.5) / scan.height - 0.5
    x = (np.arange(scan.width) + 0.5) / scan.width - 0.5
    return np.exp(-(y[:, None] ** 2 + x**2) / (2 * 0.15**2)).astype(np.float32)


def _brightest(scan: Scan) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(scan.grey, scan.width / 20)
    return blurred


@dataclass(frozen=True)
class Baseline:
    """A map made without a network.

    Attributes:
        draw: Makes it, (H, W) float32 >= 0.
    """

    title: str
    meaning: str
    draw: Callable[[Scan], NDArray[np.float32]]


BASELINES: dict[str, Baseline] = {
    "chance": Baseline("chance", "the same heat everywhere: a random point", _even),
    "centre": Baseline("centre", "a Gaussian at the middle of the picture, σ = 15% of its sides", _centre),
    "brightest": Baseline("brightest", "the scan itself, smoothed with σ = 5% of its width", _brightest),
}
"""Every baseline by its key."""
