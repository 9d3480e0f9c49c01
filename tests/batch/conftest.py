"""Folders of small scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


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
