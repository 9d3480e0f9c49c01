"""The pictures of a slice on disk: the scan, what its window hides, and the heat for every class."""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumorlens.evidence import Evidence, Region
from tumorlens.overlay import draw_overlay, draw_scan
from tumorlens.scan import Scan, Values
from tumorlens.web.messages import ValuesView

MAX_SHOWN = 2048
"""Pixels along the longer side that a picture keeps; a screen shows no more."""

MAX_HEAT = 512
"""Pixels along the longer side that a heat map keeps; the network's own has far fewer."""


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder to fill in place of another, which it replaces when the block ends without an error."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


@dataclass(frozen=True)
class SlicePictures:
    """The folder of a slice's pictures."""

    folder: Path

    @property
    def scan(self) -> Path:
        """The scan as its file wants it shown, PNG, grey or RGB."""
        return self.folder / "scan.png"

    @property
    def values(self) -> Path:
        """(H, W) little-endian uint16, gzipped: values from the least, 0, to the greatest, 65,535."""
        return self.folder / "values.gz"

    def heat(self, key: str) -> Path:
        """The heat map for a class, grey PNG; 255 is its peak, all 0 means that nothing speaks for it."""
        return self.folder / f"heat-{key}.png"

    def write(self, scan: Scan, evidence: Mapping[str, Evidence]) -> ValuesView | None:
        """Writes all pictures, or none; gives what `values` mean, or None where there are none."""
        meaning = None
        with _replacing(self.folder) as folder:
            part = SlicePictures(folder)
            shown = draw_scan(scan) if scan.pixels.ndim == 3 else _grey(scan.pixels)
            _shrunk(shown, MAX_SHOWN).save(part.scan, compress_level=1)
            for key, (heatmap, _) in evidence.items():
                _shrunk(_grey(heatmap), MAX_HEAT).save(part.heat(key), compress_level=1)
            if (values := scan.values) is not None and max(scan.height, scan.width) <= MAX_SHOWN:
                low, high = float(values.numbers.min()), float(values.numbers.max())
                steps = np.round((values.numbers - low) * (65535 / ((high - low) or 1)))
                part.values.write_bytes(gzip.compress(steps.astype("<u2").tobytes(), 1, mtime=0))
                meaning = ValuesView(
                    low=low,
                    high=high,
                    black=values.low,
                    white=values.high,
                    inverted=values.inverted,
                    tissue=_tissue(values),
                    unit="" if scan.hounsfield is None else "HU",
                )
        return meaning

    def steps(self, height: int, width: int) -> NDArray[np.uint16]:
        """The values as (height, width) steps from the least, 0, to the greatest, 65,535; without any, the grey.

        Raises:
            FileNotFoundError: If the picture is gone.
        """
        if self.values.is_file():
            numbers = np.frombuffer(gzip.decompress(self.values.read_bytes()), "<u2")
            return numbers.reshape(height, width).astype(np.uint16, copy=False)
        with Image.open(self.scan) as image:
            return np.asarray(image.convert("L").resize((width, height)), np.uint16) * np.uint16(257)

    def heat_steps(self, key: str, height: int, width: int) -> NDArray[np.uint8]:
        """The heat for a class on a grid of another size, (height, width); 255 is its peak."""
        with Image.open(self.heat(key)) as image:
            return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.uint8)

    def shown(self) -> NDArray[np.float32]:
        """The scan, (h, w) or (h, w, 3) float32 in [0, 1], at the size it is kept in."""
        with Image.open(self.scan) as image:
            return np.asarray(image, np.float32) / np.float32(255)

    def overlay(self, key: str, region: Region | None, width: int, opacity: float = 0.6) -> Image.Image:
        """The heat for a class over the scan, with its contour and a colour bar.

        The region is in pixels of the scan as its file has it, of that width. Opacity is the hottest pixel's, 0 to 1.
        """
        pixels = self.shown()
        scale = pixels.shape[1] / width
        with Image.open(self.heat(key)) as image:
            heat = np.asarray(image.resize(pixels.shape[1::-1], Image.Resampling.BILINEAR), np.float32)
        if region is not None and scale != 1:
            region = region.model_copy(update={"contour": tuple((x * scale, y * scale) for x, y in region.contour)})
        return draw_overlay(Scan(pixels, "scan"), heat / np.float32(255), region, opacity=opacity)


def png(image: Image.Image) -> bytes:
    """A picture as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _grey(pixels: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.round(pixels * 255).clip(0, 255).astype(np.uint8))


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.BILINEAR)
    return image


_NOISE = 0.1
"""Share of the brightest values below which nothing is tissue, but air and its noise."""


def _tissue(values: Values) -> tuple[float, float, float, float] | None:
    """Percentiles 5, 50, 97 and 99.9 of what is no background."""
    numbers = values.numbers[::2, ::2].ravel()
    least = float(numbers.min())
    numbers = numbers[numbers > least + _NOISE * (float(np.percentile(numbers, 99.5)) - least)]
    if numbers.size < 16:
        return None
    low, middle, high, most = np.percentile(numbers, (5, 50, 97, 99.9)).tolist()
    return low, middle, high, most
