"""Lays patterns over each other by the motion that fits best (Lucas and Kanade, IJCAI 1981), many pairs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tumorlens.grey import Number

Floats = NDArray[np.float32]

THOROUGH = ((2.0, 8), (1.0, 6), (0.5, 4))
"""Blurs in pixels, and how often the motion is corrected at each."""

_FURTHEST = 0.1  # a correction, at most
_LEAST_SEEN = 0.4  # share of the first pattern that must lie over the second: less proves nothing


@dataclass(frozen=True, eq=False)
class Overlay:
    """How pairs of patterns lie over each other best.

    Attributes:
        amounts: (N, K) float64, how much of each of K motions lays the second over the first.
        correlation: (N,) of the two then, -1 to 1; 0 where too little of the one lies over the other.
    """

    amounts: NDArray[np.float64]
    correlation: Floats


def lay_over(
    ones: NDArray[Number],
    others: NDArray[Number],
    start: Floats,
    motions: Floats,
    shown: Floats,
    blurs: Sequence[tuple[float, int]] = THOROUGH,
) -> Overlay:
    """Lays the second of each pair of patterns over the first.

    Args:
        ones: (N, S, S).
        others: (N, S, S).
        start: (N, 2, P) places in the others, (right, down) in pixels from the middle, where the search begins for each
            of P places in the ones. They are `middle_grid`'s, or a map's of them.
        motions: (K, 2, P) how far each motion moves them.
        shown: (P,) 1 where a place of the ones counts, 0 where it does not.
        blurs: From broad to fine.
    """
    half = (ones.shape[-1] - 1) / 2
    amounts = np.zeros((len(ones), len(motions)))
    flat = motions.reshape(len(motions), -1)

    def places() -> Floats:
        return start + (amounts.astype(np.float32) @ flat).reshape(start.shape)

    def seen(at: Floats) -> Floats:
        counted: Floats = (np.abs(at) <= half).all(1) * shown
        return counted

    first, second = ones.astype(np.float32), others.astype(np.float32)
    for blur, corrections in blurs:
        a, b = (gaussian_filter(v, (0, blur, blur)) for v in (first, second))
        down, right = np.gradient(b, axis=(1, 2))
        for _ in range(corrections):
            at = places()
            visible, now = seen(at), read(b, at + np.float32(half))
            wanted, (mean, spread) = _standard(a.reshape(len(a), -1), visible)[0], _standard(now, visible)[1]
            rest = (wanted * spread + mean - now) * visible
            steep = np.stack([read(slope, at + np.float32(half)) * visible for slope in (right, down)], 1)
            slopes = np.einsum("ncp,kcp->nkp", steep, motions)
            square = slopes @ slopes.transpose(0, 2, 1)
            size = np.einsum("nii->ni", square)[:, :, None]
            square += np.eye(len(motions), dtype=np.float32) * (0.02 * size + 1e-3)
            step = np.linalg.solve(square, slopes @ rest[:, :, None])[:, :, 0]
            amounts = amounts + step.clip(-_FURTHEST, _FURTHEST)
    at = places()
    visible = seen(at)
    a, b = first.reshape(len(first), -1), read(second, at + np.float32(half))
    a, b = (_standard(v, visible)[0] * visible for v in (a, b))
    enough = visible.sum(1) >= _LEAST_SEEN * shown.sum()
    correlation = np.where(enough, (a * b).sum(1) / np.maximum(visible.sum(1), 1), 0).astype(np.float32)
    return Overlay(amounts, correlation)


def middle_grid(size: int) -> Floats:
    """(2, size * size): every pixel's place, (right, down) from the middle, row by row."""
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2).reshape(2, -1).astype(np.float32)
    return np.stack([x, y])


def read(images: Floats, places: NDArray[np.floating]) -> Floats:
    """Values between the pixels, bilinear: (N, S, S) and (N, 2, P) places (right, down) in pixels to (N, P)."""
    size = images.shape[-1]
    x, y = (places[:, i].clip(0, size - 1.001).astype(np.float32) for i in (0, 1))
    column, row = x.astype(np.intp), y.astype(np.intp)
    x, y = x - column, y - row
    flat = images.reshape(-1)
    corner = (np.arange(len(images))[:, None] * size + row) * size + column
    upper = flat[corner] * (1 - x) + flat[corner + 1] * x
    lower = flat[corner + size] * (1 - x) + flat[corner + size + 1] * x
    values: Floats = upper * (1 - y) + lower * y
    return values


def _standard(values: Floats, seen: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
    """Values with mean 0 and standard deviation 1 where seen; and both as they were, (N, 1)."""
    count = np.maximum(seen.sum(1, keepdims=True), 1)
    mean = (values * seen).sum(1, keepdims=True) / count
    spread = np.sqrt((((values - mean) ** 2) * seen).sum(1, keepdims=True) / count) + np.float32(1e-6)
    return (values - mean) / spread, (mean, spread)
