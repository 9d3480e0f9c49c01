"""Made-up predictions, scans and networks. No real scan comes near these tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from tumorlens.card import WeightsCard
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import Entry, Manifest
from tumorlens.evaluation.predictions import Predictions
from tumorlens.model import Network
from tumorlens.outline import Outline
from tumorlens.preprocess import Preprocessing

MakePredictions = Callable[..., Predictions]


@pytest.fixture
def make_predictions() -> MakePredictions:
    """Random predictions that are right more often than not."""

    def make(
        n: int = 300,
        *,
        groups: int | None = None,
        skill: float = 1.5,
        seed: int = 0,
        decimals: int | None = None,
        truth: np.ndarray | None = None,
        classes: ClassSet = BRAIN_TUMORS,
    ) -> Predictions:
        rng = np.random.default_rng(seed)
        group = np.arange(n) if groups is None else rng.permutation(np.arange(n) % groups)
        # Scans of a group share their class and much of the network's error, as slices of a patient do.
        shared = rng.normal(size=(group.max() + 1, len(classes)))
        if truth is None:
            truth = rng.integers(len(classes), size=group.max() + 1)[group]
        logits = shared[group] + 0.5 * rng.normal(size=(n, len(classes)))
        logits[np.arange(n), truth] += skill
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        if decimals is not None:  # coarse probabilities tie
            probabilities = probabilities.round(decimals) + 1e-4
            probabilities /= probabilities.sum(1, keepdims=True)
        return Predictions(
            classes=classes,
            truth=truth,
            probabilities=probabilities,
            names=[f"test/{i:04d}.png" for i in range(n)],
            groups=np.array([f"patient {g}" for g in group]),
        )

    return make


class Spotter(Network):
    """Knows where the bright spot is: its one feature map is what is brighter than a half.

    Args:
        says: Index of the class a spot speaks for, more so the larger it is.
        bias: Added to the logit of "no tumour".
    """

    def __init__(self, says: int = 0, bias: float = 0.0) -> None:
        super().__init__()
        above, speaks = nn.Conv2d(1, 1, 1), nn.Linear(1, 4)
        self.features = nn.Sequential(above, nn.ReLU(), nn.AvgPool2d(4))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), speaks)
        with torch.no_grad():
            above.weight.fill_(2)
            above.bias.fill_(-1)
            speaks.weight.zero_()
            speaks.bias.zero_()
            speaks.weight[says] = 50
            speaks.bias[3] = bias


@pytest.fixture
def make_spotter() -> Callable[..., Classifier]:
    """A classifier of 64 x 64 pixels around a `Spotter`."""

    def make(says: int = 0, bias: float = 0.0) -> Classifier:
        card = WeightsCard(
            name="spotter",
            network="spotter",
            preprocessing=Preprocessing(size=64),
            classes=BRAIN_TUMORS,
            data="Nothing: it was made by hand.",
            sha256="0" * 64,
        )
        return Classifier.of(Spotter(says, bias), card)

    return make


@pytest.fixture
def make_spots(tmp_path: Path) -> Callable[..., Slices]:
    """Dark 128 x 128 pictures with a bright spot each, their outlines, and a picture without a spot at the end."""

    def make(n: int = 8, *, outlines: bool = True) -> Slices:
        rng = np.random.default_rng(0)
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        entries = []
        for i in range(n + 1):
            radius = (5, 9, 13)[i % 3] / 128
            x, y = rng.uniform(0.2, 0.8, 2)
            points = np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])
            picture = Image.new("L", (128, 128), 40)
            if i < n:
                ImageDraw.Draw(picture).polygon([tuple(p) for p in points * 128 - 0.5], fill=250)
            picture.putpixel((0, 0), 0)
            path = tmp_path / f"{i}.png"
            picture.save(path)
            label = ("glioma", "meningioma")[i % 2] if i < n else "no_tumor"
            outline = Outline(points) if outlines and i < n else None
            entries.append(Entry(path, path.name, label, group=f"patient {i // 2}", outline=outline))
        manifest = Manifest(tuple(entries), BRAIN_TUMORS, unit="patient", synthetic=True)
        return load_slices(manifest, Preprocessing(size=64))

    return make
