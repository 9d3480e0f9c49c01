"""How right a classifier is on whole studies, tumour-free slices included.

A benchmark of single slices says nothing of it: there every slice with a tumour may come from one source and every one
without from others. Within a study, scanner, sequence and patient are the same; only the tumour tells slices apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from tumorlens.classes import ClassSet, ScanClass
from tumorlens.classifier import Classifier
from tumorlens.errors import DataError
from tumorlens.evaluation.heatmaps.judge import Tumour, judge
from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.studies.volumes import MaskedVolume, read_volume
from tumorlens.files import write_atomically, write_table
from tumorlens.study import Study, StudyFinding

MARGIN = 3
"""Slices at least so far from the nearest with tumour count as tumour-free; nearer ones may hold oedema or its edge."""

_DETECTION = ClassSet(
    classes=(ScanClass(key="tumor", name="tumour"), ScanClass(key="no_tumor", name="no tumour", nothing=True))
)


class StudyRow(BaseModel, frozen=True):
    """One study.

    Attributes:
        label: Key of the class that the study's finding names; None where it is not assessable.
        uncertain: Whether the answer is that nobody can tell by it.
        free_slices: Slices `MARGIN` or more from the tumour.
        false_alarms: Those of them called a tumour.
        pointing: Share of the slices with tumour whose heat map's peak lies on it; None where there are none.
    """

    name: str
    patient: str
    truth: str
    label: str | None
    probability: float | None
    uncertain: bool
    tumour_slices: int
    missed: int
    free_slices: int
    false_alarms: int
    pointing: float | None


class SliceDetection(BaseModel, frozen=True):
    """How well slices with tumour are told from those without, among the slices of whole studies.

    Attributes:
        auc: Area under the ROC curve, by the probability of any tumour.
        missed: Share of the slices with tumour called "nothing found".
        false_alarms: Share of the tumour-free slices called a tumour.
    """

    auc: Estimate
    missed: Estimate
    false_alarms: Estimate


class StudyScores(BaseModel, frozen=True):
    """A classifier on whole studies; intervals are resampled by patient.

    Attributes:
        margin: Slices between a tumour and the slices that count as tumour-free.
        alone: Every slice by itself.
        in_context: Every slice with its neighbours, as `StudyFinding.in_context` and `suspected` have it.
        called: Tumour-free slices by the class they were called.
        pointing: Share of the slices with tumour whose heat map's peak lies on it or close to it; one that is called
            "nothing found" has no map.
        named_rightly: Share of the studies whose finding names their class, and is not uncertain.
        uncertain: Share of the studies whose finding is uncertain.
    """

    weights: str
    patients: int
    margin: int
    tumour_slices: int
    free_slices: int
    alone: SliceDetection
    in_context: SliceDetection
    called: dict[str, int]
    pointing: Estimate
    named_rightly: Estimate
    uncertain: Estimate
    studies: tuple[StudyRow, ...]


@dataclass(frozen=True, eq=False)
class _Slices:
    """What was said of one study's slices.

    Attributes:
        distance: (N,) slices to the nearest with tumour, 0 on it.
        something: (N,) probability of any tumour.
        context: (N,) the same in the mean with its neighbours, where the slice is known.
        predicted: (N,) index of the most probable class.
        suspected: (N,) whether it is called a tumour in that mean.
        pointing: (N,) the pointing game; NaN on slices without tumour.
    """

    distance: NDArray[np.intp]
    something: NDArray[np.float64]
    context: NDArray[np.float64]
    predicted: NDArray[np.intp]
    suspected: NDArray[np.bool_]
    pointing: NDArray[np.float64]


def measure_studies(
    classifier: Classifier,
    volumes: Sequence[MaskedVolume],
    *,
    label: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> StudyScores:
    """Has every slice and every study classified, and compares with the masks.

    One of the weights' classes must mean that nothing was found. `label` is the class of studies whose table names
    none; `progress` is called with (done, total) after each study.

    Raises:
        DataError: If a study's class is not known or none of the weights', a grid does not fit, or no slice has a
            tumour or none is free of it.
        UnreadableFile: If a volume cannot be read.
    """
    classes = classifier.card.classes
    nothing = np.array([c.nothing for c in classes])
    if not nothing.any():
        raise DataError(f"{classifier.card.name}: none of its classes means that nothing was found; studies need one")
    rows, parts = [], []
    for done, volume in enumerate(volumes, 1):
        truth = classes.match(volume.label or label or "")
        if truth is None:
            named = volume.label or label
            problem = f"its class {named!r} is none of {', '.join(classes.keys)}" if named else "nothing says its class"
            raise DataError(f"{volume.name}: {problem}; add the column label to the table, or --label")
        part, study = _measure(classifier, volume, nothing)
        parts.append(part)
        rows.append(_row(volume, classes.keys[truth], study, part, nothing))
        progress(done, len(volumes))
    return _score(classifier.card.name, rows, parts, classes, nothing)


def write_scores(scores: StudyScores, folder: Path) -> Path:
    """Writes studies.json and studies.csv, a row a study; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "studies.csv", StudyRow.model_fields, (row.model_dump().values() for row in scores.studies))
    path = folder / "studies.json"
    write_atomically(path, scores.model_dump_json(indent=1).encode() + b"\n")
    return path


