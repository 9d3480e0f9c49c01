"""Made-up predictions. No real scan comes near these tests."""

from collections.abc import Callable

import numpy as np
import pytest

from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.evaluation.predictions import Predictions

MakePredictions = Callable[..., Predictions]


@pytest.fixture
def make_predictions() -> MakePredictions:
    """Random predictions that are right more often than not."""

    def make(
        n: int = 300,
        *,
        groups: int | None = None,
        skill: float = 1.5,
        seed: int = 0,
        decimals: int | None = None,
        truth: np.ndarray | None = None,
        classes: ClassSet = BRAIN_TUMORS,
    ) -> Predictions:
        rng = np.random.default_rng(seed)
        group = np.arange(n) if groups is None else rng.permutation(np.arange(n) % groups)
        # Scans of a group share their class and much of the network's error, as slices of a patient do.
        shared = rng.normal(size=(group.max() + 1, len(classes)))
        if truth is None:
            truth = rng.integers(len(classes), size=group.max() + 1)[group]
        logits = shared[group] + 0.5 * rng.normal(size=(n, len(classes)))
        logits[np.arange(n), truth] += skill
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        if decimals is not None:  # coarse probabilities tie
            probabilities = probabilities.round(decimals) + 1e-4
            probabilities /= probabilities.sum(1, keepdims=True)
        return Predictions(
            classes=classes,
            truth=truth,
            probabilities=probabilities,
            names=[f"test/{i:04d}.png" for i in range(n)],
            groups=np.array([f"patient {g}" for g in group]),
        )

    return make
