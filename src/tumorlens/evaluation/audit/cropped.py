"""Which pictures are one picture, cut out a little differently.

A margin cut off, or a picture stretched by a hundredth, moves edges by a pixel of the pattern, and the patterns of
copies then agree hardly better than those of neighbouring slices. Laid over each other by the shift and the stretch,
across and down, that fit best, they agree as copies do, and neighbouring slices do not: of 160 slices of head CT copies
by 0.971 and more and neighbours by 0.884 and less, of 6,076 slices of MRI by 0.952 and more and by 0.927 and less. Most
of the others show at half the resolution already, and in a few steps, that they are none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.audit.laying import THOROUGH, Floats, lay_over, middle_grid
from tumorlens.evaluation.audit.pictures import FINE

LEAST = 0.94
"""Correlation of two patterns laid over each other, from which they are one picture."""

PROMISING = 0.3
"""Correlation of two patterns as they are, below which no small shift makes them one picture."""

_QUICKLY = ((1.0, 6),)
_QUICK_LEAST = 0.87  # of copies at half the resolution: 0.90 and more
_CHUNK = 256


def fit_cropped(ones: NDArray[np.int8], others: NDArray[np.int8]) -> Floats:
    """How well pairs of fine patterns, (N, 64, 64) each, lie over each other, shifted and stretched: (N,), -1 to 1.

    Of those that are no copies as it seems at half the resolution, it is the correlation there.
    """
    parts = [slice(k, k + _CHUNK) for k in range(0, len(ones), _CHUNK)]
    scores = np.concatenate([np.zeros(0, np.float32), *(_halved(ones[k], others[k]) for k in parts)])
    worth = np.flatnonzero(scores >= _QUICK_LEAST)
    for k in range(0, len(worth), _CHUNK):
        these = worth[k : k + _CHUNK]
        scores[these] = _laid(ones[these].astype(np.float32), others[these].astype(np.float32), THOROUGH)
    return scores


def _halved(ones: NDArray[np.int8], others: NDArray[np.int8]) -> Floats:
    half = FINE // 2
    a, b = (v.astype(np.float32).reshape(len(v), half, 2, half, 2).mean((2, 4)) for v in (ones, others))
    return _laid(a, b, _QUICKLY)


def _laid(ones: Floats, others: Floats, blurs: tuple[tuple[float, int], ...]) -> Floats:
    grid = middle_grid(ones.shape[-1])
    motions = np.zeros((4, *grid.shape), np.float32)
    motions[0, 0] = motions[1, 1] = ones.shape[-1] / 2  # shifts
    motions[2, 0], motions[3, 1] = grid  # stretches
    start = np.broadcast_to(grid, (len(ones), *grid.shape))
    return lay_over(ones, others, start, motions, np.ones(grid.shape[1], np.float32), blurs).correlation
