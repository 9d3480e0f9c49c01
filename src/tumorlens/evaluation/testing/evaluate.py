"""A classifier over labelled scans: scores, plots, a gallery with heat maps, one report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, read_scan
from tumorlens.evaluation.calibration import Scaling, score_calibration
from tumorlens.evaluation.metrics import Scores, score
from tumorlens.evaluation.pages.gallery import GalleryCase, choose_cases
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.testing.report import ReportContext, write_report
from tumorlens.listener import SILENT, Listener, Progress, counted
from tumorlens.overlay import draw_overlay, draw_scan


def predict_slices(
    classifier: Classifier, slices: Slices, indices: NDArray[np.intp], progress: Progress = SILENT.progress
) -> Predictions:
    """The classifier's probabilities for scans that are loaded already."""
    return Predictions(
        classes=classifier.card.classes,
        truth=slices.labels[indices],
        probabilities=classifier.probabilities(slices.images[indices], progress=progress),
        names=[slices.manifest.entries[i].name for i in indices],
        groups=np.array([slices.groups[i] for i in indices]),
    )


def evaluate(
    classifier: Classifier,
    slices: Slices,
    indices: NDArray[np.intp],
    folder: Path,
    context: ReportContext,
    *,
    history: Sequence[Any] = (),
    listener: Listener = SILENT,
) -> Scores:
    """Scores a classifier and writes its report.

    `slices` are by the classifier's own preprocessing and classes, and `indices` those to test on. report.html,
    metrics.json, predictions.csv and plots go into the folder. `history` is the training's log, for its curves.
    """
    listener.say(f"testing on {len(indices)} scans")
    predictions = predict_slices(classifier, slices, indices, listener.progress)
    listener.say("scoring, with 1,000 resamples for the intervals")
    calibrated = classifier.card.calibration is not None
    scores = score(predictions, calibrated=calibrated, progress=listener.progress)
    scores.notes[:0] = context.notes
    calibration = None
    if (fitted := classifier.card.calibration) is not None:
        listener.say("asking the gate which scans are unlike those of the training")
        judged = classifier.judge(slices.images[indices], progress=listener.progress)
        unknown = None if judged is None else np.array([one.unknown for one in judged])
        calibration = score_calibration(predictions, scores, Scaling.of_card(classifier.card), fitted, unknown)
    chosen = choose_cases(predictions)
    listener.say(f"explaining {len(chosen)} cases for the gallery")
    gallery = [
        make_case(classifier, slices, predictions, int(indices[i]), i) for i in counted(chosen, listener.progress)
    ]
    listener.say("writing the report")
    write_report(
        folder,
        scores=scores,
        predictions=predictions,
        context=context,
        calibration=calibration,
        gallery=gallery,
        history=history or None,
    )
    return scores


def make_case(classifier: Classifier, slices: Slices, predictions: Predictions, index: int, row: int) -> GalleryCase:
    """A case of the gallery: row `row` of the predictions, which is scan `index` of the slices.

    The file is read again, because the overlay lies on the scan as it came.
    """
    entry = slices.manifest.entries[index]
    scan = read_scan(entry)
    (finding,) = classifier.find([scan])
    keys = predictions.classes.keys
    overlay = None
    if finding.heatmap is not None and finding.heatmap.any():
        overlay = draw_overlay(scan, finding.heatmap, finding.region, colour_bar=False)
    return GalleryCase(
        name=entry.name,
        truth=keys[predictions.truth[row]],
        predicted=keys[predictions.predicted[row]],
        probabilities=dict(zip(keys, predictions.probabilities[row].tolist(), strict=True)),
        original=draw_scan(scan),
        overlay=overlay,
        note="; ".join([*([f"unknown: {finding.reason}"] if finding.unknown else []), *finding.warnings]),
    )
