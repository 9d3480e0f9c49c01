"""Pictures that are no brain scan, by kind, to measure whether they are called unknown.

They are drawn, or come with packages: scikit-image (`pip install scikit-image`), scikit-learn and pydicom carry some on
disk. Kinds that need not be caught, such as a CT of a head or a scan upside down, say so in their name.
Kinds with an asterisk were added after the method was chosen, and nothing was changed after they were measured.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from tumorlens.errors import InputError
from tumorlens.formats import read_scans
from tumorlens.scan import Scan

COUNT = 60  # of each drawn kind
_SIDE = 128
_PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "coins", "moon", "motorcycle_left")


def drawn(seed: int = 0) -> Iterator[tuple[str, list[Scan]]]:
    """Kinds a computer draws: (name, pictures)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / (_SIDE - 1)

    def many(one: Callable[[int], NDArray]) -> list[Scan]:
        return [scan(np.clip(one(i), 0, 1), f"drawn {i}") for i in range(COUNT)]

    def checks(_: int) -> NDArray:
        cell, dark, bright = 2 ** rng.integers(1, 6), rng.uniform(0, 0.4), rng.uniform(0.6, 1)
        odd = (x * _SIDE // cell + y * _SIDE // cell) % 2
        return dark + (bright - dark) * odd

    def stripes(_: int) -> NDArray:
        angle, waves = rng.uniform(0, math.pi), rng.uniform(1, 16)
        return 0.5 + 0.5 * np.sin(2 * math.pi * waves * (x * math.cos(angle) + y * math.sin(angle)))

    def ramp(_: int) -> NDArray:
        angle = rng.uniform(0, 2 * math.pi)
        slope = (x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)
        return 0.5 + slope * rng.uniform(0.4, 1.4)

    def spot(_: int) -> NDArray:
        cx, cy = rng.uniform(0.2, 0.8, 2)
        return np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.02, 0.5))

    def clouds(_: int) -> NDArray:
        field = gaussian_filter(rng.normal(size=(_SIDE, _SIDE)), rng.uniform(2, 16), mode="wrap")
        return 0.5 + field / field.std() * 0.2

    def disc(_: int) -> NDArray:
        rx, ry = rng.uniform(0.2, 0.48, 2)
        return rng.uniform(0.2, 1) * (((x - 0.5) / rx) ** 2 + ((y - 0.5) / ry) ** 2 < 1)

    shape = (_SIDE, _SIDE)
    yield "black", [scan(np.full(shape, v), "black") for v in np.linspace(0, 0.02, 5)]
    yield "white", [scan(np.full(shape, v), "white") for v in np.linspace(0.95, 1, 5)]
    yield "grey", [scan(np.full(shape, v), "grey") for v in np.linspace(0.05, 0.9, 18)]
    yield "noise: uniform", many(lambda _: rng.uniform(0, rng.uniform(0.3, 1), shape))
    yield "noise: dark Gaussian", many(lambda _: np.abs(rng.normal(0, rng.uniform(0.02, 0.3), shape)))
    yield "noise: salt and pepper", many(lambda _: rng.random(shape) < rng.uniform(0.05, 0.95))
    yield "noise: clouds", many(clouds)
    yield "gradient: linear", many(ramp)
    yield "gradient: spot", many(spot)
    yield "checkerboards", many(checks)
    yield "stripes", many(stripes)
    yield "plain ellipses", many(disc)
    yield "rings *", many(lambda _: 0.5 + 0.5 * np.sin(rng.uniform(10, 80) * np.hypot(x - 0.5, y - 0.5)))
    yield "text: black on white", many(lambda i: 1 - _page(rng, i))
    yield "text: white on black", many(lambda i: _page(rng, i))


def _page(rng: np.random.Generator, index: int) -> NDArray:
    letters = list("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJ 0123456789 ,.")
    size = int(rng.integers(8, 40))
    image = Image.new("L", (_SIDE, _SIDE), 0)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for top in range(2 + index % 7, _SIDE, int(size * 1.3)):
        draw.text((3, top), "".join(rng.choice(letters, 30)), fill=255, font=font)
    return np.asarray(image) / 255


def carried(seed: int = 0) -> Iterator[tuple[str, list[Scan]]]:
    """Kinds that packages carry: photographs, micrographs, pages, and DICOM files of other things than a brain."""
    rng = np.random.default_rng(seed)
    folder = _skimage_folder()
    photographs = [folder / f"{n}.png" for n in _PHOTOGRAPHS]
    photographs += [folder / "rocket.jpg", folder / "hubble_deep_field.jpg", *_sklearn_photographs()]
    textures = [folder / f"{n}.png" for n in ("brick", "grass", "gravel")]
    micrographs = [folder / f"{n}.png" for n in ("cell", "ihc", "microaneurysms")] + [folder / "retina.jpg"]
    pages = [folder / f"{n}.png" for n in ("page", "text", "horse", "logo", "color", "clock_motion")]
    yield "photographs", [_read(p)[0] for p in photographs]
    yield "photographs: cut-outs", [c for p in photographs for c in _cutouts(rng, _read(p)[0], 8)]
    yield "textures: cut-outs", [c for p in textures for c in [_read(p)[0], *_cutouts(rng, _read(p)[0], 8)]]
    yield "eye and cell pictures", [_read(p)[0] for p in micrographs]
    yield "scanned pages, logos", [_read(p)[0] for p in pages]
    head, other = _dicoms()
    yield "DICOM: not of a head", other
    yield "DICOM: CT of a head (information)", head
    yield "Shepp-Logan head (information)", [_read(folder / "phantom.png")[0]]


