"""Two networks on the same scans: each figure, and the difference, with an interval that resamples both together.

What both find easy or hard cancels out of the difference, so that its interval is narrower than those of the two
figures let expect; two intervals that overlap say little.
"""

from __future__ import annotations

from html import escape
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from tumorlens.errors import DataError
from tumorlens.evaluation.frames import frame_of
from tumorlens.evaluation.metrics import Estimate, Sums, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.listener import SILENT, Listener
from tumorlens.showing import html_table

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_auc": "macro ROC-AUC",
    "mcc": "Matthews correlation",
    "found": "detection sensitivity",
    "cleared": "detection specificity",
    "log_loss": "log loss",
    "brier": "Brier score",
}
"""What is compared, by the key of `Sums.figures`."""

_LOWER = ("log_loss", "brier")  # is better
_STEP = 50  # resamples between two signs of progress
_FEW = 30

Verdict = Literal["better", "worse", "no telling"]


class Difference(BaseModel, frozen=True):
    """A figure of two networks on the same scans.

    Attributes:
        first: Of the first network.
        second: Of the second.
        difference: Second less first, with its paired interval.
        verdict: What that says of the second network: "no telling" where the interval holds 0, or there is none.
    """

    key: str
    name: str
    first: Estimate
    second: Estimate
    difference: Estimate
    verdict: Verdict


class Agreement(BaseModel, frozen=True):
    """How often two networks are right on the same scans, and how often they say the same."""

    both_right: int
    only_first: int
    only_second: int
    both_wrong_alike: int
    both_wrong_differently: int


class Comparison(BaseModel, frozen=True):
    """What comparison.json holds.

    Attributes:
        first: Name of the first network.
        second: Name of the second.
        n: Scans that both were tested on; 0 where there are none, and no figure is of a pair.
        left_out: Scans that only the first, and only the second, was tested on.
        groups: What was resampled: patients, series or duplicate groups.
        figures: The figures over all classes.
        recalls: Recall of each class.
        notes: What speaks against reading much into it.
    """

    first: str
    second: str
    n: int
    left_out: tuple[int, int]
    groups: int
    resamples: int
    seed: int
    figures: list[Difference]
    recalls: list[Difference]
    agreement: Agreement | None
    notes: list[str]

    def _repr_html_(self) -> str:
        names = ("figure", f"1: {self.first}", f"2: {self.second}", "difference", "the second is")
        rows = (
            (
                f"recall of {row.name}" if row.key == "recall" else row.name,
                row.first,
                row.second,
                row.difference,
                row.verdict,
            )
            for row in (*self.figures, *self.recalls)
        )
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p>{self.n:,} scans that both were tested on</p>{html_table(names, rows)}<ul>{notes}</ul>"

    def to_frame(self) -> Any:
        """The figures as a `pandas.DataFrame`: a row each, of both networks and of the difference, with intervals.

        Raises:
            MissingExtra: If pandas is not installed.
        """
        rows = {row.key: row for row in self.figures} | {f"recall of {row.name}": row for row in self.recalls}
        columns = ("first", "second", "difference", "verdict")
        return frame_of({key: {name: getattr(row, name) for name in columns} for key, row in rows.items()}, "figure")


def pair(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions] | None:
    """The rows of scans that both tables have, in the same order, under the same groups; None where there are none.

    Where the tables group scans differently, the one with fewer groups counts: it knows more of what belongs together.

    Raises:
        DataError: If the classes differ, or the true class of a scan.
    """
    if first.classes.keys != second.classes.keys:
        raise DataError(
            "the networks tell other classes apart, so nothing can be compared; give two of the same classes"
        )
    places = {name: i for i, name in enumerate(second.names)}
    rows = [(i, places[name]) for i, name in enumerate(first.names) if name in places]
    if not rows:
        return None
    one, other = (
        side.pick(np.array(index)) for side, index in zip((first, second), zip(*rows, strict=True), strict=True)
    )
    if (unlike := np.flatnonzero(one.truth != other.truth)).size:
        raise DataError(f"{one.names[unlike[0]]} has another label in each test; were the data changed in between?")
    fewer = min((one, other), key=lambda side: len(np.unique(side.groups)))
    return tuple(  # type: ignore[return-value]
        Predictions(side.classes, side.truth, side.probabilities, side.names, fewer.groups) for side in (one, other)
    )


