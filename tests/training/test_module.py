from itertools import chain

import numpy as np
import pytest
import torch

from tumorlens.model import build_network
from tumorlens.training.module import (
    ShuffledBatches,
    TrainingModule,
    balanced_weights,
    training_batches,
    validation_batches,
)


def test_an_epoch_sees_every_scan_once_in_an_order_of_its_own():
    sampler = ShuffledBatches(32, 8, seed=0)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert [len(b) for b in batches] == [8] * 4
        orders.append(list(chain.from_iterable(batches)))
        assert sorted(orders[-1]) == list(range(32))
    assert orders[0] == orders[2] != orders[1]
    assert list(chain.from_iterable(ShuffledBatches(32, 8, seed=1))) != orders[0]


def test_the_last_small_batch_is_dropped_but_never_the_only_one():
    assert [len(b) for b in ShuffledBatches(33, 8, seed=0)] == [8] * 4
    assert [len(b) for b in ShuffledBatches(5, 8, seed=0)] == [5]
    assert len(ShuffledBatches(33, 8, seed=0)) == 4


def test_batches_hold_the_part_they_were_made_for(slices, tiny):
    indices = np.arange(10, 60)
    seen = [labels for _, labels in training_batches(slices, indices, tiny(batch_size=10))]
    assert np.bincount(torch.cat(seen)).tolist() == np.bincount(slices.labels[indices]).tolist()
    images, labels = (torch.cat(parts) for parts in zip(*validation_batches(slices, indices), strict=True))
    assert np.array_equal(images, slices.images[indices])
    assert np.array_equal(labels, slices.labels[indices])


def test_rare_classes_weigh_more_and_scans_weigh_1_on_average():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    weights = balanced_weights(labels, 3).numpy()
    assert weights == pytest.approx([100 / 180, 100 / 90, 100 / 30])
    assert weights[labels].mean() == pytest.approx(1)


def test_a_class_without_scans_has_a_finite_weight():
    assert balanced_weights(np.array([0, 0, 1]), 3).isfinite().all()


def test_class_weights_and_smoothing_reach_the_loss(slices, tiny, monkeypatch):
    images = torch.from_numpy(slices.images[:8])
    labels = torch.from_numpy(slices.labels[:8])

    def loss(weights, **changes):
        torch.manual_seed(0)
        config = tiny(augmentation=0, **changes)
        network = build_network("cnn_lstm", channels=1, classes=4, **config.options, dropout=0)
        module = TrainingModule(network, config, torch.tensor(weights), steps=10)
        monkeypatch.setattr(module, "log", lambda *_, **__: None)
        return module.training_step([images, labels], 0).item()

    plain = loss([1.0, 1, 1, 1])
    assert loss([9.0, 1, 1, 1]) != pytest.approx(plain, abs=1e-4)
    assert loss([1.0, 1, 1, 1], label_smoothing=0.5) != pytest.approx(plain, abs=1e-4)


def test_the_learning_rate_rises_to_its_peak_and_falls(tiny):
    config = tiny(learning_rate=0.01)
    network = build_network("cnn_lstm", channels=1, classes=4, **config.options)
    made = TrainingModule(network, config, torch.ones(4), steps=50).configure_optimizers()
    rates = []
    for _ in range(50):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(0.01, rel=0.01)
    assert 5 <= peak <= 15
    assert rates[-1] < 0.0001
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
