"""Pictures that tests draw: four classes that even a tiny network tells apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw(kind: int, rng: np.random.Generator, size: int = 24) -> NDArray[np.uint8]:
    """(size, size) uint8: one of four patterns that a mirror does not change, in noise."""
    y, x = np.mgrid[:size, :size]
    pattern = [y < size / 2, y >= size / 2, y % 6 < 3, x % 6 < 3][kind]
    pixels: NDArray[np.uint8] = np.clip(pattern * 150 + 50 + rng.normal(0, 15, (size, size)), 0, 255).astype(np.uint8)
    return pixels
