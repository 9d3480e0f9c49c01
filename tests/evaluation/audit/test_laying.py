from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from tumorlens.evaluation.audit.laying import lay_over, middle_grid, read

SIZE = 64


def pattern(seed: int) -> NDArray[np.float32]:
    blobs = gaussian_filter(np.random.default_rng(seed).standard_normal((SIZE, SIZE)), 2.0)
    steps: NDArray[np.float32] = (32 * blobs / blobs.std()).clip(-127, 127).astype(np.float32)
    return steps


def test_shifts_and_stretches_are_found_again() -> None:
    one = pattern(0)
    # The second shows at p what the first shows at 1.04 p + (1.5 down, -2 right) from the middle.
    middle = np.full(2, (SIZE - 1) / 2)
    offset = middle + np.array([1.5, -2.0]) - 1.04 * middle
    other = affine_transform(one, np.eye(2) * 1.04, offset, order=1, mode="reflect")
    grid = middle_grid(SIZE)
    motions = np.zeros((4, *grid.shape), np.float32)
    motions[0, 0], motions[1, 1] = SIZE / 2, SIZE / 2
    motions[2, 0], motions[3, 1] = grid
    ones, others = (np.stack([p, p]).astype(np.int8) for p in (one, other))
    others[1] = pattern(1).astype(np.int8)  # the second pair has nothing in common
    start = np.broadcast_to(grid, (2, *grid.shape))
    found = lay_over(ones, others, start, motions, np.ones(grid.shape[1], np.float32))
    right, down, wider, taller = found.amounts[0]
    assert found.correlation[0] > 0.98
    assert found.correlation[1] < 0.7
    assert (right * SIZE / 2, down * SIZE / 2) == pytest.approx((2.0 / 1.04, -1.5 / 1.04), abs=0.1)
    assert (1 + wider, 1 + taller) == pytest.approx((1 / 1.04, 1 / 1.04), abs=0.01)


def test_hardly_any_overlap_proves_nothing() -> None:
    grid = middle_grid(SIZE)
    one = pattern(0).astype(np.int8)[None]
    beside = grid[None] + np.array([[[SIZE * 0.8], [0]]], np.float32)
    still = np.zeros((1, *grid.shape), np.float32)
    assert lay_over(one, one, beside, still, np.ones(grid.shape[1], np.float32)).correlation.tolist() == [0]


def test_values_between_pixels() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    places = np.array([[[0.0, 0.5, 2.0], [0.0, 0.5, 1.25]]])  # right, down
    assert read(image, places)[0] == pytest.approx([0, 2.5, 7.0], abs=1e-4)
