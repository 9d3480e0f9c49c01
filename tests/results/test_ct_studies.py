"""A CT study, by weights that look for haemorrhage: its results say so, in the terms of CT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from tests.results.conftest import AXIAL, WHEN, kinds
from tests.results.test_report import evaluations_of, report_of
from tests.studies import GRIDS, BrightEngine, Grid, classic, save
from tumorlens.classes import ClassSet
from tumorlens.classifier import Classifier
from tumorlens.engines import Answers, Target
from tumorlens.errors import UnsupportedFile
from tumorlens.modality import find_modality
from tumorlens.preprocess import Preprocessing
from tumorlens.results.analysis import analyse
from tumorlens.results.fhir import to_fhir
from tumorlens.results.make import make_results
from tumorlens.study.finding import SliceFinding, find_in_study


class BloodEngine(BrightEngine):
    """Says "haemorrhage" of what has a bright spot."""

    def __init__(self) -> None:
        super().__init__()
        classes = ClassSet.of(["haemorrhage", "normal"])
        classes = ClassSet(classes=tuple(c.model_copy(update={"nothing": c.key == "normal"}) for c in classes))
        ct = find_modality("CT")
        changes = {
            "classes": classes,
            "modality": ct,
            "preprocessing": Preprocessing(size=128, **ct.preprocessing),
            "calibration": None,
        }
        self.card = self.card.model_copy(update=changes)

    def answer(self, images: NDArray[np.float32], *, explain: bool = True, target: Target = None) -> Answers:
        answers = super().answer(images[:, 1:2], explain=explain, target=target)
        p = np.stack([1 - answers.probabilities[:, 3], answers.probabilities[:, 3]], 1)
        return replace(answers, probabilities=p, distances=None, standardised=None)


def ct_study(folder: Path, count: int = 11, grid: Grid = AXIAL) -> Path:
    """Slices of a head of 30 HU, with blood of up to 180 HU in some."""
    for i in range(count):
        ds = classic(grid, grid.position(i, count), number=count - i, series="1.2.3.8")
        for element in ("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType"):
            del ds[element]
        ds.SOPClassUID, ds.Modality, ds.ImageType = CTImageStorage, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.KVP, ds.AcquisitionNumber, ds.SeriesDescription = 120, 1, "Head"
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "0.2", "-30", "HU"
        ds.WindowCenter, ds.WindowWidth = 60, 240
        save(ds, folder / f"{i:03}.dcm")
    return folder


@pytest.fixture
def blood() -> Classifier:
    return Classifier(BloodEngine())


def words(results: list[Dataset]) -> dict[str, str]:
    study, *_ = report_of(results).get_image_measurement_groups()
    return dict(evaluations_of(study))


def test_results_say_what_was_sought_in_terms_of_ct(tmp_path: Path, blood: Classifier) -> None:
    analysed = analyse(ct_study(tmp_path / "ct"), blood, WHEN)
    results = make_results(analysed, blood.card)
    assert analysed.study.answer == "present"
    assert set(kinds(results)) >= {"secondary-capture", "segmentation", "parametric-map", "presentation-state"}
    assert words(results) == {"Hemorrhage": "Present", "Most probable class": "Hemorrhage"}
    report = report_of(results)
    assert report[0].ContentSequence  # a whole tree
    text = str(results[-1])
    assert "Head CT" in text
    assert "Brain MRI" not in text
    assert "Neoplasm" not in text
    assert "tumour" not in text
    assert {r.BodyPartExamined for r in results[:-1]} == {"HEAD"}
    states = [r for r, kind in zip(results, kinds(results), strict=True) if kind == "presentation-state"]
    assert {state.RescaleType for state in states} == {"HU"}
    bundle = str(to_fhir(analysed, blood.card))
    assert "Head CT" in bundle
    assert "69536005" in bundle
    assert "Neoplasm" not in bundle


def test_a_ct_series_counts_in_its_study(tmp_path: Path, blood: Classifier) -> None:
    analysed = analyse(ct_study(tmp_path / "ct"), blood, WHEN)
    found = find_in_study([SliceFinding(s.finding, s.place) for s in analysed.slices], blood.card.classes)
    assert [s.reason for s in found.series] == [""]


def test_a_tilted_gantry_changes_no_slice_and_no_answer(tmp_path: Path, blood: Classifier) -> None:
    grid = GRIDS["tilted gantry"]
    analysed = analyse(ct_study(tmp_path / "ct", grid=grid), blood, WHEN)
    assert analysed.study.answer == "present"
    (stack,) = analysed.study.series
    assert (stack.reason, stack.slices) == ("", 11)
    heights = [s.place.depth for s in analysed.slices]
    assert heights == sorted(heights)
    assert np.diff(heights) == pytest.approx(grid.gap * np.cross(grid.row, grid.column)[2], abs=1e-4)


def test_images_of_another_modality_are_no_part_of_the_answer(
    tmp_path: Path, make_study: Callable[..., Path], blood: Classifier, bright: Classifier
) -> None:
    study = make_study()
    with pytest.raises(UnsupportedFile, match="no CT images, but MR"):
        analyse(study, blood)
    ct_study(study, 3)
    mr = analyse(study, bright, WHEN)
    assert ({s.header.modality for s in mr.slices}, mr.left_out) == ({"MR"}, 3)
