"""The report of an evaluation: one folder, one page that explains it and needs nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tumorlens.errors import DataError, MissingExtra
from tumorlens.evaluation import plots
from tumorlens.evaluation._files import write_atomically
from tumorlens.evaluation.calibration import CalibrationScores
from tumorlens.evaluation.gallery import RIGHT, WRONG, GalleryCase, picture_uri
from tumorlens.evaluation.metrics import Estimate, Scores, classification_report_text
from tumorlens.evaluation.predictions import Predictions

NOTHING = "–"
"""Stands for a figure that is undefined."""


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """What a reader must know beside the figures.

    Attributes:
        title: Heading, such as "CNN-LSTM on the Kaggle test part".
        data: What was tested on, in a sentence or two.
        synthetic: Whether the scans are drawn by a computer; the page then says so beside the heading.
        model: Name of the network.
        date: Day of the evaluation, as it should be shown.
        version: Version of TumorLens.
        weights: Name of the weights.
        weights_sha256: Their checksum.
        split: Number of scans in each part, such as {"training": 4000, "validation": 700, "test": 1311}.
        grouped_by: What a group is, in the singular: "patient", "series", "duplicate group" or "scan".
        split_seed: Seed of the split.
        cautions: What speaks against trusting the figures, such as possible leakage; one sentence or two each.
        command: Command line that repeats the evaluation.
        training: Facts about the training in the order shown, such as {"epochs": 30, "seconds per epoch": 12.5}.
        best_epoch: The epoch whose weights were kept; None for the one with the lowest validation loss.
        localization: How well heat maps meet outlines, by name of the figure, in [0, 1].
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
    command: str = ""
    training: Mapping[str, object] = field(default_factory=dict)
    best_epoch: int | None = None
    localization: Mapping[str, Estimate] = field(default_factory=dict)
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

    Args:
        folder: Where to; made if it is missing.
        scores: Scores of the predictions.
        predictions: What was scored.
        context: What a reader must know beside the figures.
        calibration: What calibration did, if there was one; metrics.json holds it as "calibration".
        gallery: Single cases, see `choose_cases`; wrong ones are shown first, at most 24 of each kind.
        history: The training, epoch by epoch, as `loss_figure` takes it; None or empty leaves its curves out.

    Returns:
        The path of report.html.

    Raises:
        MissingExtra: If Jinja2 or scikit-learn is not installed.
        DataError: If scores and predictions differ in size, or a case names an unknown class.
        OSError: If a file cannot be written.
    """
    if scores.n != len(predictions) or len(scores.classes) != len(predictions.classes):
        raise DataError("the scores are of other predictions; score these")
    template = load_template("report.html.j2")  # what is not installed is missed before anything is removed
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


def per_cent(value: float | None) -> str:
    """A share as per cent with one decimal; neither 100.0% nor 0.0% unless it is exactly that."""
    if value is None:
        return NOTHING
    text = f"{value:.1%}"
    if text == "100.0%" and value < 1:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and value > 0 else text


def decimal(value: float | None) -> str:
    """A figure with three decimals; not 1.000 unless it is exactly that."""
    if value is None:
        return NOTHING
    text = f"{value:.3f}"
    return ">0.999" if text == "1.000" and value < 1 else text


def interval(estimate: Estimate, form: Callable[[float | None], str] = per_cent) -> str:
    """The interval of an estimate, such as "96.1–98.2%"; empty where it has none."""
    if estimate.low is None:
        return ""
    low, high = form(estimate.low), form(estimate.high)
    low = low.removesuffix("%")  # one unit is enough
    return f"{low} – {high}" if {low[0], high[0]} & {"<", ">"} else f"{low}–{high}"


def save_figures(folder: Path, figures: Mapping[str, Callable[[plots.Theme], Figure]]) -> dict[str, dict[str, str]]:
    """Writes each figure as a PNG file, and returns it as data URIs for light and for dark pages."""
    uris = {}
    for name, draw in figures.items():
        light = draw(plots.LIGHT)
        plots.save_png(light, folder / f"{name}.png")
        uris[name] = {"light": plots.data_uri(light), "dark": plots.data_uri(draw(plots.DARK))}
    return uris


def evaluation_figures(
    scores: Scores, predictions: Predictions, history: Sequence[Any] | None = None, best: int | None = None
) -> dict[str, Callable[[plots.Theme], Figure]]:
    """What draws each plot, by file name."""
    figures: dict[str, Callable[[plots.Theme], Figure]] = {
        "confusion_matrix": lambda theme: plots.confusion_matrix_figure(scores, theme),
        "per_class": lambda theme: plots.per_class_figure(scores, theme),
        "roc": lambda theme: plots.roc_figure(predictions, scores, theme),
        "reliability": lambda theme: plots.reliability_figure(scores, theme),
    }
    if history:
        figures["loss"] = lambda theme: plots.loss_figure(history, theme, best=best)
    return figures


def _confusions(scores: Scores, most: int = 3) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: true class, what it was called, how often."""
    names = [c.name for c in scores.classes]
    cells = Counter(
        {(t, p): count for t, row in enumerate(scores.confusion) for p, count in enumerate(row) if t != p and count}
    )
    return [(names[t], names[p], count) for (t, p), count in cells.most_common(most)]


def gallery_cards(cases: Sequence[GalleryCase], predictions: Predictions) -> dict[str, list[dict[str, Any]]]:
    """The cases as the page shows them, the most confidently wrong ones first."""
    name_of = {c.key: c.name for c in predictions.classes}
    for case in cases:
        if unknown := ({case.truth, case.predicted} | set(case.probabilities)) - set(name_of):
            raise DataError(f"a gallery case names the class {sorted(unknown)[0]!r}, which is not in the class set")
        if case.predicted not in case.probabilities:
            raise DataError(f"a gallery case has no probability for {case.predicted!r}; give one for each class")
    wrong = sorted((c for c in cases if c.truth != c.predicted), key=lambda c: -c.confidence)
    right = [c for c in cases if c.truth == c.predicted]

    def shown(case: GalleryCase) -> dict[str, Any]:
        return {
            "name": case.name,
            "truth": name_of[case.truth],
            "predicted": name_of[case.predicted],
            "confidence": case.confidence,
            "note": case.note,
            "original": picture_uri(case.original),
            "overlay": None if case.overlay is None else picture_uri(case.overlay),
            "bars": [
                {"name": name, "value": case.probabilities.get(key, 0.0), "true": key == case.truth}
                for key, name in name_of.items()
            ],
        }

    return {"wrong": [shown(c) for c in wrong[:WRONG]], "right": [shown(c) for c in right[:RIGHT]]}


def load_template(name: str) -> Any:
    """A page of the templates folder, with the filters its figures need."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtra("reports", "train") from error

    folder = resources.files("tumorlens.evaluation") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        per_cent=per_cent,
        decimal=decimal,
        interval=interval,
        decimal_interval=lambda estimate: interval(estimate, decimal),
        thousands=lambda number: f"{number:,}",
    )
    return environment.get_template(name)
