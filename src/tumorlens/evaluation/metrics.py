"""Figures of merit, each with an interval that knows which scans belong together.

Every figure is a function of sums over groups and of ranks, so one function computes it for any weighting of the
groups: with all weights 1 it gives the value, with the counts of a bootstrap sample one resampled value. The value
and its interval can therefore not come from two definitions. The tests hold the values against scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from tumorlens.errors import ConfigError, DataError
from tumorlens.evaluation.frames import frame_of
from tumorlens.evaluation.predictions import Predictions
from tumorlens.listener import SILENT, Progress, counted
from tumorlens.showing import html_table

CONFIDENCE = 0.95
"""Coverage the intervals aim at."""

BINS = 15
"""Confidence bins of the expected calibration error, as in Guo et al. 2017."""

_FEW_GROUPS = 30  # below this a cluster bootstrap is known to be too narrow (Cameron, Gelbach and Miller 2008)
_CHUNK = 2_000_000  # weights held at a time, about 16 MB
Counts = NDArray[np.float64] | NDArray[np.int64]
Figures = dict[str, NDArray[np.float64]]


class Estimate(BaseModel, frozen=True):
    """A figure with its interval.

    Attributes:
        value: The figure; None where it is undefined.
        low: Lower end of the 95% interval; None where there is none.
        high: Upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, drawn: NDArray[np.float64] | None = None, defined: float = 0.5) -> Estimate:
        """A figure with the percentile interval of its resampled values; one that is not finite is undefined.

        Where less than the share `defined` of the resampled values is finite, the figure rests on too few groups for an
        interval.
        """
        if not np.isfinite(value):
            return cls(value=None)
        finite = np.empty(0) if drawn is None else drawn[np.isfinite(drawn)]
        if drawn is None or not len(finite) or len(finite) < defined * len(drawn):
            return cls(value=value)
        low, high = np.quantile(finite, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return cls(value=value, low=float(low), high=float(high))

    def __str__(self) -> str:
        """Such as "0.833 (0.812 to 0.851)"; empty where the figure is undefined."""
        if self.value is None:
            return ""
        return f"{self.value:.3f}" + ("" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})")


class ClassScores(BaseModel, frozen=True):
    """One class against the others; all figures in [0, 1].

    Attributes:
        support: Scans that truly are of the class.
        groups: Groups these scans come from.
        predicted: Scans that were called so.
        precision: Share of the scans called so that are so.
        recall: Share of the class's scans that were called so; also called sensitivity.
        specificity: Share of the other scans that were not called so.
        auc: Area under the ROC curve, this class against the rest; ties count half.
    """

    key: str
    name: str
    support: int
    groups: int
    predicted: int
    precision: Estimate
    recall: Estimate
    specificity: Estimate
    f1: Estimate
    auc: Estimate


class Detection(BaseModel, frozen=True):
    """Something found against nothing found, whichever class it was called; for sets with a "nothing" class.

    Attributes:
        sensitivity: Share of the scans with something that were not called "nothing".
        specificity: Share of the scans with nothing that were called "nothing".
        missed: Scans with something that were called "nothing".
        false_alarms: Scans with nothing that were called something.
    """

    sensitivity: Estimate
    specificity: Estimate
    missed: int
    false_alarms: int