def compare(
    names: tuple[str, str],
    first: Predictions,
    second: Predictions,
    *,
    resamples: int = 1000,
    seed: int = 0,
    listener: Listener = SILENT,
) -> Comparison:
    """Compares two tables of predictions, scan by scan where both were tested on the same scans.

    Intervals are 95% percentiles of a cluster bootstrap that draws the same groups for both (Efron, Tibshirani 1993).

    Args:
        names: What the networks are called.
        first: What the first network said.
        second: What the second network said.
        resamples: Bootstrap samples.
        seed: Of the samples.
        listener: Told how far it is.

    Raises:
        DataError: If the classes or the true class of a scan differ, or all scans are of one class.
    """
    listener.say(f"comparing {names[0]} with {names[1]}")
    paired = pair(first, second)
    shared = 0 if paired is None else len(paired[0])
    common = {
        "first": names[0],
        "second": names[1],
        "n": shared,
        "left_out": (len(first) - shared, len(second) - shared),
        "resamples": resamples,
        "seed": seed,
    }
    if paired is None:
        figures = _side_by_side(first, second, resamples, seed)
        note = (
            "No scan was tested by both, so no difference has an interval: that of patients and of networks cannot be "
            "told apart. Test both on the same scans: tumorlens evaluate RUN --data FOLDER."
        )
        return Comparison(**common, groups=0, figures=figures, recalls=[], agreement=None, notes=[note])
    if len(np.unique(paired[0].truth)) < 2:
        raise DataError("all scans that both were tested on are of one class; test on two classes at least")
    groups = len(np.unique(paired[0].groups))
    figures, recalls = _differences(paired, resamples if groups > 1 else 0, seed, listener)
    return Comparison(
        **common,
        groups=groups,
        figures=figures,
        recalls=recalls,
        agreement=_agreement(*paired),
        notes=_notes(common["left_out"], groups, first, second),  # type: ignore[arg-type]
    )


def _differences(
    paired: tuple[Predictions, Predictions], resamples: int, seed: int, listener: Listener
) -> tuple[list[Difference], list[Difference]]:
    sums = [Sums.of(side) for side in paired]
    groups = len(sums[0].table)
    values = [side.figures(np.ones((1, groups))) for side in sums]
    rng, drawn = np.random.default_rng(seed), ([], [])  # type: ignore[var-annotated]
    for start in range(0, resamples, _STEP):
        count = min(_STEP, resamples - start)
        weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=count)
        for side, parts in zip(sums, drawn, strict=True):
            parts.append(side.figures(weights))
        listener.progress(start + count, resamples)

    def difference(key: str, name: str, index: int | None = None) -> Difference:
        def of(figures: dict[str, np.ndarray]) -> np.ndarray:
            return figures[key] if index is None else figures[key][:, index]

        first, second = (float(of(side)[0]) for side in values)
        one, other = (np.concatenate([of(p) for p in parts]) if parts else None for parts in drawn)
        gap = None if one is None or other is None else other - one
        estimate = Estimate.of(second - first, gap)
        return Difference(
            key=key,
            name=name,
            first=Estimate.of(first, one),
            second=Estimate.of(second, other),
            difference=estimate,
            verdict=_verdict(key, estimate),
        )

    classes = paired[0].classes
    present = [i for i in range(len(classes)) if (paired[0].truth == i).any()]
    return (
        [difference(key, name) for key, name in FIGURES.items() if key in values[0]],
        [difference("recall", classes[i].name, i) for i in present],
    )


def _verdict(key: str, difference: Estimate) -> Verdict:
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "no telling"
    return "better" if (difference.low > 0) != (key in _LOWER) else "worse"


def _side_by_side(first: Predictions, second: Predictions, resamples: int, seed: int) -> list[Difference]:
    """The figures of two networks that were tested on different scans."""
    scores = [score(side, resamples=resamples, seed=seed) for side in (first, second)]
    return [
        Difference(
            key=key,
            name=name,
            first=getattr(scores[0], key),
            second=getattr(scores[1], key),
            difference=Estimate(value=None),
            verdict="no telling",
        )
        for key, name in FIGURES.items()
        if hasattr(scores[0], key)
    ]


def _agreement(first: Predictions, second: Predictions) -> Agreement:
    one, other = first.predicted == first.truth, second.predicted == second.truth
    alike = first.predicted == second.predicted
    return Agreement(
        both_right=int((one & other).sum()),
        only_first=int((one & ~other).sum()),
        only_second=int((~one & other).sum()),
        both_wrong_alike=int((~one & ~other & alike).sum()),
        both_wrong_differently=int((~one & ~other & ~alike).sum()),
    )


def _notes(left_out: tuple[int, int], groups: int, first: Predictions, second: Predictions) -> list[str]:
    notes = []
    if any(left_out):
        notes.append(
            f"Scans that only one network was tested on are left out: {left_out[0]:,} of the first, {left_out[1]:,} of "
            "the second."
        )
    if groups < _FEW:
        notes.append(f"Only {groups} groups were tested by both: intervals from so few are too narrow.")
    if len(set(first.names)) == len(set(first.groups.tolist())) and len(set(second.groups.tolist())) == len(second):
        notes.append("Every scan is its own group: where several show one patient, the intervals are too narrow.")
    notes.append(
        "The figures are of networks as they were trained once: another seed, and the difference may be another."
    )
    return notes
