"""What a validation adds to an evaluation's figures: steady intervals, calibration, subgroups, the card's promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate, Scores, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.scan import FACTS

FEW = 10
"""Patients (or other groups) below which a subgroup says nothing."""

NOT_GIVEN = "not given"
FACT_NAMES = {"sex": "sex", "age": "age", "scanner": "scanner", "field_strength": "field strength", "source": "source"}
PROMISED = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "macro_auc": "Macro AUC"}

_Z = 1.959964  # of the normal distribution, for 95%
_RESAMPLES = 200  # for calibration lines, whose fits are slow
_STEEPEST = 20.0  # a slope beyond this means that the class is told apart without error, and has no slope
Floats = NDArray[np.float64]
Verdict = Literal["within", "below", "above", "unknown"]


class CalibrationLine(BaseModel, frozen=True):
    """How one class's probabilities relate to how often it is so (Cox 1958; Van Calster et al. 2019).

    Attributes:
        slope: Of the logit of its frequency over the logit of its probability; below 1, probabilities are too extreme.
            None where the class is told apart without error.
        intercept: What must be added to the logit, the slope being 1; below 0, probabilities are too high on average.
    """

    name: str
    slope: Estimate
    intercept: Estimate


class Subgroup(BaseModel, frozen=True):
    """Performance in a subgroup: scans that share a fact, such as the scanner or the patient's sex.

    Attributes:
        fact: One of `FACTS`, or "source".
        value: What the scans share; "not given" where the files do not say.
        positive: Scans of classes that are something; of all classes if none means nothing.
        sensitivity: Share of the positive scans that were not called nothing; mean recall if no class means nothing.
        specificity: Share of the others that were called nothing.
        warning: Why the figures say little, or what they say that matters; empty otherwise.
    """

    fact: str
    value: str
    n: int
    groups: int
    positive: int
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    warning: str


class AgainstCard(BaseModel, frozen=True):
    """Difference between a figure measured at the site and the one that the weights card promises.

    Attributes:
        difference: The first less the second, with its 95% interval.
        verdict: "below" or "above" if the interval of the difference excludes 0, else "within"; "unknown" where
            there is no interval.
    """

    key: str
    name: str
    here: Estimate
    promised: Estimate
    difference: Estimate
    verdict: Verdict
    words: str


def wilson(share: float, n: int) -> Estimate:
    """A proportion with Wilson's 95% interval (1927), which does not collapse where the proportion is 0 or 1.

    `share` is 0 to 1; `n` are independent observations, which for scans are the groups they come from.
    """
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low = 0.0 if share == 0 else float(middle - half)  # exactly, where rounding would leave a trace
    high = 1.0 if share == 1 else float(middle + half)
    return Estimate(value=share, low=low, high=high)


def steady_scores(scores: Scores, predictions: Predictions) -> Scores:
    """The scores with Wilson's interval, over groups, where a flawless proportion left the bootstrap nothing to vary.

    Flawless figures that are no proportions (F1, AUC, means over classes) lose their interval.
    """
    truth, predicted, groups = predictions.truth, predictions.predicted, predictions.groups

    def steady(estimate: Estimate, rows: NDArray[np.bool_] | None) -> Estimate:
        if estimate.value is None or estimate.low is None or estimate.low != estimate.high:
            return estimate
        if rows is None:
            return Estimate(value=estimate.value)
        return wilson(estimate.value, len(np.unique(groups[rows])))

    classes = []
    for i, c in enumerate(scores.classes):
        rows = {"recall": truth == i, "specificity": truth != i, "precision": predicted == i, "f1": None, "auc": None}
        classes.append(c.model_copy(update={name: steady(getattr(c, name), r) for name, r in rows.items()}))
    everything = np.ones(len(truth), bool)
    headline = {
        name: steady(value, everything if name == "accuracy" else None)
        for name in Scores.model_fields
        if isinstance(value := getattr(scores, name), Estimate)
    }
    detection = scores.detection
    if detection is not None:
        something = ~_nothing(predictions)[truth]
        detection = detection.model_copy(
            update={
                "sensitivity": steady(detection.sensitivity, something),
                "specificity": steady(detection.specificity, ~something),
            }
        )
    return scores.model_copy(update={"classes": classes, "detection": detection, **headline})


def calibration_lines(predictions: Predictions, *, seed: int = 0) -> list[CalibrationLine]:
    """Calibration slope and intercept of each class that was tested, with 95% intervals resampled by group."""
    _, group = np.unique(predictions.groups, return_inverse=True)
    count = int(group.max()) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    weights = np.concatenate([np.ones((1, count)), draws])[:, group].astype(np.float64)
    lines = []
    for i, c in enumerate(predictions.classes):
        y = (predictions.truth == i).astype(np.float64)
        if not 0 < y.sum() < len(y):
            continue
        p = np.clip(predictions.probabilities[:, i], 1e-6, 1 - 1e-6)
        logit = np.log(p / (1 - p))
        slopes, intercepts = _fit(logit, y, weights, free=True)[1], _fit(logit, y, weights, free=False)[0]
        lines.append(CalibrationLine(name=c.name, slope=_estimate(slopes), intercept=_estimate(intercepts)))
    return lines


def subgroups(predictions: Predictions, facts: Sequence[Mapping[str, str]], overall: Scores) -> list[Subgroup]:
    """How the network does in each subgroup that the facts make.

    `facts` is what is known of each of the N scans; subgroups are compared with the `overall` scores. A fact that no
    scan has makes none.
    """
    subgroups = []
    for fact in (*FACTS, "source"):
        values = np.array([f.get(fact) or NOT_GIVEN for f in facts])
        given = sorted(set(values.tolist()) - {NOT_GIVEN}, key=lambda v: (v != "<40", v))
        if given and NOT_GIVEN in values:
            given.append(NOT_GIVEN)
        subgroups += [_subgroup(fact, v, predictions.pick(np.flatnonzero(values == v)), overall) for v in given]
    return subgroups


def compare(scores: Scores, promised: Mapping[str, Any]) -> list[AgainstCard]:
    """Holds the headline figures against those of the weights card.

    The interval of a difference comes from the two intervals by squaring and adding (MOVER; Zou and Donner 2008).

    `promised` are the card's scores: by figure, mappings with value, low and high.
    """
    comparisons = []
    for key, name in PROMISED.items():
        if isinstance(given := promised.get(key), Mapping) and given.get("value") is not None:
            there = Estimate(**{k: given.get(k) for k in ("value", "low", "high")})
            comparisons.append(compare_one(key, name, getattr(scores, key), there))
    return comparisons


def compare_one(key: str, name: str, here: Estimate, promised: Estimate) -> AgainstCard:
    """Holds one figure against what is promised of it; a promise without interval is taken as exact."""
    difference = _difference(here, promised)
    verdict: Verdict = "unknown"
    if difference.low is not None and difference.high is not None:
        verdict = "below" if difference.high < 0 else "above" if difference.low > 0 else "within"
    words = _words(key, name, here, promised, difference, verdict)
    return AgainstCard(
        key=key, name=name, here=here, promised=promised, difference=difference, verdict=verdict, words=words
    )


def set_figures(
    sets: Sequence[Sequence[str]], predictions: Predictions
) -> tuple[Estimate, Estimate] | tuple[None, None]:
    """Share of prediction sets that hold the true class, and their mean size; None where there are no sets.

    `sets` are the classes that each scan's set holds, by key.
    """
    if not any(sets):
        return None, None
    keys = predictions.classes.keys
    held = [keys[truth] in s for s, truth in zip(sets, predictions.truth, strict=True)]
    coverage, size = estimate_means(
        np.column_stack([held, [len(s) for s in sets]]).astype(np.float64), predictions.groups
    )
    return coverage, size


def _nothing(predictions: Predictions) -> NDArray[np.bool_]:
    return np.array([c.nothing for c in predictions.classes])


def _fit(x: Floats, y: Floats, weights: Floats, *, free: bool) -> tuple[Floats, Floats]:
    """Logistic regression of y on x for each of R weightings, by Newton's method; the slope stays 1 unless `free`.

    Returns:
        Intercepts and slopes, (R,) each; NaN where it did not settle.
    """
    # From a flat start Newton's method settles where a steep one would leap back and forth.
    a, b = np.zeros(len(weights)), np.full(len(weights), 0.0 if free else 1.0)
    step = np.full(len(weights), np.inf)
    for _ in range(40):
        p = 1 / (1 + np.exp(-np.clip(a[:, None] + b[:, None] * x, -500, 500)))
        residual, w = weights * (y - p), weights * p * (1 - p)
        g, h = residual.sum(1), w.sum(1) + 1e-12
        if free:
            gx, hx, hxx = residual @ x, w @ x, w @ x**2 + 1e-12
            determinant = np.maximum(h * hxx - hx**2, 1e-12)
            da, db = (hxx * g - hx * gx) / determinant, (h * gx - hx * g) / determinant
        else:
            da, db = g / h, np.zeros_like(g)
        da, db = np.clip(da, -3, 3), np.clip(db, -3, 3)  # keeps the first steps from leaping past the solution
        a, b, step = a + da, b + db, np.abs(da) + np.abs(db)
        if (step < 1e-7).all():
            break
    settled = (step < 1e-4) & (np.abs(a) < 100) & (np.abs(b) < _STEEPEST)
    return np.where(settled, a, np.nan), np.where(settled, b, np.nan)


def _estimate(fitted: Floats) -> Estimate:
    """The first value, with the interval the others make."""
    return Estimate.of(float(fitted[0]), fitted[1:], defined=0.9)


def _subgroup(fact: str, value: str, predictions: Predictions, overall: Scores) -> Subgroup:
    groups = len(np.unique(predictions.groups))
    nothing = _nothing(predictions)
    positive = ~nothing[predictions.truth]
    present = np.unique(predictions.truth)
    sensitivity = specificity = Estimate(value=None)
    if len(present) > 1:
        scores = steady_scores(score(predictions), predictions)
        accuracy = scores.accuracy
        if scores.detection is not None:
            sensitivity, specificity = scores.detection.sensitivity, scores.detection.specificity
        else:
            sensitivity = scores.balanced_accuracy
    else:
        accuracy = wilson(float((predictions.predicted == predictions.truth).mean()), groups)
        detected = wilson(float((nothing[predictions.predicted] == nothing[present[0]]).mean()), groups)
        sensitivity, specificity = (sensitivity, detected) if nothing[present[0]] else (detected, specificity)
    names = [predictions.classes[i].name for i in present]
    sides = {"sensitivity": positive, "specificity": ~positive} if nothing.any() else {}
    few = {name: count for name, side in sides.items() if (count := len(np.unique(predictions.groups[side]))) < FEW}
    return Subgroup(
        fact=fact,
        value=value,
        n=len(predictions),
        groups=groups,
        positive=int(positive.sum()),
        accuracy=accuracy,
        sensitivity=sensitivity,
        specificity=specificity,
        warning=_caution(groups, few, names, accuracy, overall),
    )


def _caution(groups: int, few: Mapping[str, int], present: Sequence[str], accuracy: Estimate, overall: Scores) -> str:
    if groups < FEW:
        return f"too few ({groups}) to say anything"
    if len(present) == 1:
        return f"only {present[0]}: cannot be compared"
    if few:
        return "; ".join(f"{name} rests on {count} only" for name, count in few.items())
    if accuracy.high is not None and overall.accuracy.value is not None and accuracy.high < overall.accuracy.value:
        return "worse than the whole site"
    return ""


def _difference(here: Estimate, there: Estimate) -> Estimate:
    if here.value is None or there.value is None:
        return Estimate(value=None)
    value = here.value - there.value
    if here.low is None or here.high is None:
        return Estimate(value=value)
    low, high = (there.value if end is None else end for end in (there.low, there.high))
    return Estimate(
        value=value,
        low=value - float(np.hypot(here.value - here.low, high - there.value)),
        high=value + float(np.hypot(here.high - here.value, there.value - low)),
    )


def _words(key: str, name: str, here: Estimate, there: Estimate, difference: Estimate, verdict: Verdict) -> str:
    if here.value is None or there.value is None or difference.value is None:
        return f"{name} is undefined here, and cannot be compared."
    factor, digits, unit = (1, 3, "") if key == "macro_auc" else (100, 1, "%")
    points = " points" if unit else ""

    def number(value: float) -> str:
        return f"{factor * value:.{digits}f}"

    def signed(value: float) -> str:
        return f"{factor * value:+.{digits}f}".replace("-", "−")

    start = f"{name} is {number(here.value)}{unit} here; the card promises {number(there.value)}{unit}"
    if difference.low is None or difference.high is None:
        return f"{start}. There is no interval, so chance cannot be told from a difference."
    interval = f"95% interval of the difference {signed(difference.low)} to {signed(difference.high)}{points}"
    if verdict == "within":
        return (
            f"{start}: the difference of {signed(difference.value)}{points} is within what chance allows ({interval})."
        )
    return f"{start}: {verdict} it by {number(abs(difference.value))}{points} ({interval})."