class Bin(BaseModel, frozen=True):
    """Scans of similar confidence: how sure the network was, and how often it was right.

    Attributes:
        low: Lower end of the bin, excluded; the first bin takes in 0.
        high: Upper end, included.
        confidence: Their mean confidence; None in an empty bin.
        accuracy: Share of them that were right; None in an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None = None
    accuracy: float | None = None


class Scores(BaseModel, frozen=True):
    """What `metrics.json` holds.

    Averages run over the classes that were tested. A class that was tested but never predicted has no precision; it
    counts as 0 in the average, as in scikit-learn, and a note says so.

    Attributes:
        calibrated: Whether the probabilities were calibrated before; concerns log loss, Brier score and ECE.
        weighted_precision: Mean precision, weighted by support; recall weighted so is the accuracy.
        mcc: Matthews correlation for several classes, in [-1, 1] (Gorodkin 2004).
        macro_auc: Mean area under the ROC curves, each class against the rest.
        micro_auc: Area under the ROC curve of all decisions "this scan is of this class" together.
        log_loss: Mean -log of the true class's probability, in nats; probabilities are cut at 1e-7.
        brier: Mean squared distance between probabilities and truth, in [0, 2] (Brier 1950).
        ece: Expected calibration error of the predicted class, 15 bins, in [0, 1] (Guo et al. 2017). It has no
            interval: resampling moves it upwards, so that the interval may not even contain it.
        detection: Something against nothing; None where no class means nothing.
        confusion: Counts; row = true class, column = predicted class.
    """

    n: int
    groups: int
    resamples: int
    seed: int
    calibrated: bool
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_precision: Estimate
    macro_recall: Estimate
    macro_f1: Estimate
    weighted_precision: Estimate
    weighted_f1: Estimate
    mcc: Estimate
    macro_auc: Estimate
    micro_auc: Estimate
    log_loss: Estimate
    brier: Estimate
    ece: float
    detection: Detection | None
    classes: list[ClassScores]
    confusion: list[list[int]]
    reliability: list[Bin]
    notes: list[str]

    def _repr_html_(self) -> str:
        overall = ((name.replace("_", " "), cell) for name, cell in self if isinstance(cell, Estimate))
        columns = ("precision", "recall", "specificity", "f1", "auc")
        classes = ((c.name, c.support, *(getattr(c, name) for name in columns)) for c in self.classes)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return (
            f"<p>{self.n:,} scans of {self.groups:,} groups; in brackets 95% intervals</p>"
            f"{html_table(('figure', 'value'), overall)}{html_table(('class', 'scans', *columns), classes)}"
            f"<ul>{notes}</ul>"
        )

    def to_frame(self) -> Any:
        """The figures over all classes as a `pandas.DataFrame`: a row each, with value, value_low and value_high.

        Raises:
            MissingExtra: If pandas is not installed.
        """
        figures = {name: cell for name in Scores.model_fields if isinstance(cell := getattr(self, name), Estimate)}
        return frame_of({name: {"value": figure} for name, figure in figures.items()}, "figure")

    def classes_frame(self) -> Any:
        """The classes as a `pandas.DataFrame`: a row each by its key, with its figures and their intervals.

        Raises:
            MissingExtra: If pandas is not installed.
        """
        return frame_of({c.key: {k: v for k, v in c if k != "key"} for c in self.classes}, "class")


def score(
    predictions: Predictions,
    *,
    resamples: int = 1000,
    seed: int = 0,
    calibrated: bool = False,
    progress: Progress = SILENT.progress,
) -> Scores:
    """Scores predictions, with 95% percentile intervals of a cluster bootstrap.

    Scans of one patient resemble each other, so whole groups are drawn with replacement, not scans (Field and Welsh
    2007). The interval says how the figure would vary over other patients like these, not over other hospitals.

    Takes scans of two classes at least. No resamples leave the intervals out; `calibrated` says whether the
    probabilities were. `progress` is told of each part of the resamples.

    Raises:
        DataError: If all scans are of one class.
        ConfigError: If `resamples` is negative.
    """
    if resamples < 0:
        raise ConfigError(f"resamples is {resamples}; give 0 or more")
    if len(np.unique(predictions.truth)) < 2:
        raise DataError("all scans are of one class, which cannot be scored; test on two classes at least")
    sums = Sums.of(predictions)
    groups = len(sums.table)
    values = {name: figure[0] for name, figure in sums.figures(np.ones((1, groups))).items()}
    draws = _bootstrap(sums, resamples if groups > 1 else 0, seed, progress)

    def estimate(name: str, index: int | None = None) -> Estimate:
        value, drawn = values[name], draws.get(name)
        if index is not None:
            value, drawn = value[index], None if drawn is None else drawn[:, index]
        return Estimate.of(float(value), drawn)

    confusion = sums.confusion(np.ones((1, groups)))[0].astype(int)
    classes = []
    for i, c in enumerate(predictions.classes):
        count = len(np.unique(predictions.groups[predictions.truth == i]))
        figures = {name: estimate(name, i) for name in ("precision", "recall", "specificity", "f1", "auc")}
        if count == 1:  # every resample repeats the same scans: an interval would claim certainty
            figures = {name: Estimate(value=figure.value) for name, figure in figures.items()}
        support, predicted = int(confusion[i].sum()), int(confusion[:, i].sum())
        classes.append(
            ClassScores(key=c.key, name=c.name, support=support, groups=count, predicted=predicted, **figures)
        )
    headline = {name: estimate(name) for name in values if name in Scores.model_fields}
    detection = None
    if "found" in values:
        nothing = np.array([c.nothing for c in predictions.classes])
        detection = Detection(
            sensitivity=estimate("found"),
            specificity=estimate("cleared"),
            missed=int(confusion[~nothing][:, nothing].sum()),
            false_alarms=int(confusion[nothing][:, ~nothing].sum()),
        )
    reliability = _reliability(predictions)
    return Scores(
        n=len(predictions),
        groups=groups,
        resamples=resamples,
        seed=seed,
        calibrated=calibrated,
        **headline,
        ece=sum(b.count * abs(b.accuracy - b.confidence) for b in reliability if b.count) / len(predictions),  # type: ignore[operator]
        detection=detection,
        classes=classes,
        confusion=confusion.tolist(),
        reliability=reliability,
        notes=_notes(classes, len(predictions), groups, int(np.trace(confusion))),
    )


def classification_report_text(scores: Scores) -> str:
    """The table scikit-learn's `classification_report` prints, with four digits; "n/a" where a figure is undefined."""
    accuracy, macro = scores.accuracy, (scores.macro_precision, scores.macro_recall, scores.macro_f1)
    rows = [(c.name, c.precision, c.recall, c.f1, c.support) for c in scores.classes]
    totals: list[tuple[str, *tuple[Estimate | str | int, ...]]] = [
        ("accuracy", "", "", accuracy, scores.n),
        ("macro avg", *macro, scores.n),
        ("weighted avg", scores.weighted_precision, accuracy, scores.weighted_f1, scores.n),
    ]
    width = max(len(name) for name, *_ in [*rows, *totals])

    def line(name: str, *cells: Estimate | str | int) -> str:
        values = (cell.value if isinstance(cell, Estimate) else cell for cell in cells)
        texts = ("n/a" if v is None else f"{v:.4f}" if isinstance(v, float) else v for v in values)
        return " ".join([f"{name:>{width}} ", *(f"{text:>9}" for text in texts)])

    head = line("", "precision", "recall", "f1-score", "support")
    return "\n".join([head, "", *(line(*row) for row in rows), "", *(line(*row) for row in totals), ""])


