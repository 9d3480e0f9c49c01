"""Findings, scores and comparisons as Matplotlib figures, for notebooks and papers; the plots of the reports.

Every function returns a `matplotlib.figure.Figure` on opaque paper, light or `dark`, and touches no pyplot state; in a
notebook, `%matplotlib inline` lets a cell end with one. All of them need the extra `train`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

from matplotlib.figure import Figure

from tumorlens.errors import ConfigError
from tumorlens.evaluation.comparing.paired import Comparison
from tumorlens.evaluation.comparing.report import difference_figure
from tumorlens.evaluation.metrics import Scores, score
from tumorlens.evaluation.pages import plots
from tumorlens.evaluation.pages.plots import DARK, LIGHT, Theme
from tumorlens.evaluation.predictions import Predictions
from tumorlens.finding import Finding
from tumorlens.training.callbacks import read_log

_SIDE = 2.4  # inches of a finding's picture
_WORDS = 30  # letters that fit over one


def findings(found: Sequence[Finding], *, columns: int = 4, dark: bool = False) -> Figure:
    """Scans with their heat maps and regions, `columns` in a row, each under its finding.

    Raises:
        ConfigError: If there are none, or no column.
        ValueError: If a finding does not hold its scan; those of `Classifier.find` do.
    """
    if not found or columns < 1:
        raise ConfigError("there is nothing to draw; give a finding and a column at least")
    theme = DARK if dark else LIGHT
    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(_SIDE * columns, (_SIDE + 0.3) * rows), layout="constrained", facecolor=theme.paper)
    for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.set_axis_off()
        if place < len(found):
            axes.imshow(found[place].overlay())
            axes.set_title(fill(str(found[place]), _WORDS), size=9, color=theme.ink)
    return figure


def confusion(scores: Scores, *, dark: bool = False) -> Figure:
    """The confusion matrix: counts, and per cent of the true class."""
    return _draw(lambda theme: plots.confusion_matrix_figure(scores, theme), dark)


def classes(scores: Scores, *, dark: bool = False) -> Figure:
    """Recall, precision and F1 of each class with their 95% intervals."""
    return _draw(lambda theme: plots.per_class_figure(scores, theme), dark)


def roc(predictions: Predictions, scores: Scores | None = None, *, dark: bool = False) -> Figure:
    """ROC curves of each class against the rest, and averages; `scores` are scored here where none are given."""
    known = scores or score(predictions, resamples=0)
    return _draw(lambda theme: plots.roc_figure(predictions, known, theme), dark)


def reliability(scores: Scores, *, dark: bool = False) -> Figure:
    """How often the network was right, by how sure it was."""
    return _draw(lambda theme: plots.reliability_figure(scores, theme), dark)


def losses(run: Path | str, *, dark: bool = False) -> Figure:
    """Loss and accuracy of a training run over its epochs, from the log.csv of its folder.

    Raises:
        DataError: If the folder has no log, or an empty one.
    """
    history = read_log(Path(run) / "log.csv")
    return _draw(lambda theme: plots.loss_figure(history, theme), dark)


def comparison(result: Comparison, *, dark: bool = False) -> Figure:
    """How much better the second of two networks is by each figure, with paired 95% intervals."""
    return _draw(lambda theme: difference_figure(result, theme), dark)


def _draw(figure: Callable[[Theme], Figure], dark: bool) -> Figure:
    theme = DARK if dark else LIGHT
    drawn = figure(theme)
    drawn.set_facecolor(theme.paper)
    return drawn
