from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.data.manifest import Entry, Manifest
from tumorlens.evaluation.heatmaps.counterfactual import Counterfactual, ask, summarize_asked

SIZE, COUNT = 64, 12


@pytest.fixture(scope="module")
def slices() -> Slices:
    """Twelve heads, six with a bright glioma, six with a bright meningioma, in three places, outlined."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    head = ((x / 0.42) ** 2 + (y / 0.45) ** 2 < 1).astype(np.float32) * 0.4
    images, coverage = np.repeat(head[None], COUNT, 0), np.zeros((COUNT, SIZE, SIZE), np.uint8)
    for i in range(COUNT):
        row, column = [(20, 24), (32, 40), (44, 26)][i % 3]
        images[i, row : row + 6, column : column + 6] = 0.9
        coverage[i, row : row + 6, column : column + 6] = 255
    labels = np.arange(COUNT) // 6
    entries = tuple(
        Entry(Path(f"{i}.png"), f"{i}.png", BRAIN_TUMORS.keys[k], group=f"p{i}") for i, k in enumerate(labels)
    )
    return Slices(images[:, None], labels, Manifest(entries, BRAIN_TUMORS, "patient"), coverage=coverage)


class Fake(Classifier):
    """A classifier by a rule: pictures (N, S, S) -> indices of classes."""

    def __init__(self, rule: Callable[[NDArray[np.float32]], NDArray[np.int64]]) -> None:
        super().__init__(Classifier.load().engine)
        self.decide = rule

    def probabilities(self, images: NDArray[np.float32], **_: object) -> NDArray[np.float64]:
        return np.eye(4)[self.decide(images[:, 0])]


def measured(rule: Callable[[NDArray[np.float32]], NDArray[np.int64]], slices: Slices) -> Counterfactual:
    asked = ask(Fake(rule), slices, np.arange(COUNT))
    assert asked is not None
    return summarize_asked([asked])


def test_a_network_that_sees_the_tumour_finds_nothing_without_it(slices: Slices) -> None:
    found = measured(lambda x: np.where((x > 0.7).any((1, 2)), 0, 3), slices)
    assert (found.overall.gone.value, found.overall.unchanged.value) == (1, 1)
    assert found.classes["glioma"].recall.value == 1
    assert found.classes["meningioma"].recall.value == 0
    assert found.overall.n == COUNT
    assert found.overall.controls >= COUNT - 2


def test_a_network_that_looks_elsewhere_names_the_tumour_all_the_same(slices: Slices) -> None:
    found = measured(lambda x: np.zeros(len(x), int), slices)
    assert found.classes["glioma"].still_named.value == 1
    assert (found.overall.gone.value, found.overall.unchanged.value) == (0, 1)


def test_a_network_that_sees_the_pasting_is_caught_by_the_control(slices: Slices) -> None:
    plain = slices.images[:, 0]

    def pasted(x: NDArray[np.float32]) -> NDArray[np.int64]:
        differs = np.array([np.abs(plain - one).max((1, 2)).min() > 0.005 for one in x])
        return np.where(differs, 3, 0)

    jitter = np.random.default_rng(0).normal(0, 0.02, slices.images.shape).astype(np.float32)
    noisy = replace(slices, images=(slices.images + jitter).clip(0, 1))
    plain = noisy.images[:, 0]
    found = measured(pasted, noisy)
    assert found.overall.gone.value == 1
    assert found.overall.unchanged.value < 0.1


def test_without_outlines_nothing_can_be_asked(slices: Slices) -> None:
    assert ask(Fake(lambda x: np.zeros(len(x), np.int64)), replace(slices, coverage=None), np.arange(COUNT)) is None
    assert (
        ask(Fake(lambda x: np.zeros(len(x), np.int64)), replace(slices, coverage=slices.coverage * 0), np.arange(COUNT))
        is None
    )
