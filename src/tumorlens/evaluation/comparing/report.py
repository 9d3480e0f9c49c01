"""The page that compares two networks: what differs beyond chance, curves over each other, where they disagree."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from tumorlens.classifier import Classifier
from tumorlens.data.loader import read_scan
from tumorlens.data.manifest import Entry, merge, read_manifest
from tumorlens.errors import TumorLensError, needs_extra
from tumorlens.evaluation.comparing.contender import Contender
from tumorlens.evaluation.comparing.paired import Comparison, compare, pair
from tumorlens.evaluation.guessing import by_guessing
from tumorlens.evaluation.metrics import BINS
from tumorlens.evaluation.pages.gallery import picture_uri
from tumorlens.evaluation.pages.page import load_template
from tumorlens.evaluation.pages.plots import LIGHT, Theme, add_legend, dress, panels, save_figures
from tumorlens.evaluation.predictions import Predictions
from tumorlens.files import write_atomically
from tumorlens.listener import SILENT, Listener, counted
from tumorlens.overlay import draw_overlay, draw_scan
from tumorlens.version import __version__

CASES = 8
"""Most cases of each kind that the page shows."""

_TEMPLATE = Path(__file__).with_name("comparison.html.j2")
_DASHES = ("-", (0, (5, 1.5)))  # told apart without colour


@dataclass(frozen=True)
class Disagreement:
    """Scans that two networks call differently."""

    title: str
    about: str
    rows: NDArray[np.intp]


def write_comparison(first: Contender, second: Contender, folder: Path, *, listener: Listener = SILENT) -> Comparison:
    """Compares two tested networks, and writes comparison.json, plots and, last, comparison.html.

    Heat maps are shown where both folders are training runs whose scans are still there.

    Raises:
        DataError: If the classes or the true class of a scan differ.
        MissingExtra: If Jinja2 or scikit-learn is not installed.
        OSError: If a file cannot be written.
    """
    template = load_template(_TEMPLATE)  # what is not installed is missed before anything is computed
    result = compare((first.name, second.name), first.predictions, second.predictions, listener=listener)
    paired = pair(first.predictions, second.predictions)
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    page = folder / "comparison.html"
    page.unlink(missing_ok=True)
    both = (first, second)
    shown = paired or (first.predictions, second.predictions)
    names = [f"{number}: {each.name}" for number, each in enumerate(both, 1)]
    figures = save_figures(folder / "plots", _figures(names, shown, [each.history for each in both], result))
    cases: list[dict[str, Any]] = []
    if paired is not None:
        cases = _cases(both, paired, listener)
    text = template.render(
        result=result,
        both=both,
        names=names,
        figures=figures,
        cases=cases,
        guessing={} if paired is None else by_guessing(np.bincount(paired[0].truth).tolist()),
        pictures=any(card["pictures"] for kind in cases for card in kind["cards"]),
        command=shlex.join(["tumorlens", "compare", *(str(each.folder) for each in both)]),
        version=__version__,
        date=dt.date.today().isoformat(),
    )
    write_atomically(folder / "comparison.json", result.model_dump_json(indent=1).encode() + b"\n")
    write_atomically(page, text.encode("utf-8", "backslashreplace"))
    return result


def disagreements(first: Predictions, second: Predictions, most: int = CASES) -> list[Disagreement]:
    """The scans that two networks call differently, by kind; the surest mistakes first."""
    one, other = first.predicted == first.truth, second.predicted == second.truth
    apart = first.predicted != second.predicted
    kinds = (
        ("Right by the first alone", "The second is wrong, the surest first.", one & ~other, second.confidence),
        ("Right by the second alone", "The first is wrong, the surest first.", ~one & other, first.confidence),
        (
            "Wrong by both, in different ways",
            "The surest first.",
            ~one & ~other & apart,
            np.maximum(first.confidence, second.confidence),
        ),
    )
    return [
        Disagreement(title, about, (rows := np.flatnonzero(which))[np.argsort(-sure[rows], kind="stable")][:most])
        for title, about, which, sure in kinds
    ]


def difference_figure(result: Comparison, theme: Theme = LIGHT) -> Figure:
    """How much better the second network is by each figure, with paired intervals; log loss and Brier score turned."""
    rows = [*result.figures, *result.recalls]
    figure, (axes,) = panels(theme)
    axes.axvline(0, color=theme.muted, linewidth=1, linestyle=":")
    for place, row in enumerate(rows):
        sign = -1 if row.key in ("log_loss", "brier") else 1
        estimate, colour = row.difference, theme.series[0 if row.verdict == "no telling" else 1]
        if estimate.low is not None and estimate.high is not None:
            ends = [sign * estimate.low, sign * estimate.high]
            axes.plot(ends, [place, place], color=colour, linewidth=2, alpha=0.7)
        if estimate.value is not None:
            axes.plot(sign * estimate.value, place, "o", color=colour, markersize=6)
    labels = [f"recall, {row.name}" if row.key == "recall" else row.name for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.tick_params(axis="y", length=0, colors=theme.ink)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    axes.set_xlabel("← the first is better      the second is better →")
    return figure


def roc_pairs_figure(names: Sequence[str], both: Sequence[Predictions], theme: Theme = LIGHT) -> Figure:
    """The ROC curve of each class against the rest, of two networks in one panel.

    Raises:
        MissingExtra: If scikit-learn is not installed.
    """
    with needs_extra("reports", "train"):
        from sklearn.metrics import roc_curve

    classes = both[0].classes
    columns = 2 if len(classes) > 1 else 1
    rows = -(-len(classes) // columns)
    figure = Figure(figsize=(5.2, 2.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.ravel()):
        dress(axes, theme)
        if place >= len(classes):
            axes.set_visible(False)
            continue
        axes.set_title(classes[place].name, size=10, color=theme.ink, loc="left")
        axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=0.8, linestyle=":")
        for side, (name, predictions) in enumerate(zip(names, both, strict=True)):
            truth = predictions.truth == place
            if truth.any() and not truth.all():
                x, y, _ = roc_curve(truth, predictions.probabilities[:, place])
                axes.plot(x, y, color=theme.series[side], linestyle=_DASHES[side], linewidth=1.8, label=name)
    figure.supxlabel("false positive rate", size=10, color=theme.muted)
    figure.supylabel("true positive rate", size=10, color=theme.muted)
    handles, labels = max((axes.get_legend_handles_labels() for axes in grid.ravel()), key=lambda pair: len(pair[0]))
    add_legend(figure, theme, handles=handles, labels=labels, loc="outside upper left", ncols=2)
    return figure


def reliability_pairs_figure(names: Sequence[str], both: Sequence[Predictions], theme: Theme = LIGHT) -> Figure:
    """How often two networks were right, by how sure they were, over how often they were so sure."""
    figure, (upper, lower) = panels(theme, ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=":", label="calibrated")
    edges = np.linspace(0, 1, BINS + 1)
    for side, (name, predictions) in enumerate(zip(names, both, strict=True)):
        place = np.clip(np.ceil(predictions.confidence * BINS).astype(int) - 1, 0, BINS - 1)
        full = [i for i in range(BINS) if (place == i).any()]
        right = predictions.predicted == predictions.truth
        x, y = ([float(column[place == i].mean()) for i in full] for column in (predictions.confidence, right))
        style: dict[str, Any] = {"color": theme.series[side], "linestyle": _DASHES[side], "linewidth": 1.8}
        upper.plot(x, y, marker="os"[side], markersize=4, label=name, **style)
        lower.stairs(np.bincount(place, minlength=BINS), edges, **style)
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that was right")
    lower.set(ylabel="scans", xlabel="confidence (probability of the predicted class)")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    add_legend(figure, theme, loc="outside upper left", ncols=3)
    return figure


def learning_pairs_figure(names: Sequence[str], logs: Sequence[Sequence[Any]], theme: Theme = LIGHT) -> Figure:
    """Validation loss and accuracy over the epochs, of two networks; without a validation part, the training's loss."""
    figure, (upper, lower) = panels(theme, ratios=(3, 2))
    for side, (name, log) in enumerate(zip(names, logs, strict=True)):
        epochs = [row.epoch for row in log]
        validated = any(np.isfinite(row.val_loss) for row in log)
        style: dict[str, Any] = {"color": theme.series[side], "linestyle": _DASHES[side], "linewidth": 1.8}
        losses = [row.val_loss if validated else row.train_loss for row in log]
        upper.plot(epochs, losses, label=name if validated else f"{name} (training)", **style)
        lower.plot(epochs, [row.val_accuracy for row in log], **style)
    upper.set(ylabel="validation loss")
    upper.set_ylim(bottom=0)
    lower.set(ylabel="accuracy", xlabel="epoch")
    lower.yaxis.set_major_formatter(PercentFormatter(1))
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(upper, theme)
    return figure


