"""What tests of several rooms start from: a synthetic scan, a folder of small ones, a small network that knows nothing,
and studies with a bright lesion beside a classifier that finds what is bright."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from tests.studies import GRIDS, BrightEngine, Grid, classic, save
from tumorlens.node.privacy import LOUD
from tumorlens.scan import Scan

# Tests that run side by side have a processor each: more threads would only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test measures time: on a busy machine Hypothesis' own limits would fail what is right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

if TYPE_CHECKING:
    from tumorlens.classifier import Classifier


LEVELS = {name: logging.getLogger(name).level for name in LOUD}


@pytest.fixture(autouse=True)
def libraries_that_log() -> Iterator[None]:
    """Gives libraries their logs back, which a node takes from them for as long as its process runs."""
    yield
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session")
def phantom_scan() -> Scan:
    """A synthetic glioma, (96, 96), with spacing."""
    from tumorlens.phantoms.phantom import make_phantoms

    (phantom,) = make_phantoms(1, size=96, labels=["glioma"])
    return phantom.scan


@pytest.fixture(scope="session")
def tiny_classifier() -> Classifier:
    """An untrained, seeded CNN-LSTM of 32 x 32 pixels with its card. Its answers mean nothing."""
    import torch

    from tumorlens.card import WeightsCard
    from tumorlens.classes import BRAIN_TUMORS
    from tumorlens.classifier import Classifier
    from tumorlens.model import build_network
    from tumorlens.preprocess import Preprocessing

    options: dict[str, Any] = {"widths": [4, 6, 8], "depth": 1, "hidden": 6}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("cnn_lstm", channels=1, classes=4, **options)
    card = WeightsCard(
        name="tiny",
        network="cnn_lstm",
        options=options,
        preprocessing=Preprocessing(size=32),
        classes=BRAIN_TUMORS,
        data="nothing: it is untrained",
        sha256="0" * 64,
    )
    return Classifier.of(network, card)


@pytest.fixture
def tiny_weights(tiny_classifier: Classifier, tmp_path: Path) -> Path:
    """The tiny network as a .safetensors file with its card beside it."""
    from tumorlens.model.weights import save_weights

    path = tmp_path / "weights" / "tiny.safetensors"
    save_weights(tiny_classifier.network, tiny_classifier.card, path)
    return path


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study of one series, by default axial with a lesion; files are named against their order."""

    def make(grid: Grid = GRIDS["axial"], count: int = 11, lesion: bool = True, **options: object) -> Path:
        folder = tmp_path / "study"
        for i in range(count):
            ds = classic(grid, grid.position(i, count), lesion, number=i + 1, **options)
            save(ds, folder / f"s{ds.SeriesInstanceUID[-1]}-{count - i:03}.dcm")
        return folder

    return make


@pytest.fixture
def bright() -> Classifier:
    from tumorlens.classifier import Classifier

    return Classifier(BrightEngine())


@pytest.fixture
def strange() -> Classifier:
    from tumorlens.classifier import Classifier

    return Classifier(BrightEngine(unknown=True))


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder with that many scans, and one file that is none."""

    def make(count: int) -> Path:
        folder = tmp_path / "scans"
        folder.mkdir(exist_ok=True)
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 256, (24, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:04d}.png")
        (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        return folder

    return make
