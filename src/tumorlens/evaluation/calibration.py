"""Calibration: temperature and bias, conformal prediction sets, and how far probabilities are from frequencies.

Everything is fitted on the validation part and measured on the test part. The promise "the set holds the true class
nineteen times in twenty" holds for scans exchangeable with the validation scans; other patients and hospitals are not.

References:
    Guo et al., On calibration of modern neural networks, ICML 2017 (temperature).
    Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error levels, Journal of the
    American Statistical Association 114, 2019 (sets by thresholds on the probability, one for each class).
    Angelopoulos and Bates, Conformal prediction: a gentle introduction, Foundations and Trends in Machine Learning
    16(4), 2023 (finite-sample correction, what coverage is to be expected).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy import optimize, special

from tumorlens.card import Calibration, WeightsCard
from tumorlens.errors import ConfigError, DataError
from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import CONFIDENCE, Bin, Estimate, Scores, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.finding import prediction_sets

COVERAGE = 0.95
"""Share of the scans whose prediction set is to hold the true class, for newly fitted weights."""

# Where every validation scan is right, the loss falls for ever with the temperature; half is as far as it may go.
_COLDEST, _HOTTEST = 0.5, 20.0
_BIAS = 2.0  # standard deviation of biases before anything is known: it holds back what few scans would say


class Errors(BaseModel, frozen=True):
    """How far probabilities are from frequencies; all as in `Scores`, smaller is better.

    Attributes:
        ece: Expected calibration error of the predicted class, 15 bins.
        log_loss: Mean -log of the true class's probability, in nats.
    """

    ece: float
    brier: Estimate
    log_loss: Estimate
    reliability: list[Bin]


class SetScores(BaseModel, frozen=True):
    """What prediction sets hold, over the test scans or over those of one class.

    Attributes:
        fitted_on: Validation scans the thresholds were fitted on.
        expected: 95% range of the coverage on infinitely many scans like the validation scans: so few fix a threshold
            no better.
        coverage: Share of the scans whose set holds their true class.
    """

    name: str
    n: int
    fitted_on: int
    expected: tuple[float, float]
    coverage: Estimate
    mean_size: float
    single: float


class CalibrationScores(BaseModel, frozen=True):
    """What calibration did to the test scans; stands in metrics.json as "calibration".

    Attributes:
        fitted_on: Which scans it was fitted on, "validation" or "out-of-fold" ones; see `Calibration`.
        aim: Coverage the sets aim at, in each class.
        bias: What is added to the logits, by class key.
        before: Errors of the network as it was trained.
        accepted: Share of the test scans the gate for unknown scans accepts; None without a gate.
        accepted_classes: That share for each tested class, by its key; empty without a gate.
    """

    temperature: float
    bias: dict[str, float] = {}
    fitted_on: str = "validation"
    aim: float
    before: Errors
    after: Errors
    sets: SetScores
    classes: list[SetScores]
    accepted: Estimate | None = None
    accepted_aim: float = 0.95
    accepted_classes: dict[str, float] = {}


@dataclass(frozen=True)
class Scaling:
    """Bias-corrected temperature scaling: softmax((logits + bias) / temperature).

    One temperature mends how sure a network is. The bias, a number a class, mends for which class it is too sure, as
    one is whose examples were made more frequent in training than they are.

    Attributes:
        temperature: Above 1 where the network was too sure.
        bias: Added to the logits, class by class; empty is nothing.

    Reference: Alexandari, Kundaje and Shrikumar, Maximum likelihood with bias-corrected calibration is hard-to-beat at
    label shift adaptation, ICML 2020.
    """

    temperature: float = 1.0
    bias: tuple[float, ...] = ()

    @classmethod
    def of_card(cls, card: WeightsCard) -> Scaling:
        """The calibration in a weights card."""
        return cls(card.temperature, card.biases)

    @classmethod
    def fit(
        cls, logits: NDArray[np.floating], labels: NDArray[np.int64], weights: NDArray[np.floating] | None = None
    ) -> Scaling:
        """What makes the labels most likely, if biases are normally distributed about 0.

        Args:
            logits: (N, C), for which logarithms of probabilities serve as well.
            labels: (N,) class indices.
            weights: (N,) how much each counts; 1 by default.

        Returns:
            A temperature between 0.5 and 20, and biases that sum to 0.

        Raises:
            DataError: If there are no scans, or a logit is not finite.
        """
        logits = np.asarray(logits, np.float64)
        if not len(logits) or len(logits) != len(labels):
            raise DataError(f"a temperature needs one label per scan, not {len(labels)} for {len(logits)}")
        if not np.isfinite(logits).all():
            raise DataError("a logit is not a number; did the training diverge?")
        rows, share = np.arange(len(labels)), np.ones(len(labels)) if weights is None else np.asarray(weights, float)

        def loss(parameters: NDArray[np.float64]) -> float:
            scaled = (logits + parameters[1:]) / math.exp(parameters[0])
            likelihood = share @ special.log_softmax(scaled, axis=1)[rows, labels]
            return float((parameters[1:] @ parameters[1:] / (2 * _BIAS**2) - likelihood) / share.sum())

        bounds = [(math.log(_COLDEST), math.log(_HOTTEST)), *[(None, None)] * logits.shape[1]]
        best = optimize.minimize(loss, np.zeros(1 + logits.shape[1]), bounds=bounds, method="L-BFGS-B").x
        return cls(math.exp(best[0]), tuple((best[1:] - best[1:].mean()).tolist()))

    def apply(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, C) probabilities of a network as it was trained -> calibrated ones."""
        return _softmax((np.log(_positive(probabilities)) + (self.bias or 0)) / self.temperature)

    def undo(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities, (N, C) -> those of the network as it was trained."""
        return _softmax(np.log(_positive(probabilities)) * self.temperature - (self.bias or 0))


def fit_set_threshold(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], coverage: float = COVERAGE
) -> float:
    """The least probability a class needs to join the prediction set (split conformal, Sadinle et al.'s score).

    Of n + 1 exchangeable scans, each is equally likely to be the one whose true class is k-th least probable; so sets
    of all classes at least as probable as the k-th least of n hold the true class with probability 1 - k / (n + 1).

    `probabilities` are (N, C) calibrated ones of scans that trained nothing, `labels` (N,) class indices; `coverage`,
    in (0, 1), is the probability that the set of another such scan holds its true class.

    Returns:
        A probability; 0, which takes every class, where N is too small to promise anything better.

    Raises:
        ConfigError: If the coverage is out of range.
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"a coverage of {coverage:g} cannot be promised; choose one between 0 and 1")
    own = np.sort(probabilities[np.arange(len(labels)), labels])
    allowed = _allowed(len(own), coverage)
    return float(own[allowed - 1]) if allowed else 0.0


def fit_set_thresholds(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], coverage: float = COVERAGE
) -> list[float]:
    """A threshold for each class, fitted on the scans of that class alone, so that none pays for another's coverage.

    Arguments and errors are those of `fit_set_threshold`. A class with too few scans joins every set.
    """
    own = [labels == i for i in range(probabilities.shape[1])]
    return [fit_set_threshold(probabilities[rows], labels[rows], coverage) for rows in own]