def _measure(classifier: Classifier, volume: MaskedVolume, nothing: NDArray[np.bool_]) -> tuple[_Slices, StudyFinding]:
    scans, masks = read_volume(volume)
    answers = classifier.engine.answer(classifier.prepare(scans), target="all")
    assert answers.heat is not None
    predicted = answers.probabilities.argmax(1)
    on = np.flatnonzero(masks.any((1, 2)))
    if not len(on):
        raise DataError(f"{volume.mask.name}: marks no tumour; leave the study out")
    distance = np.abs(np.arange(len(scans))[:, None] - on).min(1)
    pointing = np.full(len(scans), np.nan)
    for i in on.tolist():
        heat = classifier.preprocessing.restore(answers.heat[i][predicted[i]], scans[i])
        shown = np.zeros_like(heat) if nothing[predicted[i]] else heat
        pointing[i] = judge(shown, Tumour.of_mask(masks[i]), classifier.heat_map.threshold)[0]
    study = classifier.find_study(Study.of(scans), explain=False)
    something = answers.probabilities @ (~nothing).astype(float)
    context = [own if mean is None else mean for own, mean in zip(something, study.in_context, strict=True)]
    suspected = np.isin(np.arange(len(scans)), study.suspected)
    return _Slices(distance, something, np.array(context), predicted, suspected, pointing), study


def _row(volume: MaskedVolume, truth: str, study: StudyFinding, part: _Slices, nothing: NDArray[np.bool_]) -> StudyRow:
    on, free, called = part.distance == 0, part.distance >= MARGIN, ~nothing[part.predicted]
    return StudyRow(
        name=volume.name,
        patient=volume.patient,
        truth=truth,
        label=study.label,
        probability=study.confidence,
        uncertain=study.uncertain,
        tumour_slices=int(on.sum()),
        missed=int((on & ~called).sum()),
        free_slices=int(free.sum()),
        false_alarms=int((free & called).sum()),
        pointing=float(part.pointing[on].mean()),
    )


def _score(
    weights: str,
    rows: Sequence[StudyRow],
    parts: Sequence[_Slices],
    classes: ClassSet,
    nothing: NDArray[np.bool_],
) -> StudyScores:
    columns = ("distance", "something", "context", "predicted", "suspected", "pointing")
    distance, something, context, predicted, suspected, pointing = (
        np.concatenate([getattr(p, c) for p in parts]) for c in columns
    )
    patients = np.repeat([row.patient for row in rows], [len(part.distance) for part in parts])
    on, free = distance == 0, distance >= MARGIN
    if not free.any():
        raise DataError(f"no slice is {MARGIN} or more away from a tumour; whole studies are needed")
    counted = np.flatnonzero(on | free)

    def detection(probability: NDArray[np.float64], called: NDArray[np.bool_]) -> SliceDetection:
        ranked = Predictions(
            classes=_DETECTION,
            truth=np.where(on, 0, 1)[counted],
            probabilities=np.stack([probability, 1 - probability], 1)[counted].clip(0, 1),
            names=[str(i) for i in counted],
            groups=patients[counted],
        )
        figures = np.stack([np.where(on, ~called, np.nan), np.where(free, called, np.nan)], 1).astype(float)
        missed, false_alarms = estimate_means(figures, patients)
        return SliceDetection(auc=score(ranked).macro_auc, missed=missed, false_alarms=false_alarms)

    (points,) = estimate_means(pointing[:, None], patients)
    right = np.array([[row.label == row.truth and not row.uncertain, row.uncertain] for row in rows], float)
    named, uncertain = estimate_means(right, [row.patient for row in rows])
    counts = Counter(predicted[free].tolist())
    return StudyScores(
        weights=weights,
        patients=len(set(patients.tolist())),
        margin=MARGIN,
        tumour_slices=int(on.sum()),
        free_slices=int(free.sum()),
        alone=detection(something, ~nothing[predicted]),
        in_context=detection(context, suspected),
        called={key: counts[i] for i, key in enumerate(classes.keys)},
        pointing=points,
        named_rightly=named,
        uncertain=uncertain,
        studies=tuple(rows),
    )
