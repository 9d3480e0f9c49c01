"""What guessing is worth, and who is no better."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.conftest import MakePredictions
from tumorlens.evaluation.guessing import by_guessing, guessed, guessing_of, no_better
from tumorlens.evaluation.metrics import Estimate, score


def test_guessing_names_the_most_frequent_class() -> None:
    worth = by_guessing([10, 30, 0, 60])
    assert worth["accuracy"] == 0.6
    assert worth["balanced_accuracy"] == pytest.approx(1 / 3)  # a class without scans counts for nothing
    assert (worth["mcc"], worth["macro_auc"], worth["auc"]) == (0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(value=0.6, low=0.49, high=0.7), True),
        (Estimate(value=0.6, low=0.51, high=0.7), False),
        (Estimate(value=0.4, low=0.3, high=0.45), True),
        (Estimate(value=0.5), True),
        (Estimate(value=0.51), False),
        (Estimate(value=None), False),
    ],
)
def test_the_interval_decides(estimate: Estimate, expected: bool) -> None:
    assert no_better(estimate, 0.5) is expected


def test_a_network_that_guesses_is_told_from_one_that_knows(make_predictions: MakePredictions) -> None:
    knows = score(make_predictions(200, skill=3), resamples=200)
    assert guessed(knows) == []
    guesses = score(make_predictions(200, skill=0), resamples=200)
    assert set(guessed(guesses)) >= {"accuracy", "Matthews correlation"}
    largest = np.array(guesses.confusion).sum(1).max()
    assert guessing_of(guesses)["accuracy"] == largest / 200


def test_detection_that_adds_up_to_nothing_is_told(make_predictions: MakePredictions) -> None:
    scores = score(make_predictions(200, skill=3), resamples=0)
    assert scores.detection is not None
    low = scores.detection.model_copy(update={"sensitivity": Estimate(value=0.8), "specificity": Estimate(value=0.2)})
    (words,) = guessed(scores.model_copy(update={"detection": low}))
    assert words.startswith("detection")
