from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tumorlens.data.loader import Slices
from tumorlens.errors import ConfigError
from tumorlens.training.batches import (
    ShuffledBatches,
    TrainingSet,
    balanced_weights,
    training_batches,
    validation_batches,
)
from tumorlens.training.config import TrainConfig


def numbers(count: int) -> Callable[[np.random.Generator], NDArray[np.intp]]:
    return lambda rng: rng.permutation(count)


def test_an_epoch_sees_every_scan_once_in_an_order_of_its_own() -> None:
    sampler = ShuffledBatches(numbers(32), 8, seed=0)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert [len(b) for b in batches] == [8] * 4
        orders.append(list(chain.from_iterable(batches)))
        assert sorted(orders[-1]) == list(range(32))
    assert orders[0] == orders[2] != orders[1]
    assert list(chain.from_iterable(ShuffledBatches(numbers(32), 8, seed=1))) != orders[0]


def test_the_last_small_batch_is_dropped_but_never_the_only_one() -> None:
    assert [len(b) for b in ShuffledBatches(numbers(33), 8, seed=0)] == [8] * 4
    assert [len(b) for b in ShuffledBatches(numbers(5), 8, seed=0)] == [5]
    assert len(ShuffledBatches(numbers(33), 8, seed=0)) == 4


def test_batches_hold_the_part_they_were_made_for(slices: Slices, tiny: Callable[..., TrainConfig]) -> None:
    indices = np.arange(10, 60)
    seen = [labels for _, labels in training_batches(slices, indices, tiny(batch_size=10))]
    assert np.bincount(torch.cat(seen)).tolist() == np.bincount(slices.labels[indices]).tolist()
    images, labels = (torch.cat(parts) for parts in zip(*validation_batches(slices, indices), strict=True))
    assert np.array_equal(images, slices.images[indices])
    assert np.array_equal(labels, slices.labels[indices])


def test_rare_classes_weigh_more_and_scans_weigh_1_on_average() -> None:
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    weights = balanced_weights(np.bincount(labels).astype(np.float64)).numpy()
    assert weights == pytest.approx([100 / 180, 100 / 90, 100 / 30])
    assert weights[labels].mean() == pytest.approx(1)


def test_a_class_without_scans_has_a_finite_weight() -> None:
    assert balanced_weights(np.array([2.0, 1, 0])).isfinite().all()


@pytest.fixture
def outlined(slices: Slices) -> Slices:
    """Scans whose tumours have outlines in one of two places, of patients of their own."""
    tumours = slices.labels != slices.manifest.classes.keys.index("no_tumor")
    here = np.arange(len(slices)) % 2 == 0
    coverage = np.zeros((len(slices), *slices.images.shape[2:]), np.uint8)
    coverage[tumours & here, 3:6, 9:12] = 255
    coverage[tumours & ~here, 10:13, 3:6] = 255
    bright = slices.images.clip(0.2, 1)  # a head that fills the picture
    return replace(slices, images=bright, coverage=coverage)


def test_an_epoch_shows_each_scan_or_its_patched_control_and_as_many_twins_as_asked_for(
    outlined: Slices, tiny: Callable[..., TrainConfig]
) -> None:
    config = tiny(twins=0.5, patched=0.5)
    scans = TrainingSet(outlined, np.arange(len(outlined)), config)
    count, patched, twins = len(outlined), scans.patched, scans.twins
    assert len(patched)
    assert len(twins)
    drawn = scans.draw(np.random.default_rng(1))
    controls, copies = drawn - count, drawn - count - len(patched)
    as_they_are, pasted, replaced = drawn < count, (controls >= 0) & (copies < 0), copies >= 0
    shown = np.where(as_they_are, drawn, -1)
    shown[pasted], shown[replaced] = patched.scan[controls[pasted]], twins.scan[copies[replaced]]
    assert sorted(shown[~replaced].tolist()) == list(range(count))
    assert 0.3 < pasted.sum() / count <= 0.5
    assert len(set(shown[replaced].tolist())) == replaced.sum() == round(0.5 * len(np.unique(twins.scan)))
    assert not np.array_equal(drawn, scans.draw(np.random.default_rng(2)))
    # A scan and its twin stand side by side, in no other order.
    assert all(shown[i - 1] == shown[i] for i in np.flatnonzero(replaced))
    assert (np.diff(shown[~replaced]) < 0).any()


def test_a_twin_is_shown_as_nothing_without_an_outline_and_a_control_as_its_scan(
    outlined: Slices, tiny: Callable[..., TrainConfig]
) -> None:
    scans = TrainingSet(outlined, np.arange(len(outlined)), tiny(twins=1.0, patched=1.0))
    nothing = outlined.manifest.classes.keys.index("no_tumor")
    count, patched = len(outlined), scans.patched
    twin = count + len(patched)
    scan = int(patched.scan[0])
    images, labels, coverage, with_outline = scans[[scan, count, twin]]
    assert images.shape == (3, *outlined.images.shape[1:])
    assert labels.tolist() == [outlined.labels[scan], outlined.labels[scan], nothing]
    assert torch.equal(coverage[0], coverage[1])
    assert not coverage[2].any()
    assert not with_outline[2]
    assert scans.seen(4)[nothing] == (outlined.labels == nothing).sum() + len(np.unique(scans.twins.scan))


def test_a_transplant_is_shown_as_its_tumours_class_with_an_outline(
    outlined: Slices, tiny: Callable[..., TrainConfig]
) -> None:
    config = tiny(twins=0.5, transplants=0.5)
    scans = TrainingSet(outlined, np.arange(len(outlined)), config)
    assert scans.transplants is not None
    first = len(scans) - len(scans.transplants)
    _, labels, coverage, with_outline = scans[[first]]
    assert labels.tolist() == [outlined.labels[scans.transplants.tumour[0]]]
    assert coverage.any()
    assert with_outline.all()
    drawn = scans.draw(np.random.default_rng(0))
    tumours = np.unique(scans.transplants.tumour)
    assert (drawn >= first).sum() == round(0.5 * len(tumours))
    assert scans.seen(4).sum() == pytest.approx(len(drawn), abs=1)


def test_without_outlines_there_are_no_counterfactuals(slices: Slices, tiny: Callable[..., TrainConfig]) -> None:
    scans = TrainingSet(replace(slices, coverage=None), np.arange(40), tiny(twins=1.0, patched=1.0))
    assert len(scans) == 40


def test_counterfactuals_of_colour_pictures_are_refused(outlined: Slices, tiny: Callable[..., TrainConfig]) -> None:
    colour = replace(outlined, images=outlined.images.repeat(3, 1))
    with pytest.raises(ConfigError, match="greyscale"):
        TrainingSet(colour, np.arange(40), tiny(twins=1.0))
