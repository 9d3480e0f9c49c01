import numpy as np
import pytest

from tests.evaluation.conftest import MakePredictions
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.evaluation.metrics import Estimate, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.site.figures import (
    calibration_lines,
    compare,
    compare_one,
    set_figures,
    steady_scores,
    subgroups,
    wilson,
)


def test_a_flawless_class_gets_an_interval_by_its_patients(make_predictions: MakePredictions) -> None:
    truth = np.repeat([0, 1, 2, 3], 10)
    p = np.full((40, 4), 0.05)
    p[np.arange(40), truth] = 0.85
    p[:3] = [0.1, 0.7, 0.1, 0.1]  # three wrong gliomas
    predictions = Predictions(
        BRAIN_TUMORS, truth, p, [str(i) for i in range(40)], np.array([str(i // 2) for i in range(40)])
    )
    plain, steady = score(predictions), steady_scores(score(predictions), predictions)
    assert plain.classes[2].recall.low == 1
    assert steady.classes[2].recall == wilson(1.0, 5)  # ten slices, five patients
    assert steady.classes[2].specificity == wilson(1.0, 15)
    assert steady.classes[2].f1 == Estimate(value=1.0)
    assert steady.classes[0].recall == plain.classes[0].recall
    assert steady.detection.specificity == wilson(1.0, 5)


def recalibrated(rng: np.random.Generator, power: float, n: int = 3000) -> Predictions:
    logits = 1.5 * rng.normal(size=(n, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([rng.choice(3, p=row) for row in p])
    q = p**power / (p**power).sum(1, keepdims=True)
    return Predictions(ClassSet.of("abc"), truth, q, [str(i) for i in range(n)])


def test_calibration_slope_tells_too_extreme_probabilities() -> None:
    rng = np.random.default_rng(0)
    right, extreme = recalibrated(rng, 1), recalibrated(rng, 2)
    for line in calibration_lines(right):
        assert line.slope.low < 1 < line.slope.high
        assert line.intercept.low < 0 < line.intercept.high
    assert all(line.slope.high < 0.7 for line in calibration_lines(extreme))


def test_calibration_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    predictions = recalibrated(np.random.default_rng(1), 0.5, n=400)
    p = predictions.probabilities[:, 0]
    oracle = LogisticRegression(C=1e9).fit(np.log(p / (1 - p))[:, None], predictions.truth == 0)
    assert calibration_lines(predictions)[0].slope.value == pytest.approx(oracle.coef_[0, 0], rel=1e-3)


def test_a_class_told_apart_without_error_has_no_slope() -> None:
    truth = np.repeat([0, 1], 50)
    p = np.where(truth[:, None] == [0, 1], 0.9, 0.1)
    lines = calibration_lines(Predictions(ClassSet.of("ab"), truth, p, [str(i) for i in range(100)]))
    assert [line.slope for line in lines] == [Estimate(value=None)] * 2


@pytest.mark.parametrize(
    ("promised", "verdict"),
    [
        ({"value": 0.99, "low": 0.98, "high": 0.995}, "below"),
        ({"value": 0.30, "low": 0.25, "high": 0.35}, "above"),
        ({"value": 0.99}, "below"),
    ],
)
def test_verdicts(make_predictions: MakePredictions, promised: dict[str, float], verdict: str) -> None:
    (found,) = compare(score(make_predictions(400)), {"accuracy": promised, "n": 12})
    assert found.verdict == verdict
    assert found.difference.low <= found.difference.value <= found.difference.high


def test_prediction_sets_are_held_against_the_truth() -> None:
    p = np.full((4, 4), 0.25)
    predictions = Predictions(BRAIN_TUMORS, np.array([0, 1, 2, 3]), p, list("abcd"))
    sets = [("glioma",), ("glioma", "meningioma"), (), ("glioma", "meningioma", "pituitary")]
    coverage, size = set_figures(sets, predictions)
    assert (coverage.value, size.value) == (0.5, 1.5)
    assert coverage.low < 0.5 < coverage.high
    found = compare_one("coverage", "Coverage", coverage, Estimate(value=0.9))
    assert found.words.startswith("Coverage is 50.0% here; the card promises 90.0%: ")
    assert set_figures([(), (), (), ()], predictions) == (None, None)


def test_within_chance_and_without_interval(make_predictions: MakePredictions) -> None:
    scores = score(make_predictions(400))
    near = {"value": scores.accuracy.value + 0.01, "low": scores.accuracy.low, "high": 0.99}
    (found,) = compare(scores, {"accuracy": near})
    assert found.verdict == "within"
    assert "−1.0 points is within what chance allows" in found.words
    (found,) = compare(score(make_predictions(400), resamples=0), {"accuracy": near})
    assert found.verdict == "unknown"
    assert compare(scores, {}) == []


def test_subgroups_warn_where_they_say_nothing(make_predictions: MakePredictions) -> None:
    predictions = make_predictions(300, groups=300, skill=4)
    worse = np.arange(300) < 100
    p = predictions.probabilities.copy()
    p[worse] = np.roll(p[worse], 1, axis=1)  # every call is off by one class
    predictions = Predictions(BRAIN_TUMORS, predictions.truth, p, predictions.names, predictions.groups)
    facts = [
        {"scanner": "OLD" if worse[i] else "NEW", **({"sex": "F"} if i < 5 else {}), "source": "abc"[t % 3]}
        for i, t in enumerate(predictions.truth)
    ]
    found = {(s.fact, s.value): s for s in subgroups(predictions, facts, score(predictions))}
    assert found["scanner", "OLD"].warning == "worse than the whole site"
    assert found["scanner", "NEW"].warning == ""
    assert found["scanner", "NEW"].accuracy.value > 0.8
    assert "too few (5)" in found["sex", "F"].warning
    assert found["sex", "not given"].n == 295
    assert found["source", "b"].warning == "only meningioma: cannot be compared"
    assert found["source", "b"].specificity.value is None
    assert ("age", "not given") not in found
