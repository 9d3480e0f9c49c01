"""What a folder says of a test: predictions, classes, the network that made them, its log and its scans."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tumorlens.card import WeightsCard, read_card
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.errors import ConfigError, TumorLensError
from tumorlens.evaluation.predictions import Predictions
from tumorlens.listener import Epoch
from tumorlens.training.callbacks import read_log
from tumorlens.training.run import Run

PREDICTIONS = "predictions.csv"
_PROBABILITY = "p_"


@dataclass(frozen=True, eq=False)
class Contender:
    """A network that was tested.

    Attributes:
        folder: Where its predictions were found.
        name: What it is called: the name of its weights, or of the folder.
        card: The card of its weights; None where only predictions are there.
        run: The training run; None where the folder is none.
        history: The training's log; empty where there is none.
    """

    folder: Path
    name: str
    predictions: Predictions
    card: WeightsCard | None = None
    run: Run | None = None
    history: Sequence[Epoch] = ()


def read_contender(folder: Path) -> Contender:
    """Reads a training run that was tested, or any folder with predictions.csv, as `evaluate` writes.

    Raises:
        ConfigError: If there are no predictions.
        DataError: If they cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; give that of a training run, or one with {PREDICTIONS}")
    path = next((p for p in (folder / PREDICTIONS, folder / "evaluation" / PREDICTIONS) if p.is_file()), None)
    if path is None:
        raise ConfigError(f"{folder}: holds no {PREDICTIONS}; test it first: tumorlens evaluate {folder}")
    run = card = None
    try:
        run = Run.open(folder)
        card = read_card(run.weights)
    except TumorLensError:  # predictions alone can be compared, too
        run = None
    classes = card.classes if card else _classes_of(path)
    name = card.name if card else folder.resolve().name
    history = read_log(run.log) if run else []
    return Contender(path.parent, name, Predictions.read_csv(path, classes), card, run, history)


def _classes_of(path: Path) -> ClassSet:
    """The classes of a table of predictions, by its columns."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        columns = next(csv.reader(file), [])
    keys = [column.removeprefix(_PROBABILITY) for column in columns if column.startswith(_PROBABILITY)]
    if set(keys) == set(BRAIN_TUMORS.keys):
        return BRAIN_TUMORS
    if len(keys) < 2:
        raise ConfigError(f"{path}: is no table of predictions; test the network anew: tumorlens evaluate")
    return ClassSet.of(keys)
