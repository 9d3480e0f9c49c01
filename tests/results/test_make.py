"""What the result objects say, and that they say it of the right study."""

from __future__ import annotations

from pathlib import Path

import pydicom

from tests.results.conftest import kinds
from tumorlens.classifier import Classifier
from tumorlens.results.make import make_results, write_results
from tumorlens.results.slices import AnalysedStudy


def test_a_tumour_has_all_kinds_of_results(tumour: AnalysedStudy, bright: Classifier) -> None:
    expected = ["secondary-capture"] * 3 + ["segmentation", "parametric-map", "presentation-state", "report"]

    assert kinds(make_results(tumour, bright.card)) == expected


def test_files_are_named_by_what_they_are(tumour: AnalysedStudy, bright: Classifier, tmp_path: Path) -> None:
    paths = write_results(make_results(tumour, bright.card), tmp_path / "out")

    assert [p.name for p in paths][2:] == [
        "03-secondary-capture.dcm",
        "04-segmentation.dcm",
        "05-parametric-map.dcm",
        "06-presentation-state.dcm",
        "07-report.dcm",
    ]
    assert all(pydicom.dcmread(p).SOPClassUID for p in paths)
