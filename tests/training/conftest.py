"""A data set that a tiny network learns in seconds, and runs on it."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.loggers import Logger
from PIL import Image

from tests.pictures import draw
from tumorlens.card import WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import read_manifest
from tumorlens.experiments.experiment import make_split
from tumorlens.listener import Epoch, Listener
from tumorlens.training.config import TrainConfig, read_config
from tumorlens.training.fit import train
from tumorlens.training.run import Run

TINY = {
    "name": "tiny",
    "preprocessing": {"size": 16},
    "options": {"widths": [4, 8], "depth": 1, "hidden": 8},
    "batch_size": 16,
    "epochs": 3,
    "precision": "32",
    "threads": 1,
}


@pytest.fixture(scope="session")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 pictures of 48 patients in four class folders, with a table."""
    folder, rng = tmp_path_factory.mktemp("easy") / "easy", np.random.default_rng(0)
    rows = [["path", "label", "patient", "split", "fold"]]
    for number in range(96):
        kind = number % 4
        name = f"{BRAIN_TUMORS.keys[kind]}/{number}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(kind, rng)).save(folder / name)
        split, patient = "testing" if number >= 72 else "training", f"{kind}-{number // 8}"
        rows.append([name, BRAIN_TUMORS.keys[kind], patient, split, str(number // 8 % 4)])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="session")
def tiny() -> Callable[..., TrainConfig]:
    """Makes settings: tiny ones, with changes."""

    def make(**changes: Any) -> TrainConfig:
        return read_config(None, {**TINY, **changes})

    return make


@pytest.fixture(scope="session")
def slices(easy: Path, tiny: Callable[..., TrainConfig]) -> Slices:
    return load_slices(read_manifest(easy), tiny().preprocessing)


@pytest.fixture
def begin(tmp_path: Path, easy: Path, tiny: Callable[..., TrainConfig]) -> Callable[..., Run]:
    """Makes a run's folder."""

    def make(name: str = "run", data: Path = easy, **changes: Any) -> Run:
        return Run.create(tmp_path / name, tiny(**changes), [data])

    return make


@pytest.fixture(scope="session")
def fit_run(slices: Slices) -> Callable[..., list[int]]:
    """Trains a run, or goes on with it, without testing it; gives the numbers of the epochs it trained."""

    def fit(run: Run, epoch: Callable[[Epoch], object] = lambda row: None, loggers: Sequence[Logger] = ()) -> list[int]:
        split = run.read_split(slices)
        if split is None:
            split = make_split(slices, run.config)
            run.write_split(slices, split)
        trained = []

        def tell(row: Epoch, _total: int) -> None:
            trained.append(row.epoch)
            epoch(row)

        config = run.config
        card = WeightsCard(
            name="tiny",
            network=config.model,
            options=config.options,
            preprocessing=config.preprocessing,
            classes=slices.manifest.classes,
        )
        train(run, slices, split, card, listener=Listener(epoch=tell), loggers=loggers)
        return trained

    return fit


@pytest.fixture
def train_run(begin: Callable[..., Run], fit_run: Callable[..., list[int]]) -> Callable[..., Run]:
    """Makes a run and trains it."""

    def make(name: str = "run", **changes: Any) -> Run:
        run = begin(name, **changes)
        fit_run(run)
        return run

    return make


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    easy: Path,
    tiny: Callable[..., TrainConfig],
    fit_run: Callable[..., list[int]],
) -> tuple[Run, list[Epoch]]:
    """A run of four epochs that was trained in one go, with the epochs it told. Do not change it."""
    told: list[Epoch] = []
    run = Run.create(tmp_path_factory.mktemp("finished") / "run", tiny(epochs=4), [easy])
    fit_run(run, told.append)
    return run, told
