"""Plots of an evaluation, in one calm style that is safe for colour-blind readers, for light and for dark pages.

Each function returns a matplotlib figure with a transparent background, and touches no pyplot state.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from tumorlens.errors import DataError, needs_extra
from tumorlens.evaluation.metrics import Scores
from tumorlens.evaluation.pages.points import as_json
from tumorlens.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from tumorlens.evaluation.calibration import Errors


@dataclass(frozen=True)
class Theme:
    """Colours of a page.

    Attributes:
        grid: Grid lines, and the empty cells of the confusion matrix.
        paper: Background where a picture cannot be transparent, and text on full cells.
        series: Colours of curves, after Okabe and Ito 2008.
    """

    ink: str
    muted: str
    grid: str
    paper: str
    series: tuple[str, ...]


LIGHT = Theme(
    ink="#17202a",
    muted="#55606e",
    grid="#e4e8ed",
    paper="#ffffff",
    series=("#0072b2", "#d55e00", "#009e73", "#b0558c", "#8f6c00", "#3f8fc4"),
)
DARK = Theme(
    ink="#e6eaee",
    muted="#a3aebb",
    grid="#2f3943",
    paper="#171d24",
    series=("#56b4e9", "#f0883e", "#2ebd94", "#dc8fbd", "#e0c040", "#9fd0f0"),
)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))  # told apart without colour
_FEW = 10  # scans in a bin, below which its accuracy is mostly chance
_GOOD = 0.9  # area under a ROC curve, above which it keeps clear of the middle of the picture
_WIDTH, _HEIGHT = 5.2, 4.5  # inches; at 10 points text stays legible when a phone shows the figure at half that


def confusion_matrix_figure(scores: Scores, theme: Theme = LIGHT) -> Figure:
    """Counts, and per cent of the true class, in each cell; the shade follows the square root of the per cent."""
    counts = np.array(scores.confusion)
    of_class = counts.sum(1, keepdims=True)
    share = np.divide(counts, of_class, out=np.zeros(counts.shape), where=of_class > 0)
    names = [c.name.replace(" ", "\n", 1) if len(c.name) > 10 else c.name for c in scores.classes]
    figure, (axes,) = panels(theme)
    axes.set(xlabel="predicted", ylabel="true")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    shades = LinearSegmentedColormap.from_list("shades", [theme.grid, theme.series[0]])
    axes.pcolormesh(np.sqrt(share), cmap=shades, vmin=0, vmax=1, edgecolors=theme.paper, linewidth=3)
    for (row, column), count in np.ndenumerate(counts):
        ink = theme.paper if share[row, column] > 0.4 else theme.ink
        place = (column + 0.5, row + 0.5)
        axes.annotate(f"{count:,}", place, (0, 1), textcoords="offset points", color=ink, ha="center", size=12)
        per_cent = f"{share[row, column]:.1%}" if of_class[row] else "–"
        axes.annotate(per_cent, place, (0, -3), textcoords="offset points", color=ink, ha="center", va="top", size=9)
    middle = np.arange(len(names)) + 0.5
    axes.set_xticks(middle, names)
    axes.set_yticks(middle, names)
    axes.tick_params(length=0, colors=theme.ink)
    axes.invert_yaxis()
    return figure


def roc_figure(predictions: Predictions, scores: Scores, theme: Theme = LIGHT) -> Figure:
    """ROC curve of each class against the rest, of all decisions together (micro) and their mean (macro).

    The upper left corner, where good networks differ, is drawn larger within the picture, unless curves run there.

    Raises:
        MissingExtra: If scikit-learn is not installed.
    """
    with needs_extra("reports", "train"):
        from sklearn.metrics import roc_curve

    truth = predictions.truth[:, None] == np.arange(len(predictions.classes))
    curves: list[tuple[str, float | None, NDArray[np.float64], NDArray[np.float64]]] = []
    for i, c in enumerate(scores.classes):
        if c.auc.value is not None:
            x, y, _ = roc_curve(truth[:, i], predictions.probabilities[:, i])
            curves.append((c.name, c.auc.value, x, y))
    grid = np.unique(np.concatenate([x for *_, x, _ in curves]))
    mean = np.mean([np.interp(grid, x, y) for *_, x, y in curves], axis=0)
    x, y, _ = roc_curve(truth.ravel(), predictions.probabilities.ravel())
    averages = [("micro average", scores.micro_auc.value, x, y), ("macro average", scores.macro_auc.value, grid, mean)]

    figure, (axes,) = panels(theme)
    axes.set(xlabel="false positive rate (1 − specificity)", ylabel="true positive rate (recall)")
    drawn = [axes]
    if all(auc is not None and auc > _GOOD for _, auc, *_ in curves):
        corner = axes.inset_axes((0.4, 0.48, 0.56, 0.43), xlim=(0, 0.2), ylim=(0.8, 1.005))
        dress(corner, theme)
        corner.set_title("upper left corner", size=9, color=theme.muted, loc="left")
        corner.tick_params(labelsize=8)
        corner.set(xticks=(0, 0.1, 0.2), yticks=(0.8, 0.9, 1))
        drawn.append(corner)
    for panel in drawn:
        panel.plot([0, 1], [0, 1], color=theme.muted, linewidth=0.8, linestyle=":")
        for i, (name, auc, x, y) in enumerate(curves + averages):
            average = i - len(curves)
            panel.plot(
                x,
                y,
                color=theme.ink if average >= 0 else theme.series[i % len(theme.series)],
                linestyle=_DASHES[2 - average] if average >= 0 else _DASHES[(i % 2)],
                linewidth=1.4 if average >= 0 else 1.8,
                label=f"{name}  AUC {auc:.3f}",
            )
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01))
    add_legend(axes, theme, loc="lower right")
    return figure


def loss_figure(history: Sequence[Any], theme: Theme = LIGHT, *, best: int | None = None) -> Figure:
    """Training and validation loss over the epochs, and accuracy below.

    `history` has a mapping or object an epoch with `epoch`, `train_loss`, and where there are some `val_loss`,
    `train_accuracy` and `val_accuracy`; what is missing, None or not finite is a gap. `best` is the epoch whose weights
    were kept; None takes the one with the lowest validation loss.

    Raises:
        DataError: If the history is empty.
    """
    if not history:
        raise DataError("the training history is empty; leave it out")
    epochs = _column(history, "epoch")
    validation = _column(history, "val_loss")
    if best is None and np.isfinite(validation).any():
        best = int(epochs[np.nanargmin(validation)])
    figure, (upper, lower) = panels(theme, ratios=(3, 2))
    for axes, what in ((upper, "loss"), (lower, "accuracy")):
        axes.set_ylabel(what)
        for i, (name, column) in enumerate((("training", f"train_{what}"), ("validation", f"val_{what}"))):
            values = _column(history, column)
            if np.isfinite(values).any():
                # A single epoch is a point, which a line would not show.
                shape = {"linestyle": _DASHES[i], "linewidth": 1.8, "marker": "o" if len(history) == 1 else None}
                axes.plot(epochs, values, color=theme.series[i], label=name, **shape)
        if best is not None:
            axes.axvline(best, color=theme.muted, linewidth=1, linestyle=":", label=f"best epoch ({best})")
    upper.set_ylim(bottom=0)
    add_legend(upper, theme)
    lower.yaxis.set_major_formatter(PercentFormatter(1))
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def reliability_figure(scores: Scores | Errors, theme: Theme = LIGHT) -> Figure:
    """How often the network was right, by how sure it was, over the number of scans that were so."""
    full = [b for b in scores.reliability if b.count]
    middle = [(b.low + b.high) / 2 for b in full]
    width = full[0].high - full[0].low
    figure, (upper, lower) = panels(theme, ratios=(3, 1))
    upper.bar(middle, np.array([b.accuracy for b in full], np.float64), width * 0.92, color=theme.series[0], alpha=0.35)
    upper.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=":", label="calibrated")
    for few, label in ((False, "this network"), (True, f"fewer than {_FEW} scans")):
        points = [(b.confidence, b.accuracy) for b in full if (b.count < _FEW) == few]
        if points:
            x, y = zip(*points, strict=True)
            fill = "none" if few else theme.series[0]
            upper.plot(x, y, "o", color=theme.series[0], markerfacecolor=fill, markersize=5, label=label)
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that was right")
    add_legend(figure, theme, loc="outside upper left", ncols=3)
    lower.bar(middle, [b.count for b in full], width * 0.92, color=theme.muted)
    lower.set(ylabel="scans", xlabel="confidence (probability of the predicted class)")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return figure


def per_class_figure(scores: Scores, theme: Theme = LIGHT) -> Figure:
    """Recall, precision and F1 of each class with their 95% intervals."""
    figure, (axes,) = panels(theme)
    for k, (figure_name, marker) in enumerate((("recall", "o"), ("precision", "s"), ("f1", "D"))):
        for i, c in enumerate(scores.classes):
            estimate, y = getattr(c, figure_name), i + (k - 1) * 0.22
            if estimate.value is None:
                continue
            if estimate.low is not None:
                axes.plot([estimate.low, estimate.high], [y, y], color=theme.series[k], linewidth=2, alpha=0.6)
            label = figure_name.replace("f1", "F1")
            axes.plot(estimate.value, y, marker, color=theme.series[k], markersize=6, label=label)
    axes.set_yticks(range(len(scores.classes)), [c.name for c in scores.classes])
    axes.tick_params(axis="y", length=0, colors=theme.ink)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    low = axes.get_xlim()[0]
    axes.set_xlim(low, 1 + (1 - low) * 0.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one entry per figure
    add_legend(figure, theme, handles=handles.values(), labels=handles.keys(), loc="outside upper right", ncols=3)
    return figure


def save_png(figure: Figure, path: str | Path, theme: Theme = LIGHT) -> None:
    """Writes the figure on the theme's paper, at 200 dots per inch.

    Raises:
        OSError: If the file cannot be written.
    """
    figure.savefig(path, format="png", dpi=200, facecolor=theme.paper, metadata={"Software": None})


def data_uri(figure: Figure) -> str:
    """The figure as an SVG data URI with a transparent background; the same figure gives the same text."""
    svg = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "tumorlens"}):
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode()


def panels(
    theme: Theme, *, size: tuple[float, float] = (_WIDTH, _HEIGHT), ratios: Sequence[float] = (1,)
) -> tuple[Figure, list[Axes]]:
    """A figure of `size` inches with axes of these heights, one above the other on one horizontal scale."""
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(ratios), sharex=True, height_ratios=ratios, squeeze=False).ravel().tolist()
    for axes in rows:
        dress(axes, theme)
    return figure, rows


def add_legend(owner: Figure | Axes, theme: Theme, **options: Any) -> None:
    """A legend without a frame; options are Matplotlib's."""
    owner.legend(labelcolor=theme.ink, frameon=False, fontsize=9, **options)


