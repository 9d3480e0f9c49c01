"""Temperature, prediction sets, and what they keep on other scans."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from tumorlens.card import Calibration
from tumorlens.errors import ConfigError, DataError
from tumorlens.evaluation.calibration import (
    COVERAGE,
    Scaling,
    expected_coverage,
    fit_set_threshold,
    fit_set_thresholds,
    score_calibration,
)
from tumorlens.evaluation.metrics import score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.finding import prediction_sets


def simulate(n: int, seed: int, sharpness: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits of four classes and labels drawn from their softmax; then the logits are multiplied."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    cumulated = softmax(logits, axis=1).cumsum(1)
    labels = (rng.random((n, 1)) > cumulated).sum(1).clip(0, 3)
    return logits * sharpness, labels


@pytest.mark.parametrize("sharpness", [0.7, 1.0, 3.0, 12.0])
def test_the_temperature_undoes_what_sharpened_the_logits(sharpness: float) -> None:
    fitted = Scaling.fit(*simulate(20_000, 0, sharpness))
    assert fitted.temperature == pytest.approx(sharpness, rel=0.03)
    assert np.abs(fitted.bias).max() < 0.1 * sharpness


def test_the_bias_undoes_what_favours_a_class() -> None:
    logits, labels = simulate(20_000, 0, 2)
    favoured = np.array([3.0, 0, 0, -1])
    fitted = Scaling.fit(logits + favoured, labels)
    np.testing.assert_allclose(fitted.bias, favoured.mean() - favoured, atol=0.15)
    assert sum(fitted.bias) == pytest.approx(0, abs=1e-9)


def test_few_scans_say_little_of_a_bias() -> None:
    assert np.abs(Scaling.fit(np.zeros((3, 2)), np.zeros(3, np.int64)).bias).max() < 2


def test_scans_count_by_their_weight() -> None:
    logits, labels = simulate(400, 0, 2)
    twice = Scaling.fit(np.concatenate([logits, logits[:100]]), np.concatenate([labels, labels[:100]]))
    weighted = Scaling.fit(logits, labels, np.repeat([2.0, 1.0], [100, 300]))
    assert weighted.temperature == pytest.approx(twice.temperature, rel=1e-3)
    np.testing.assert_allclose(weighted.bias, twice.bias, atol=1e-3)


def test_logarithms_of_probabilities_serve_as_logits() -> None:
    logits, labels = simulate(500, 0, 2)
    by_logits, by_logarithms = Scaling.fit(logits + 100, labels), Scaling.fit(np.log(softmax(logits, axis=1)), labels)
    assert by_logarithms.temperature == pytest.approx(by_logits.temperature, rel=1e-3)
    np.testing.assert_allclose(by_logarithms.bias, by_logits.bias, atol=1e-3)


def test_flawless_scans_do_not_make_a_network_sure_of_everything() -> None:
    labels = np.arange(40) % 4
    assert Scaling.fit(np.eye(4)[labels] * 3, labels).temperature == pytest.approx(0.5, abs=0.01)


def test_a_temperature_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="one label per scan"):
        Scaling.fit(np.zeros((0, 4)), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="did the training diverge"):
        Scaling.fit(np.full((2, 4), np.nan), np.array([0, 1]))


@pytest.mark.parametrize("bias", [(), (1.0, -2.0, 0.5, 0.5)])
def test_a_scaling_can_be_undone(bias: tuple[float, ...]) -> None:
    logits, _ = simulate(50, 0, 3)
    p, scaling = softmax(logits, axis=1), Scaling(2.5, bias)
    np.testing.assert_allclose(scaling.apply(p), softmax((logits + np.array(bias or 0)) / 2.5, axis=1), rtol=1e-9)
    np.testing.assert_allclose(scaling.undo(scaling.apply(p)), p, rtol=1e-9)
    assert np.isfinite(np.log(Scaling(0.5).apply(np.array([[1.0, 0, 0, 0]])))).all()


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (60, 0.8), (250, 0.9)])
def test_sets_hold_the_true_class_as_often_as_promised(n: int, coverage: float) -> None:
    """Over many draws of exchangeable scans: no less than promised, and no more than chance among n + 1 allows."""
    p, labels = softmax(simulate(400_000, 1, 2)[0], axis=1), simulate(400_000, 1, 2)[1]
    held = []
    for draw in range(800):
        rows = slice(draw * 500, draw * 500 + n)
        test = slice(draw * 500 + n, draw * 500 + 500)
        own = p[test][np.arange(500 - n), labels[test]]
        held.append((own >= fit_set_threshold(p[rows], labels[rows], coverage)).mean())
    error = np.std(held) / np.sqrt(len(held))
    assert coverage - 3 * error <= np.mean(held) <= coverage + 1 / (n + 1) + 3 * error
    low, high = expected_coverage([n], [1.0], coverage)
    assert np.mean((np.array(held) > low - 0.02) & (np.array(held) < high + 0.02)) > 0.95


def test_each_class_is_covered_where_one_threshold_neglects_the_hard_one() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 80_000)
    logits = rng.normal(size=(80_000, 4))
    logits[np.arange(80_000), labels] += np.array([4, 4, 4, 0.5])[labels]
    p = softmax(logits, axis=1)

    def coverage(thresholds: list[float]) -> list[float]:
        held = prediction_sets(p[40_000:], thresholds)[np.arange(40_000), labels[40_000:]]
        return [float(held[labels[40_000:] == i].mean()) for i in range(4)]

    one = fit_set_threshold(p[:40_000], labels[:40_000])
    assert min(coverage([one] * 4)) < COVERAGE - 0.1
    assert min(coverage(fit_set_thresholds(p[:40_000], labels[:40_000]))) > COVERAGE - 0.01


def test_a_class_without_scans_joins_every_set() -> None:
    p, labels = softmax(simulate(100, 0)[0], axis=1), simulate(100, 0)[1] % 3
    assert fit_set_thresholds(p, labels)[3] == 0


def test_too_few_scans_promise_nothing_better_than_every_class() -> None:
    p, labels = softmax(simulate(8, 0)[0], axis=1), simulate(8, 0)[1]
    assert fit_set_threshold(p, labels, 0.9) == 0
    assert prediction_sets(p, [0] * 4).all()
    assert expected_coverage([8], [1.0], 0.9) == (1, 1)
    nine = fit_set_threshold(np.eye(2)[[0] * 9] * 0.8 + 0.1, np.zeros(9, np.int64), 0.9)
    assert nine == pytest.approx(0.9)  # the least probable of nine: exactly one in ten


@pytest.mark.parametrize("coverage", [0, 1, -1, 90])
def test_a_coverage_must_be_a_share(coverage: float) -> None:
    with pytest.raises(ConfigError, match="choose one between 0 and 1"):
        fit_set_threshold(np.eye(2), np.array([0, 1]), coverage)


def test_a_set_is_never_empty() -> None:
    p = np.array([[0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]])
    assert prediction_sets(p, [0.99] * 4).tolist() == [[True, False, False, False], [True] * 4]
    assert prediction_sets(p, [0.2] * 4).tolist() == [[True, True, True, False], [True] * 4]
    assert prediction_sets(p, [0.9, 0.9, 0.2, 0.1])[0].tolist() == [True, False, True, True]


def predictions(sharpness: float, temperature: float, n: int = 2000, seed: int = 5) -> Predictions:
    from tumorlens.classes import BRAIN_TUMORS

    logits, labels = simulate(n, seed, sharpness)
    p = softmax(logits / temperature, axis=1)
    return Predictions(BRAIN_TUMORS, labels, p, [f"{i}.png" for i in range(n)])


def test_before_and_after_are_told() -> None:
    test = predictions(3, 3)
    p, labels = softmax(simulate(300, 6)[0], axis=1), simulate(300, 6)[1]
    keys = test.classes.keys
    fitted = Calibration(
        scans=dict(zip(keys, np.bincount(labels).tolist(), strict=True)),
        coverage=0.9,
        set_thresholds=dict(zip(keys, fit_set_thresholds(p, labels), strict=True)),
        accepted=0.95,
    )
    unknown = np.arange(len(test)) % 20 == 0
    found = score_calibration(test, score(test, resamples=0), Scaling(3.0), fitted, unknown)
    raw = score(predictions(3, 1), resamples=0)
    assert found.before.ece == pytest.approx(raw.ece)
    assert found.before.brier.value == pytest.approx(raw.brier.value)
    assert found.after.ece < 0.05 < found.before.ece
    assert found.after.log_loss.value < found.before.log_loss.value
    assert found.sets.coverage.low <= found.sets.coverage.value <= found.sets.coverage.high
    for s in (found.sets, *found.classes):
        assert s.expected[0] - 0.03 < s.coverage.value < s.expected[1] + 0.03
        assert s.expected[0] < 0.9 < s.expected[1]
    assert found.sets.fitted_on == sum(c.fitted_on for c in found.classes) == 300
    assert 1 <= found.sets.mean_size < 4
    assert [c.n for c in found.classes] == np.bincount(test.truth).tolist()
    assert sum(c.coverage.value * c.n for c in found.classes) / len(test) == pytest.approx(found.sets.coverage.value)
    assert found.accepted.value == pytest.approx(0.95)
    assert set(found.accepted_classes) == {"glioma", "meningioma", "pituitary", "no_tumor"}
    assert score_calibration(test, score(test, resamples=0), Scaling(3.0), fitted).accepted is None
