from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from tumorlens.listener import Epoch
from tumorlens.model import build_network
from tumorlens.training.callbacks import EpochLog, FreshNormalisation, read_log, write_log
from tumorlens.training.config import TrainConfig
from tumorlens.training.module import TrainingModule

ROWS = [Epoch(1, 1.5, 1.25, 0.5, 0.001, 2.5), Epoch(2, 1 / 3, 0.1, 1.0, 1e-9, 0.123456789)]


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_log(ROWS, tmp_path / "log.csv")
    assert read_log(tmp_path / "log.csv") == ROWS
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_no_log_yet(tmp_path: Path) -> None:
    assert read_log(tmp_path / "log.csv") == []


def test_the_log_travels_in_the_checkpoint(tmp_path: Path) -> None:
    log, resumed = EpochLog(tmp_path / "log.csv"), EpochLog(tmp_path / "log.csv")
    log.epochs = ROWS
    torch.save(log.state_dict(), tmp_path / "state")
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert resumed.epochs == ROWS


@pytest.fixture
def module(tiny: Callable[..., TrainConfig]) -> TrainingModule:
    config = tiny(options={"widths": [4, 8], "depth": 1, "hidden": 8, "dropout": 0})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("cnn_lstm", channels=1, classes=4, **config.options)
    return TrainingModule(network, config, torch.ones(4), steps=10)


def test_normalisation_is_measured_on_the_scans_given(module: TrainingModule) -> None:
    scans = torch.rand(20, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.6
    FreshNormalisation([scans]).on_validation_epoch_start(pl.Trainer(logger=False, accelerator="cpu"), module)
    features = list(module.network.features.children())
    maps, measured = features[0](scans), features[1]
    assert isinstance(measured, nn.BatchNorm2d)
    assert torch.allclose(measured.running_mean, maps.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(measured.running_var, maps.var((0, 2, 3)), atol=1e-5)


def test_measuring_leaves_the_weights_and_the_mode(module: TrainingModule) -> None:
    module.eval()
    before = [p.clone() for p in module.parameters()]
    scans = torch.rand(4, 1, 16, 16)
    FreshNormalisation([scans, scans]).on_validation_epoch_start(pl.Trainer(logger=False, accelerator="cpu"), module)
    assert not module.network.training
    assert list(module.network.features.children())[1].momentum == 0.1
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
