from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import affine_transform, gaussian_filter

from tests.evaluation.audit.conftest import Set, groups_of
from tumorlens.classes import ClassSet
from tumorlens.evaluation.audit import audit

SIDE = 112
CLASSES = ClassSet.of(["benign", "malignant"])


def tissue(seed: int) -> NDArray[np.float32]:
    """A stained spot that nothing else looks like: (S, S, 3) in [0, 1], dark violet nuclei on pink."""
    rng = np.random.default_rng(seed)
    # More than is seen, so that turned copies have corners.
    blobs = sum(gaussian_filter(rng.standard_normal((2 * SIDE,) * 2), s) * s for s in (3, 6))
    shade = 1 / (1 + np.exp(-4 * blobs / blobs.std()))
    stained = np.array([0.95, 0.75, 0.9]) - shade[..., None] * np.array([0.6, 0.55, 0.3])
    return np.asarray(stained, np.float32)


def seen(spot: np.ndarray, linear: np.ndarray, dimmed: float = 1.0) -> Image.Image:
    """The middle of a spot through a linear map from the tile's places (down, right) to the spot's."""
    offset = (np.array(spot.shape[:2]) - 1) / 2 - linear @ np.full(2, (SIDE - 1) / 2)
    planes = [affine_transform(spot[..., c], linear, offset, (SIDE, SIDE), order=1) for c in range(3)]
    return Image.fromarray(np.round(np.stack(planes, 2).clip(0, 1) * dimmed * 255).astype(np.uint8))


def turn_by(degrees: float, zoom: float = 1.0, stretch: float = 1.0) -> NDArray[np.float32]:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]]) @ np.diag([1 / zoom, 1 / (zoom * stretch)])


MIRROR = np.diag([1.0, -1.0])


@pytest.fixture(scope="module")
def spots() -> list[np.ndarray]:
    return [tissue(seed) for seed in range(12)]


def test_tiles_turned_by_any_angle_are_copies(made: Set, spots: list[np.ndarray], tmp_path: Path) -> None:
    copies = [
        ("turned", turn_by(17)),
        ("turned", turn_by(-24, zoom=1.3)),
        ("turned", turn_by(48, zoom=1.2, stretch=1.2)),
        ("mirrored, turned", MIRROR @ turn_by(63)),
        ("mirrored, turned", MIRROR @ turn_by(-9, zoom=1.25, stretch=0.8)),
    ]
    for number, spot in enumerate(spots):
        made.add(seen(spot, np.eye(2)), "benign", name=f"{number:02d}.png")
    for number, (_, linear) in enumerate(copies):
        made.add(seen(spots[number], linear, 0.9), "benign", name=f"copy{number}.jpeg")
    report = audit(made.manifest(classes=CLASSES), tmp_path / "audit")
    assert sorted(map(sorted, groups_of(report))) == [[f"{n:02d}.png", f"copy{n}.jpeg"] for n in range(len(copies))]
    found = {p.path: p for p in report.table}
    assert [found[f"copy{n}.jpeg"].relation for n in range(len(copies))] == [words for words, _ in copies]
    assert all(found[f"copy{n}.jpeg"].correlation > 0.7 for n in range(len(copies)))


def test_turned_test_tiles_count_as_leaked(made: Set, spots: list[np.ndarray], tmp_path: Path) -> None:
    for number, linear in enumerate((turn_by(20), MIRROR @ turn_by(15), turn_by(95))):
        made.add(seen(spots[number], np.eye(2)), "benign", split="training")
        made.add(seen(spots[number], linear), "benign", split="testing")
    report = audit(made.manifest(classes=CLASSES), tmp_path / "audit")
    assert report.leak is not None
    assert (report.leak.found, report.leak.mirrored, report.leak.turned) == (3, 1, 1)


def test_grey_pictures_are_not_looked_at_from_every_angle(made: Set, spots: list[np.ndarray], tmp_path: Path) -> None:
    # A head has an up: slices of one look much alike when they may be turned and stretched at will.
    made.add(seen(spots[0], np.eye(2)).convert("L"), "benign")
    made.add(seen(spots[0], turn_by(17)).convert("L"), "benign")
    assert audit(made.manifest(classes=CLASSES), tmp_path / "audit").groups == 0
