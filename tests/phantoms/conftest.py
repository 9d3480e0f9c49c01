from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from tumorlens.phantoms.phantom import Phantom, make_phantoms


@pytest.fixture(scope="session")
def phantoms() -> list[Phantom]:
    return list(make_phantoms(480, seed=3))


def inside(phantom: Phantom) -> np.ndarray:
    """Pixels whose centre lies in the outline."""
    size = phantom.scan.width
    rows, columns = np.mgrid[:size, :size] + 0.5
    assert phantom.outline is not None
    polygon = Polygon(phantom.outline.points * size)
    return polygon.contains_points(np.column_stack([columns.ravel(), rows.ravel()])).reshape(size, size)
