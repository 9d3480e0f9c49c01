from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import Dataset

from tests.studies import GRIDS
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse
from tumorlens.results.make import KINDS
from tumorlens.results.slices import AnalysedStudy

WHEN = datetime(2026, 3, 4, 5, 6, 7)


@pytest.fixture
def tumour(make_study: Callable[..., Path], bright: Classifier) -> AnalysedStudy:
    return analyse(make_study(), bright, WHEN)


def kinds(results: list[Dataset]) -> list[str]:
    return [KINDS[r.SOPClassUID] for r in results]


def written(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


AXIAL = GRIDS["axial"]