def spoiled(images: NDArray[np.float32]) -> Iterator[tuple[str, list[Scan]]]:
    """Real scans, spoiled. `images` is (N, C, S, S), by the network's own preprocessing."""
    grey = images.mean(1)
    half = grey.shape[1] // 2
    turned = (lambda g: g, np.fliplr, np.flipud, lambda g: np.flipud(np.fliplr(g)))

    def each(change: Callable[[NDArray], NDArray]) -> list[Scan]:
        return [scan(change(g), "spoiled") for g in grey]

    def in_turn(change: Callable[[NDArray], NDArray]) -> list[Scan]:
        """The same change to the left, right, upper and lower part."""
        parts = (change, lambda g: np.fliplr(change(np.fliplr(g))), lambda g: change(g.T).T)
        parts = (*parts, lambda g: np.flipud(change(np.flipud(g).T).T))
        return [scan(parts[i % 4](g), "spoiled") for i, g in enumerate(grey)]

    def blank(g: NDArray) -> NDArray:
        out = g.copy()
        out[:, half:] = 0
        return out

    yield "scans: inverted", each(lambda g: 1 - g)
    yield "scans: half cut off", in_turn(lambda g: g[:, :half])
    yield "scans: half blanked", in_turn(blank)
    yield "scans: a quarter", [scan(turned[i % 4](g)[:half, :half], "spoiled") for i, g in enumerate(grey)]
    yield "scans: shuffled tiles", [scan(_shuffled(g, i), "spoiled") for i, g in enumerate(grey)]
    yield "scans: a third cut off *", in_turn(lambda g: g[:, : round(g.shape[1] * 2 / 3)])
    yield "scans: two side by side *", [scan(np.hstack([a, b]), "spoiled") for a, b in itertools.pairwise(grey)]
    yield "scans: on a white page *", each(lambda g: np.pad(g, half // 2, constant_values=1))
    yield "scans: the middle, enlarged *", each(lambda g: g[half // 2 : -half // 2, half // 2 : -half // 2])
    yield (
        "scans: noisy (information)",
        [
            scan(np.clip(g + np.random.default_rng(i).normal(0, 0.15, g.shape), 0, 1), "spoiled")
            for i, g in enumerate(grey)
        ],
    )
    yield "scans: upside down (information)", each(np.flipud)
    yield "scans: lying on a side (information)", each(np.rot90)


def scan(pixels: NDArray, source: str) -> Scan:
    """A picture as the classifier takes it."""
    return Scan(np.ascontiguousarray(pixels, np.float32), source)


def _shuffled(grey: NDArray, seed: int) -> NDArray:
    side = grey.shape[0] // 4
    tiles = grey.reshape(4, side, 4, side).swapaxes(1, 2).reshape(16, side, side)
    tiles = tiles[np.random.default_rng(seed).permutation(16)]
    return tiles.reshape(4, 4, side, side).swapaxes(1, 2).reshape(grey.shape)


def _cutouts(rng: np.random.Generator, whole: Scan, count: int) -> Iterator[Scan]:
    for _ in range(count):
        side = int(rng.uniform(0.3, 0.9) * min(whole.height, whole.width))
        top, left = rng.integers(whole.height - side + 1), rng.integers(whole.width - side + 1)
        yield scan(whole.grey[top : top + side, left : left + side], whole.source)


def _read(path: Path) -> list[Scan]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's own test files break the standard on purpose
        return list(read_scans(path))


def _skimage_folder() -> Path:
    try:
        import skimage
    except ModuleNotFoundError as error:
        raise SystemExit("the photographs come with scikit-image; run: pip install scikit-image") from error
    return Path(skimage.__file__).parent / "data"


def _sklearn_photographs() -> list[Path]:
    import sklearn.datasets

    return sorted((Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"))


def _dicoms() -> tuple[list[Scan], list[Scan]]:
    """The readable test files of pydicom, each picture once: (CTs of a head, anything else)."""
    import pydicom.data

    heads = {"693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"}
    head: list[Scan] = []
    other: list[Scan] = []
    seen: list[NDArray] = []
    for path in sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm")):
        try:
            found = _read(path)[0]
        except InputError:
            continue
        small = np.asarray(Image.fromarray(found.grey).resize((16, 16), Image.Resampling.BOX))
        if any(np.abs(small - s).max() < 0.02 for s in seen):
            continue
        seen.append(small)
        (head if path.name in heads else other).append(found)
    return head, other
