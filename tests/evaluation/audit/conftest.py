from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.data.manifest import Entry, Manifest
from tumorlens.evaluation.audit import AuditReport
from tumorlens.phantoms.phantom import make_phantoms


def picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(pixels * 255).astype(np.uint8))


@pytest.fixture(scope="session")
def heads() -> list[Image.Image]:
    """Slices of different patients, none like another."""
    return [picture(p.scan.pixels) for p in make_phantoms(40, size=128, slices_per_series=1, seed=11)]


def jpeg(image: Image.Image, quality: int = 50) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("L")


def resized(image: Image.Image) -> Image.Image:
    return image.resize((96, 96), Image.Resampling.LANCZOS)


def brighter(image: Image.Image) -> Image.Image:
    return image.point([min(255, int(0.7 * v + 40)) for v in range(256)])


T = Image.Transpose


class Set:
    """A data set in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[Entry] = []

    def add(self, image: Image.Image | bytes, label: str = "glioma", **more: object) -> Entry:
        name = str(more.pop("name", f"{len(self.entries):03d}.png"))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image) if isinstance(image, bytes) else image.save(path)
        self.entries.append(Entry(path, name, label, **more))  # type: ignore[arg-type]
        return self.entries[-1]

    def manifest(self, unit: str = "scan", classes: ClassSet = BRAIN_TUMORS) -> Manifest:
        return Manifest(tuple(self.entries), classes, unit, synthetic=True)


@pytest.fixture
def made(tmp_path: Path) -> Set:
    return Set(tmp_path / "set")


def groups_of(report: AuditReport) -> list[set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for p in report.table:
        if p.group is not None:
            found[p.group].add(p.path)
    return list(found.values())
