from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tumorlens.data.loader import Slices
from tumorlens.model import build_network
from tumorlens.training.config import TrainConfig
from tumorlens.training.module import TrainingModule


def test_class_weights_and_smoothing_reach_the_loss(
    slices: Slices, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.from_numpy(slices.images[:8])
    labels = torch.from_numpy(slices.labels[:8])

    def loss(weights: list[float], **changes: Any) -> float:
        torch.manual_seed(0)
        config = tiny(augmentation=0, **changes)
        network = build_network("cnn_lstm", channels=1, classes=4, **config.options, dropout=0)
        module = TrainingModule(network, config, torch.tensor(weights), steps=10)
        monkeypatch.setattr(module, "log", lambda *_, **__: None)
        return module.training_step([images, labels], 0).item()

    plain = loss([1.0, 1, 1, 1])
    assert loss([9.0, 1, 1, 1]) != pytest.approx(plain, abs=1e-4)
    assert loss([1.0, 1, 1, 1], label_smoothing=0.5) != pytest.approx(plain, abs=1e-4)


def test_the_learning_rate_rises_to_its_peak_and_falls(tiny: Callable[..., TrainConfig]) -> None:
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
