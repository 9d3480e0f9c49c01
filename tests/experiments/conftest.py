import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import draw
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.evaluation.metrics import Scores
from tumorlens.experiments.experiment import Experiment
from tumorlens.listener import Listener
from tumorlens.training.config import read_config
from tumorlens.training.run import Run

QUICK = {
    "name": "quick",
    "preprocessing": {"size": 16},
    "options": {"widths": [4, 8], "depth": 1, "hidden": 8},
    "batch_size": 16,
    "epochs": 2,
    "threads": 1,
}


def write_set(folder: Path, keys: tuple[str, ...] = BRAIN_TUMORS.keys, *, colour: bool = False) -> Path:
    """80 pictures of 40 patients; the publisher tests on the last 16 of the first two classes, in its own split."""
    rng = np.random.default_rng(0)
    rows = [["path", "label", "patient", "split", "fold"]]
    for number in range(80):
        kind = number % len(keys)
        name = f"{keys[kind]}/{number}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = draw(kind, rng)
        if colour:
            pixels = np.stack([pixels, pixels // 2, pixels // 4], 2)
        Image.fromarray(pixels).save(folder / name)
        split = "testing" if number >= 48 and kind < 2 else "training"
        rows.append([name, keys[kind], f"{kind}-{number // 8}", split, str(number // 8 % 5)])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="session")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "easy")


@pytest.fixture(scope="session")
def done(easy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Scores, list[str]]:
    """A run that was done, its scores, and what it said. Do not change it."""
    said: list[str] = []
    run = Run.create(tmp_path_factory.mktemp("done") / "run", read_config(None, QUICK), [easy])
    return run, Experiment.load(run, Listener(say=said.append)).complete(), said
