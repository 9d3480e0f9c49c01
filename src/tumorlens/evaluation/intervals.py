"""Means over scans, with intervals that know which scans belong together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.metrics import CONFIDENCE, Estimate


def estimate_means(
    values: NDArray[np.float64], groups: Sequence[str] | NDArray[np.str_], *, resamples: int = 1000, seed: int = 0
) -> list[Estimate]:
    """The mean of each column, with the 95% percentile interval of a cluster bootstrap.

    Whole groups are drawn with replacement, as in `metrics.score`.

    Args:
        values: (N, F) float64; NaN leaves a scan out of a column's mean.
        groups: The group each scan belongs to.
        resamples: Bootstrap samples.
        seed: Their seed.

    Returns:
        F estimates; no value where a column has none, and no interval where all of it comes from one group.
    """
    _, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    known = np.isfinite(values)
    count = int(group.max()) + 1 if len(group) else 0
    sums, numbers = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, group, np.where(known, values, 0))
    np.add.at(numbers, group, known)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples) if count > 1 else np.empty((0, count))
    below = weights @ numbers
    with np.errstate(invalid="ignore"):
        drawn = (weights @ sums) / below
    return [_estimate(sums[:, f], numbers[:, f], drawn[:, f]) for f in range(values.shape[1])]


def _estimate(sums: NDArray[np.float64], numbers: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    if not numbers.any():
        return Estimate(value=None)
    value = float(sums.sum() / numbers.sum())
    defined = drawn[np.isfinite(drawn)]
    # Fewer than two groups never vary, and a mean that most resamples leave undefined rests on too few.
    if (numbers > 0).sum() < 2 or len(defined) < len(drawn) / 2 or not len(defined):
        return Estimate(value=value)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=value, low=float(low), high=float(high))