def _ratio(above: Counts, below: Counts) -> NDArray[np.float64]:
    """Quotient, NaN where `below` is 0."""
    quotient = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient


def _mean(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the last axis of what `where` picks."""
    return _ratio(np.where(where, values, 0).sum(-1), where.sum(-1))


@dataclass(frozen=True)
class Sums:
    """Sufficient statistics of all figures, summed by group: confusion counts, log loss, Brier score.

    Attributes:
        table: (G, C*C + 2) confusion counts, log loss and Brier score.
        nothing: (C,) bool, classes that mean nothing was found.
        group: (N,) int64, each scan's row in `table`.
    """

    table: NDArray[np.float64]
    nothing: NDArray[np.bool_]
    group: NDArray[np.int64]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @classmethod
    def of(cls, predictions: Predictions) -> Sums:
        """Sums predictions up."""
        truth, p, n, c = predictions.truth, predictions.probabilities, len(predictions), len(predictions.classes)
        scan, cells = np.arange(n), np.zeros((n, c * c))
        cells[scan, truth * c + predictions.predicted] = 1
        loss = -np.log(np.clip(p[scan, truth], 1e-7, 1))
        brier = ((p - np.eye(c)[truth]) ** 2).sum(1)
        names, group = np.unique(predictions.groups, return_inverse=True)
        table = np.zeros((len(names), c * c + 2))
        np.add.at(table, group, np.column_stack([cells, loss, brier]))
        return cls(table, np.array([k.nothing for k in predictions.classes]), group, truth, p)

    def confusion(self, weights: Counts) -> NDArray[np.float64]:
        """(R, C, C) weighted counts for (R, G) weights."""
        c = len(self.nothing)
        return (weights @ self.table[:, : c * c]).reshape(-1, c, c)

    def figures(self, weights: Counts) -> Figures:
        """Every figure for each of R weightings of the groups: (R,), or (R, C) for the figures of a class."""
        m = self.confusion(weights)
        right, true, called, n = m.diagonal(0, 1, 2), m.sum(2), m.sum(1), m.sum((1, 2))
        tested, everything = true > 0, n[:, None]
        recall, precision = _ratio(right, true), _ratio(right, called)
        f1 = _ratio(2 * right, true + called)
        spread = (n**2 - (called**2).sum(1)) * (n**2 - (true**2).sum(1))
        auc = np.stack(
            [self._auc(weights, self.probabilities[:, k], self.truth == k) for k in range(len(self.nothing))], 1
        )
        c = len(self.nothing)
        loss, brier = (weights @ self.table[:, c * c :]).T
        figures = {
            "accuracy": right.sum(1) / n,
            "balanced_accuracy": _mean(recall, tested),
            "macro_precision": _mean(np.nan_to_num(precision), tested),
            "macro_recall": _mean(recall, tested),
            "macro_f1": _mean(f1, tested),
            "weighted_precision": (true * np.nan_to_num(precision)).sum(1) / n,
            "weighted_f1": np.where(tested, true * f1, 0).sum(1) / n,
            "mcc": _ratio(right.sum(1) * n - (true * called).sum(1), np.sqrt(spread)),
            "macro_auc": _mean(auc, np.isfinite(auc)),
            "micro_auc": self._auc(weights, self.probabilities.ravel(), (self.truth[:, None] == np.arange(c)).ravel()),
            "log_loss": loss / n,
            "brier": brier / n,
            "precision": precision,
            "recall": recall,
            "specificity": _ratio(everything - true - called + right, everything - true),
            "f1": f1,
            "auc": auc,
        }
        if self.nothing.any() and not self.nothing.all():
            something = ~self.nothing
            figures["found"] = _ratio(m[:, something][:, :, something].sum((1, 2)), true[:, something].sum(1))
            figures["cleared"] = _ratio(
                m[:, self.nothing][:, :, self.nothing].sum((1, 2)), true[:, self.nothing].sum(1)
            )
        return figures

    def _auc(self, weights: Counts, values: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(R,) Mann-Whitney statistic of weighted scans; `values` may hold several decisions for each scan."""
        order = np.argsort(values)
        starts = np.flatnonzero(np.diff(values[order], prepend=-1) > 0)  # equal values stand or fall together
        weight = weights[:, np.repeat(self.group, len(values) // len(self.group))[order]].astype(np.float64)
        above = np.add.reduceat(weight * positive[order], starts, axis=1)
        below = np.add.reduceat(weight, starts, axis=1) - above
        pairs = (above * (below.cumsum(1) - below / 2)).sum(1)
        return _ratio(pairs, above.sum(1) * below.sum(1))


def _reliability(predictions: Predictions) -> list[Bin]:
    confidence = predictions.confidence
    right = predictions.predicted == predictions.truth
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for i in range(BINS):
        inside = place == i
        columns = {"confidence": confidence, "accuracy": right} if inside.any() else {}
        means = {name: float(column[inside].mean()) for name, column in columns.items()}
        bins.append(Bin(low=i / BINS, high=(i + 1) / BINS, count=int(inside.sum()), **means))
    return bins


def _bootstrap(sums: Sums, resamples: int, seed: int, progress: Progress = SILENT.progress) -> Figures:
    """Figures of `resamples` samples of the groups, drawn with replacement; empty for 0."""
    rng = np.random.default_rng(seed)
    groups = len(sums.table)
    step = max(1, _CHUNK // sums.probabilities.size)
    parts = [
        sums.figures(rng.multinomial(groups, np.full(groups, 1 / groups), size=min(step, resamples - start)))
        for start in counted(range(0, resamples, step), progress)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _notes(classes: list[ClassScores], n: int, groups: int, right: int) -> list[str]:
    notes = []
    for c in classes:
        if not c.support:
            notes.append(
                f"No scan of class “{c.name}” was tested: its recall and AUC are undefined, "
                "and the averages leave it out."
            )
        elif not c.predicted:
            notes.append(f"“{c.name}” was never predicted: its precision is undefined and counts as 0 in the averages.")
        if c.groups == 1:
            notes.append(
                f"All scans of class “{c.name}” come from one group: its figures have no interval "
                "and say little about others."
            )
    if groups == 1:
        notes.append("All scans come from one group: no figure has an interval.")
    elif groups < _FEW_GROUPS:
        notes.append(f"Only {groups} groups were tested: intervals from so few are too narrow.")
    if groups == n:
        notes.append("Every scan is its own group: where several show one patient, the intervals are too narrow.")
    if right == n and groups > 1:
        # Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?"
        notes.append(
            "No scan was classified wrongly, which resampling cannot vary. By the rule of three, error rates of up to "
            f"{min(1, 3 / groups):.1%} remain plausible."
        )
    return notes