def dress(axes: Axes, theme: Theme) -> None:
    """Sets what matplotlib would take from its global settings."""
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(theme.muted)
    axes.tick_params(colors=theme.muted, labelsize=9.5)
    axes.xaxis.label.set(color=theme.muted, size=10)
    axes.yaxis.label.set(color=theme.muted, size=10)


def _column(history: Sequence[Any], name: str) -> NDArray[np.float64]:
    """(epochs,) float64, NaN where an epoch lacks the value or it is not finite."""
    values = [e.get(name) if isinstance(e, Mapping) else getattr(e, name, None) for e in history]
    column = np.array([np.nan if v is None else float(v) for v in values])
    return np.where(np.isfinite(column), column, np.nan)


def save_figures(folder: Path, figures: Mapping[str, Callable[[Theme], Figure]]) -> dict[str, dict[str, str]]:
    """Writes each figure as a PNG file, and returns it as data URIs for light and for dark pages, with its points."""
    shown = {}
    for name, draw in figures.items():
        light = draw(LIGHT)
        save_png(light, folder / f"{name}.png")
        shown[name] = {"light": data_uri(light), "dark": data_uri(draw(DARK)), "points": as_json(light)}
    return shown


def evaluation_figures(
    scores: Scores, predictions: Predictions, history: Sequence[Any] | None = None, best: int | None = None
) -> dict[str, Callable[[Theme], Figure]]:
    """What draws each plot, by file name."""
    figures: dict[str, Callable[[Theme], Figure]] = {
        "confusion_matrix": lambda theme: confusion_matrix_figure(scores, theme),
        "per_class": lambda theme: per_class_figure(scores, theme),
        "roc": lambda theme: roc_figure(predictions, scores, theme),
        "reliability": lambda theme: reliability_figure(scores, theme),
    }
    if history:
        figures["loss"] = lambda theme: loss_figure(history, theme, best=best)
    return figures
