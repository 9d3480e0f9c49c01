from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tumorlens.card import WeightsCard
from tumorlens.classes import ClassSet
from tumorlens.modality import find_modality
from tumorlens.model import build_network
from tumorlens.model.weights import save_weights
from tumorlens.preprocess import Preprocessing

GLASS, PINK, VIOLET = (240, 240, 238), (230, 150, 190), (120, 70, 160)


def draw(width: int = 1024, height: int = 768) -> np.ndarray:
    """A slide of glass with a pink square whose right half is violet."""
    picture = np.full((height, width, 3), GLASS, np.uint8)
    picture[128:640, 256:768] = PINK
    picture[128:640, 512:768] = VIOLET
    noise = np.random.default_rng(0).integers(-6, 7, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def save_tile_weights(folder: Path) -> Path:
    """Weights of tiles that nobody trained, of the classes benign and malignant."""
    torch.manual_seed(0)
    card = WeightsCard(
        name="tiles",
        network="cnn",
        options={"widths": [4], "depth": 1},
        preprocessing=Preprocessing(size=32, channels=3),
        classes=ClassSet.of(["benign", "malignant"]),
        modality=find_modality("SM"),
    )
    path = folder / "tiles.safetensors"
    save_weights(build_network("cnn", channels=3, classes=2, widths=(4,), depth=1), card, path)
    return path


def write_slide(
    path: Path,
    picture: np.ndarray,
    microns: float | None = 0.5,
    levels: int = 3,
    tile: tuple[int, int] | None = (128, 128),
    sizes: Sequence[tuple[int, int]] = (),
) -> Path:
    """Writes a tiled pyramidal TIFF, as slide scanners do; `sizes` are its levels', where they are to be wrong."""
    tifffile = pytest.importorskip("tifffile")
    resolution = {} if microns is None else {"resolution": (1e4 / microns,) * 2, "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            size = sizes[level] if sizes else (picture.shape[1] >> level, picture.shape[0] >> level)
            tiff.write(
                np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)),
                tile=tile,
                extrasamples=["unassalpha"] if picture.shape[2] == 4 else None,
                photometric="rgb",
                compression="zlib",
                subfiletype=1 if level else 0,
                metadata=None,
                **resolution,
            )
    return path


@pytest.fixture
def make_slide(tmp_path: Path) -> Callable[..., Path]:
    """Writes slides, `write_slide`, into a folder of the test's."""

    def make(picture: np.ndarray, *arguments: Any, name: str = "slide.tiff", **options: Any) -> Path:
        return write_slide(tmp_path / name, picture, *arguments, **options)

    return make
