from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tumorlens.finding import FindingsDocument


def write_scan(path: Path, shape: tuple[int, ...] = (60, 50), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def write_pages(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)) for _ in range(count)]
    pages[0].save(path, "TIFF", save_all=True, append_images=pages[1:])
    return path


def sources(document: FindingsDocument) -> list[str]:
    return [Path(f.source).name for f in document.findings]


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}
