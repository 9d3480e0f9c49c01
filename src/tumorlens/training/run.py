"""The folder of a training run."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tumorlens.data.loader import Slices
from tumorlens.data.manifest import find_set, read_manifest
from tumorlens.data.split import Split
from tumorlens.errors import ConfigError, DataError
from tumorlens.files import write_table
from tumorlens.model import build_network
from tumorlens.training.config import TrainConfig, read_config, write_config

_CONFIG, _DATA, _SPLIT = "config.yaml", "data.json", "split.csv"


@dataclass(frozen=True)
class Run:
    """The folder of a training run.

    config.yaml, data.json and split.csv say what it is; log.csv and checkpoints/ how far it came;
    weights.safetensors and weights.json are what came out.
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path, config: TrainConfig, data: Sequence[Path]) -> Run:
        """Makes the folder of a new run, once its data set can be listed; one that never began there is replaced.

        Raises:
            ConfigError: If the folder holds a run already or cannot be made, or there is no such network.
            DataError: If a data set cannot be listed.
        """
        if (folder / _CONFIG).exists() and (folder / _SPLIT).exists():
            raise ConfigError(f"{folder}: holds a run already; resume it with --resume, or choose another --output")
        # A wrong name or option should show here, not after all scans are read. On "meta", nothing is drawn or stored.
        with torch.device("meta"):
            build_network(config.model, channels=config.preprocessing.channels, classes=2, **config.options)
        for path in data:
            read_manifest(find_set(path))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose another --output") from error
        (folder / _DATA).write_text(json.dumps([str(find_set(p).resolve()) for p in data]), encoding="utf-8")
        write_config(config, folder / _CONFIG)
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Opens the folder of a run.

        Raises:
            ConfigError: If it is none.
        """
        if not (folder / _CONFIG).exists():
            raise ConfigError(f"{folder}: is no folder of a training run ({_CONFIG} is missing)")
        return cls(folder)

    @classmethod
    def follow(cls, folder: Path, seconds: float = 600) -> Run:
        """Opens a run that another process of the same distributed run makes, when it stands ready.

        Raises:
            ConfigError: If it does not within some time.
        """
        limit = time.monotonic() + seconds
        while not all((folder / name).exists() for name in (_CONFIG, _DATA, _SPLIT)):
            if time.monotonic() > limit:
                raise ConfigError(f"{folder}: the leading process made no run here; is the folder on a shared disk?")
            time.sleep(0.2)
        return cls(folder)

    @property
    def config(self) -> TrainConfig:
        """The run's settings."""
        return read_config(self.folder / _CONFIG, {})

    @property
    def data(self) -> list[Path]:
        """The data sets it trains on."""
        return [Path(p) for p in json.loads((self.folder / _DATA).read_text(encoding="utf-8"))]

    @property
    def finished(self) -> bool:
        """Whether its weights are written."""
        return self.weights.with_suffix(".json").exists()

    @property
    def weights(self) -> Path:
        """Where its weights go; their card lies beside them."""
        return self.folder / "weights.safetensors"

    @property
    def log(self) -> Path:
        """Where its log goes, a row an epoch."""
        return self.folder / "log.csv"

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints go."""
        return self.folder / "checkpoints"

    def write_split(self, slices: Slices, split: Split) -> None:
        """Records which scan is in which part."""
        part = {i: name for name, indices in split.parts.items() for i in indices.tolist()}
        scans = enumerate(zip(slices.manifest.entries, slices.groups, strict=True))
        rows = ((entry.name, entry.label, group, part[i]) for i, (entry, group) in scans if i in part)
        write_table(self.folder / _SPLIT, ("name", "label", "group", "part"), rows)

    def read_split(self, slices: Slices) -> Split | None:
        """The recorded split, or None if there is none yet.

        Raises:
            DataError: If the data are not those it was made for.
        """
        rows = self._rows()
        if not rows:
            return None
        index = {entry.name: i for i, entry in enumerate(slices.manifest.entries)}
        parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
        for row in rows:
            name = row["name"]
            if name not in index:
                raise DataError(f"{self.folder}: was begun with {name}, which the data no longer hold; start a new run")
            if row["label"] != slices.manifest.entries[index[name]].label:
                raise DataError(f"{self.folder}: the label of {name} has changed since it was begun; start a new run")
            parts[row["part"]].append(index[name])
        return Split(*(np.array(parts[p], np.intp) for p in ("train", "validation", "test")))

    def read_parts(self) -> dict[str, str]:
        """The recorded part of each scan by name: "train", "validation" or "test"; empty if there is no split yet."""
        return {row["name"]: row["part"] for row in self._rows()}

    def _rows(self) -> list[dict[str, str]]:
        path = self.folder / _SPLIT
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return list(csv.DictReader(file))