def _figures(
    names: Sequence[str], both: Sequence[Predictions], logs: Sequence[Sequence[Any]], result: Comparison
) -> dict[str, Callable[[Theme], Figure]]:
    figures: dict[str, Callable[[Theme], Figure]] = {
        "roc": lambda theme: roc_pairs_figure(names, both, theme),
        "reliability": lambda theme: reliability_pairs_figure(names, both, theme),
    }
    if result.n:
        figures["differences"] = lambda theme: difference_figure(result, theme)
    if all(logs):
        figures["learning"] = lambda theme: learning_pairs_figure(names, logs, theme)
    return figures


def _cases(
    both: tuple[Contender, Contender], paired: tuple[Predictions, Predictions], listener: Listener
) -> list[dict[str, Any]]:
    """The disagreements as the page shows them."""
    kinds = disagreements(*paired)
    entries, classifiers = _scans_of(both), []
    if entries and any(len(kind.rows) for kind in kinds):
        listener.say("explaining where they disagree")
        classifiers = [Classifier.load(each.run.folder) for each in both if each.run is not None]
    names = {c.key: c.name for c in paired[0].classes}
    keys = paired[0].classes.keys
    shown = []
    for kind in kinds:
        cards = [
            {
                "name": paired[0].names[row],
                "truth": names[keys[paired[0].truth[row]]],
                "calls": [
                    {
                        "called": names[keys[side.predicted[row]]],
                        "confidence": float(side.confidence[row]),
                        "right": bool(side.predicted[row] == side.truth[row]),
                    }
                    for side in paired
                ],
                "pictures": _pictures(classifiers, entries.get(paired[0].names[row])),
            }
            for row in counted(kind.rows.tolist(), listener.progress)
        ]
        shown.append({"title": kind.title, "about": kind.about, "cards": cards})
    return shown


def _scans_of(both: tuple[Contender, Contender]) -> dict[str, Entry]:
    """The scans that two runs were tested on, by name; none where a folder is no run, or its data are gone."""
    if any(each.run is None for each in both):
        return {}
    try:
        manifest = merge([read_manifest(path) for path in both[0].run.data])  # type: ignore[union-attr]
    except (TumorLensError, OSError):
        return {}
    return {entry.name: entry for entry in manifest.entries}


def _pictures(classifiers: Sequence[Classifier], entry: Entry | None) -> list[str]:
    """The scan, and it with each network's heat map; none where it cannot be read."""
    if entry is None or not classifiers:
        return []
    try:
        scan = read_scan(entry)
    except TumorLensError:
        return []
    pictures = [draw_scan(scan)]
    for classifier in classifiers:
        (finding,) = classifier.find([scan])
        heat = finding.heatmap
        blank = heat is None or not heat.any()
        pictures.append(draw_scan(scan) if blank else draw_overlay(scan, heat, finding.region, colour_bar=False))  # type: ignore[arg-type]
    return [picture_uri(picture) for picture in pictures]
