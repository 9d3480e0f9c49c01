"""A data set that a tiny network learns in seconds, and runs on it."""

import csv

import numpy as np
import pytest
from PIL import Image

from tumorlens.card import WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.data.loader import load_slices
from tumorlens.data.manifest import read_manifest
from tumorlens.experiments.experiment import make_split
from tumorlens.listener import Listener
from tumorlens.training.config import read_config
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


def draw(kind, rng, size=24):
    """(size, size) uint8: one of four patterns that a mirror does not change, in noise."""
    y, x = np.mgrid[:size, :size]
    pattern = [y < size / 2, y >= size / 2, y % 6 < 3, x % 6 < 3][kind]
    return np.clip(pattern * 150 + 50 + rng.normal(0, 15, (size, size)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def easy(tmp_path_factory):
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
def tiny():
    """Makes settings: tiny ones, with changes."""

    def make(**changes):
        return read_config(None, {**TINY, **changes})

    return make


@pytest.fixture(scope="session")
def slices(easy, tiny):
    return load_slices(read_manifest(easy), tiny().preprocessing)


@pytest.fixture
def begin(tmp_path, easy, tiny):
    """Makes a run's folder."""

    def make(name="run", data=easy, **changes):
        return Run.create(tmp_path / name, tiny(**changes), [data])

    return make


@pytest.fixture(scope="session")
def fit_run(slices):
    """Trains a run, or goes on with it, without testing it; gives the numbers of the epochs it trained."""

    def fit(run, epoch=lambda row: None, loggers=()):
        split = run.read_split(slices)
        if split is None:
            split = make_split(slices, run.config)
            run.write_split(slices, split)
        trained = []

        def tell(row, _total):
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
def train_run(begin, fit_run):
    """Makes a run and trains it."""

    def make(name="run", **changes):
        run = begin(name, **changes)
        fit_run(run)
        return run

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory, easy, tiny, fit_run):
    """A run of four epochs that was trained in one go, with the epochs it told. Do not change it."""
    run, told = Run.create(tmp_path_factory.mktemp("finished") / "run", tiny(epochs=4), [easy]), []
    fit_run(run, told.append)
    return run, told
