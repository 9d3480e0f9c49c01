"""Studies with a bright lesion, and a classifier that finds what is bright; see hospital_studies.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hospital_studies import GRIDS, BrightEngine, Grid, classic, save

from tumorlens.classifier import Classifier


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study of one series, by default axial with a lesion; files are named against their order."""

    def make(grid: Grid = GRIDS["axial"], count: int = 11, lesion: bool = True, **options: object) -> Path:
        folder = tmp_path / "study"
        for i in range(count):
            ds = classic(grid, grid.position(i, count), lesion, number=i + 1, **options)
            save(ds, folder / f"s{ds.SeriesInstanceUID[-1]}-{count - i:03}.dcm")
        return folder

    return make


@pytest.fixture
def bright() -> Classifier:
    return Classifier(BrightEngine())


@pytest.fixture
def strange() -> Classifier:
    return Classifier(BrightEngine(unknown=True))