def expected_coverage(
    counts: Sequence[int], shares: Sequence[float], coverage: float = COVERAGE
) -> tuple[float, float]:
    """95% range of the coverage of fitted thresholds on infinitely many scans exchangeable with those they came from.

    Of a threshold fitted on n scans, the coverage follows a beta distribution (Vovk 2012).

    `counts` are the scans that each class's threshold was fitted on, `shares` the classes' shares among the scans
    covered, and `coverage` is what the thresholds were fitted for.
    """
    rng = np.random.default_rng(0)
    drawn = np.zeros(20_000)
    for n, share in zip(counts, shares, strict=True):
        allowed = _allowed(n, coverage)
        drawn += share * (rng.beta(n + 1 - allowed, allowed, len(drawn)) if allowed else 1.0)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _allowed(n: int, coverage: float) -> int:
    """How many of n scans a threshold may leave out; rounded, lest 0.1 * (9 + 1) come out as 0.99."""
    return math.floor(round((1 - coverage) * (n + 1), 9))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return _positive(special.softmax(logits, axis=1))  # so that it has a logarithm again


def _positive(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(probabilities, np.finfo(np.float64).tiny)


def score_calibration(
    predictions: Predictions,
    scores: Scores,
    scaling: Scaling,
    calibration: Calibration,
    unknown: NDArray[np.bool_] | None = None,
) -> CalibrationScores:
    """Measures on test scans what was fitted on validation scans.

    `predictions` were calibrated with `scaling`; `unknown`, (N,), says which of the scans the gate calls so.
    """
    before = score(replace(predictions, probabilities=scaling.undo(predictions.probabilities)))
    keys = predictions.classes.keys
    sets = prediction_sets(predictions.probabilities, [calibration.set_thresholds[key] for key in keys])
    truth = predictions.truth
    tested = [(i, c) for i, c in enumerate(predictions.classes) if (truth == i).any()]
    gate: dict[str, Any] = {}
    if unknown is not None:
        (gate["accepted"],) = estimate_means((~unknown[:, None]).astype(np.float64), predictions.groups)
        gate["accepted_classes"] = {c.key: float(1 - unknown[truth == i].mean()) for i, c in tested}
    return CalibrationScores(
        temperature=scaling.temperature,
        bias=dict(zip(keys, scaling.bias, strict=True)) if scaling.bias else {},
        fitted_on=calibration.fitted_on,
        aim=calibration.coverage,
        before=Errors.model_validate(before, from_attributes=True),
        after=Errors.model_validate(scores, from_attributes=True),
        sets=score_sets("all classes", sets, predictions, calibration),
        classes=[score_sets(c.name, sets, predictions, calibration, i) for i, c in tested],
        accepted_aim=calibration.accepted,
        **gate,
    )


def score_sets(
    name: str, sets: NDArray[np.bool_], predictions: Predictions, calibration: Calibration, only: int | None = None
) -> SetScores:
    """Coverage and size of (N, C) prediction sets, over all scans or over those of class `only`."""
    truth = predictions.truth
    rows = np.ones(len(truth), bool) if only is None else truth == only
    counts = [calibration.scans.get(key, 0) for key in predictions.classes.keys]
    shares = np.bincount(truth[rows], minlength=len(counts)) / rows.sum()
    held = sets[np.arange(len(sets)), truth].astype(np.float64)
    size = sets.sum(1)[rows]
    (coverage,) = estimate_means(held[rows, None], predictions.groups[rows])
    return SetScores(
        name=name,
        n=int(rows.sum()),
        fitted_on=sum(counts) if only is None else counts[only],
        expected=expected_coverage(counts, shares.tolist(), calibration.coverage),
        coverage=coverage,
        mean_size=float(size.mean()),
        single=float((size == 1).mean()),
    )
