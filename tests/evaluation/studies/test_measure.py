import csv
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from tumorlens.card import HeatMapRule, WeightsCard
from tumorlens.classifier import Classifier
from tumorlens.engines import Answers, Target
from tumorlens.errors import DataError
from tumorlens.evaluation.studies.measure import measure_studies, write_scores
from tumorlens.evaluation.studies.volumes import find_volumes, read_volume
from tumorlens.preprocess import Preprocessing

SLICES, SIZE = 12, 40


@dataclass
class Bright:
    """An engine that calls a slice a glioma, at its brightest place, if it has a bright spot."""

    card: WeightsCard
    rule: HeatMapRule

    def answer(self, images: NDArray[np.float32], *, explain: bool = True, target: Target = None) -> Answers:
        spots = images[:, 0] > 0.9
        sure = np.where(spots.any((1, 2)), 0.9, 0.1)
        p = np.zeros((len(images), 4))
        p[:, 0], p[:, 3] = sure, 1 - sure
        heat = np.repeat(spots[:, None].astype(np.float32), 4, 1)
        return Answers(p, heat if target == "all" else heat[:, 0] if explain else None, None, None)


@pytest.fixture
def classifier() -> Classifier:
    shipped = Classifier.load()
    changes = {"calibration": None, "preprocessing": Preprocessing(size=64)}  # leaves the volume's own window
    return Classifier(Bright(shipped.card.model_copy(update=changes), shipped.heat_map))


def study(folder: Path, name: str, tumour: range, bright: range) -> None:
    """A head with a tumour in some slices and bright spots in others, or the same."""
    data = np.random.default_rng(0).integers(200, 400, (SIZE, SIZE, SLICES)).astype(np.int16)
    mask = np.zeros_like(data)
    for i in bright:
        data[20:28, 20:28, i] = 1000
    mask[19:29, 19:29, list(tumour)] = 1
    for suffix, array in (("", data), ("-seg", mask)):
        nib.save(nib.Nifti1Image(array, np.diag([1.0, 1, 5, 1])), folder / f"{name}{suffix}.nii.gz")


def test_what_is_missed_and_what_is_a_false_alarm(tmp_path: Path, classifier: Classifier) -> None:
    study(tmp_path, "right", range(4, 6), range(4, 6))
    study(
        tmp_path, "half", range(4, 6), range(5, 9)
    )  # misses slice 4; 8 is a false alarm, 6 and 7 are too near to tell
    scores = measure_studies(classifier, find_volumes(tmp_path), label="glioma")
    half, right = scores.studies
    assert (right.missed, right.tumour_slices, right.false_alarms, right.free_slices) == (0, 2, 0, 6)
    assert (half.missed, half.tumour_slices, half.false_alarms, half.free_slices) == (1, 2, 1, 6)
    assert (right.pointing, half.pointing) == (1.0, 0.5)
    assert scores.alone.missed.value == pytest.approx(1 / 4)
    assert scores.alone.false_alarms.value == pytest.approx(1 / 12)
    assert scores.called == {"glioma": 1, "meningioma": 0, "pituitary": 0, "no_tumor": 11}
    # 4 slices with tumour, 3 of them bright; 12 without, 1 bright; ties count half.
    assert scores.alone.auc.value == pytest.approx((3 * (11 + 0.5) + 1 * 11 * 0.5) / 48)
    # 5 mm apart, and 30 mm decide together: 3 to each side. Two bright ones convince nobody, four do from 5 to 8.
    assert scores.in_context.missed.value == pytest.approx(3 / 4)
    assert scores.in_context.false_alarms.value == pytest.approx(1 / 12)
    assert scores.in_context.auc.value != scores.alone.auc.value
    assert scores.patients == 2
    assert scores.named_rightly.value == sum(r.label == "glioma" for r in scores.studies) / 2


def test_a_study_without_a_known_class_or_a_tumour_is_refused(tmp_path: Path, classifier: Classifier) -> None:
    study(tmp_path, "a", range(4, 6), range(4, 6))
    (volume,) = find_volumes(tmp_path)
    with pytest.raises(DataError, match="a: nothing says its class; add the column label"):
        measure_studies(classifier, [volume])
    with pytest.raises(DataError, match="'stroke' is none of glioma"):
        measure_studies(classifier, [replace(volume, label="stroke")])
    study(tmp_path, "a", range(0), range(4, 6))
    with pytest.raises(DataError, match="marks no tumour"):
        measure_studies(classifier, [volume], label="glioma")
    study(tmp_path, "a", range(12), range(4, 6))
    with pytest.raises(DataError, match="no slice is 3 or more away"):
        measure_studies(classifier, [volume], label="glioma")


def test_scores_are_written_as_json_and_a_row_a_study(tmp_path: Path, classifier: Classifier) -> None:
    study(tmp_path, "a", range(4, 6), range(4, 6))
    scores = measure_studies(classifier, find_volumes(tmp_path), label="glioma")
    path = write_scores(scores, tmp_path / "out")
    assert json.loads(path.read_text())["studies"][0]["name"] == "a"
    table = (tmp_path / "out" / "studies.csv").read_text().splitlines()
    assert table[0].startswith("name,patient,truth,label")
    assert len(table) == 2


@pytest.mark.real
def test_real_studies_are_read_slice_for_slice_as_their_table_says() -> None:
    home = os.environ.get("TUMORLENS_DATA")
    if not home or not (Path(home) / "progression").is_dir():
        pytest.skip("TUMORLENS_DATA names no folder with progression in it")
    folder = Path(home) / "progression"
    with (folder / "slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    volumes = find_volumes(folder)
    assert len(volumes) == len({row["path"] for row in rows})
    for volume in volumes[:3]:
        scans, masks = read_volume(volume)
        told = {int(r["frame"]): int(r["tumour_pixels"]) for r in rows if r["path"] == volume.path.name}
        read = {scan.frame: int(mask.sum()) for scan, mask in zip(scans, masks, strict=True)}
        assert {frame: read[frame] for frame in told} == told
