"""The report of an evaluation: one folder, one page that explains it and needs nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tumorlens.errors import DataError
from tumorlens.evaluation.calibration import CalibrationScores
from tumorlens.evaluation.guessing import guessed, guessing_of
from tumorlens.evaluation.metrics import Scores, classification_report_text
from tumorlens.evaluation.pages import plots
from tumorlens.evaluation.pages.gallery import GalleryCase, gallery_cards
from tumorlens.evaluation.pages.page import load_template
from tumorlens.evaluation.pages.plots import evaluation_figures, save_figures
from tumorlens.evaluation.predictions import Predictions
from tumorlens.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """What a reader must know beside the figures.

    Attributes:
        synthetic: Whether the scans are drawn by a computer; the page then says so beside the heading.
        split: Number of scans in each part, such as {"training": 4000, "validation": 700, "test": 1311}.
        grouped_by: What a group is, in the singular: "patient", "series", "duplicate group" or "scan".
        cautions: What speaks against trusting the figures, such as possible leakage; one sentence or two each.
        notes: What must be read with the scores wherever they are shown, and goes before their own notes.
        training: Facts about the training in the order shown, such as {"epochs": 30, "seconds per epoch": 12.5}.
        best_epoch: The epoch whose weights were kept; None for the one with the lowest validation loss.
        heat_map: How the heat maps were made, in a sentence or two.
    """

    title: str
    data: str
    synthetic: bool
    model: str
    date: str
    version: str
    weights: str = ""
    weights_sha256: str = ""
    split: Mapping[str, int] = field(default_factory=dict)
    grouped_by: str = "scan"
    split_seed: int | None = None
    cautions: Sequence[str] = ()
    notes: Sequence[str] = ()
    command: str = ""
    training: Mapping[str, object] = field(default_factory=dict)
    best_epoch: int | None = None
    heat_map: str = ""


def write_report(
    folder: str | Path,
    *,
    scores: Scores,
    predictions: Predictions,
    context: ReportContext,
    calibration: CalibrationScores | None = None,
    gallery: Sequence[GalleryCase] = (),
    history: Sequence[Any] | None = None,
) -> Path:
    """Writes predictions.csv, classification_report.txt, plots/*.png, metrics.json and, last, report.html.

    An earlier metrics.json and report.html are removed first: where they are, the rest is whole and theirs.

    `calibration` is what calibration did, if there was one; metrics.json holds it as "calibration". Of the gallery's
    cases, wrong ones are shown first, at most 24 of each kind. `history` is the training as `loss_figure` takes it.

    Raises:
        MissingExtra: If Jinja2 or scikit-learn is not installed.
        DataError: If scores and predictions differ in size, or a case names an unknown class.
        OSError: If a file cannot be written.
    """
    if scores.n != len(predictions) or len(scores.classes) != len(predictions.classes):
        raise DataError("the scores are of other predictions; score these")
    # What is not installed is missed before anything is removed.
    template = load_template(Path(__file__).with_name("report.html.j2"))
    folder = Path(folder)
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "metrics.json"):
        (folder / name).unlink(missing_ok=True)

    table = classification_report_text(scores)
    predictions.write_csv(folder / "predictions.csv")
    write_atomically(folder / "classification_report.txt", table.encode())
    cases = gallery_cards(gallery, predictions)
    drawn = evaluation_figures(scores, predictions, history, context.best_epoch)
    if calibration is not None:
        drawn["reliability_before"] = lambda theme: plots.reliability_figure(calibration.before, theme)
    figures = save_figures(folder / "plots", drawn)
    page = template.render(
        scores=scores,
        calibration=calibration,
        context=context,
        figures=figures,
        report_text=table,
        cautions=[*context.cautions, *scores.notes],
        guessing=guessing_of(scores),
        guessed=guessed(scores),
        confusions=_confusions(scores),
        gallery=cases,
        wrong_in_all=int((predictions.predicted != predictions.truth).sum()),
        right_in_all=int((predictions.predicted == predictions.truth).sum()),
    )
    metrics = scores.model_dump()
    if calibration is not None:
        metrics["calibration"] = calibration.model_dump()
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False).encode() + b"\n")
    report = folder / "report.html"
    # A file name that is no UTF-8 must not cost the report.
    write_atomically(report, page.encode("utf-8", "backslashreplace"))
    return report


def _confusions(scores: Scores, most: int = 3) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: true class, what it was called, how often."""
    names = [c.name for c in scores.classes]
    cells = Counter(
        {(t, p): count for t, row in enumerate(scores.confusion) for p, count in enumerate(row) if t != p and count}
    )
    return [(names[t], names[p], count) for (t, p), count in cells.most_common(most)]
