"""Means over scans, with intervals that know which scans belong together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.metrics import Estimate


def estimate_means(
    values: NDArray[np.float64], groups: Sequence[str] | NDArray[np.str_], *, resamples: int = 1000, seed: int = 0
) -> list[Estimate]:
    """The mean of each column, with the 95% percentile interval of a cluster bootstrap.

    Whole groups are drawn with replacement, as in `metrics.score`.

    `values` are (N, F) float64, NaN to leave a scan out of a column's mean; `groups` are what the scans belong to.

    Returns:
        F estimates; no value where a column has none, and no interval where all of it comes from one group.
    """
    _, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    finite = np.isfinite(values)
    count = int(group.max()) + 1 if len(group) else 0
    sums, numbers = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, group, np.where(finite, values, 0))
    np.add.at(numbers, group, finite)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples) if count > 1 else np.empty((0, count))
    with np.errstate(invalid="ignore"):
        means, drawn = sums.sum(0) / numbers.sum(0), (weights @ sums) / (weights @ numbers)
    vary = (numbers > 0).sum(0) >= 2  # the mean of one group is the same in every resample
    return [Estimate.of(float(mean), drawn[:, f] if vary[f] else None) for f, mean in enumerate(means)]
