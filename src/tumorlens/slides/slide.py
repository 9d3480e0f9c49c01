"""One whole slide, through OpenSlide: Aperio, Hamamatsu, Leica, MIRAX, Philips, Ventana, DICOM and tiled TIFF.

A slide is never in memory: its overview is put together block by block, and tiles are read one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumorlens.errors import ConfigError, InputError, UnreadableFile, UnsupportedFile, needs_extra
from tumorlens.limits import MB, PIXELS
from tumorlens.scan import Scan

if TYPE_CHECKING:
    from openslide import OpenSlide

OVERVIEW = 2048
"""Pixels along the longer side of the overview, at most."""

PANE = 256
"""Pixels along the sides of a square that a viewer asks for."""

_BLOCK = 2048  # pixels of a level along the sides of what is read at once
_CACHE = 256 * MB  # of decoded blocks: two rows of a wide slide's, so that none is decoded for every row of tiles anew
_UNEVEN = 0.02  # share by which a level's proportions may differ from the slide's, beyond a pixel
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MICRONS = (0.05, 20.0)  # a pixel: what no microscope has is a mistake in the file
_LEAST_SATURATION = 0.05  # of tissue; glass has less, whatever its brightness
_BINS = 256


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of a slide: left, top and side in pixels of the slide's finest level, and the share that is tissue."""

    left: int
    top: int
    side: int
    tissue: float


class Slide:
    """An open slide; close it, or use it in a `with`.

    Args:
        path: The file, as the caller names it.
        microns: Microns a pixel of the finest level, where the file does not say, or says it wrongly.

    Raises:
        MissingExtra: If OpenSlide is not installed.
        UnreadableFile: If the file is missing or broken.
        UnsupportedFile: If it is no slide, or does not say its magnification and `microns` neither.
        ConfigError: If `microns` is no size of a pixel.
    """

    def __init__(self, path: str, microns: float | None = None) -> None:
        with needs_extra("whole slides", "slides"):
            import openslide
        if microns is not None and not _MICRONS[0] <= microns <= _MICRONS[1]:
            raise ConfigError(f"{microns:g} microns are no size of a slide's pixel; 0.25 is usual at 40×, 0.5 at 20×")
        self.path = path
        if not Path(path).is_file():
            raise UnreadableFile(path, "there is no such file", "check the path")
        try:
            self._slide: OpenSlide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            remedy = "convert it to a tiled pyramidal TIFF"
            raise UnsupportedFile(path, "it is no whole slide that OpenSlide reads", remedy) from error
        except openslide.OpenSlideError as error:
            raise self._broken() from error
        self._slide.set_cache(openslide.OpenSlideCache(_CACHE))
        try:
            self._check_levels()
            left, top = (_number(self._slide.properties.get(f"openslide.bounds-{axis}")) for axis in "xy")
            self._corner = round(left), round(top)
            self.microns = microns or self._microns()
        except InputError:
            self.close()
            raise

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._slide.close()

    @property
    def width(self) -> int:
        """Pixels across, at the finest level."""
        return int(self._slide.dimensions[0])

    @property
    def height(self) -> int:
        """Pixels down, at the finest level."""
        return int(self._slide.dimensions[1])

    @property
    def corner(self) -> tuple[int, int]:
        """Left and top of the part that was scanned, where the file names one; QuPath counts its pixels from there."""
        return self._corner

    @property
    def shrunk(self) -> float:
        """Pixels of the slide along a pixel of the overview."""
        return max(1.0, max(self.width, self.height) / OVERVIEW)

    @property
    def zooms(self) -> int:
        """How often a slide may be halved and still show more than its overview."""
        return max(0, math.ceil(math.log2(self.shrunk)) - 1)

    def pane(self, zoom: int, column: int, row: int) -> NDArray[np.uint8]:
        """A square of the slide as a viewer shows it, halved `zoom` times: (h, w, 3), at most `PANE` along its sides.

        Raises:
            ConfigError: If it lies off the slide.
            UnreadableFile: If the pyramid is broken there.
        """
        side = PANE << max(0, min(zoom, self.zooms))
        left, top = column * side, row * side
        if not (0 <= zoom <= self.zooms and 0 <= left < self.width and 0 <= top < self.height):
            raise ConfigError(f"no square {column}, {row} at zoom {zoom}; the slide ends before")
        width, height = min(side, self.width - left), min(side, self.height - top)
        size = max(1, round(width / (1 << zoom))), max(1, round(height / (1 << zoom)))
        return self._read((left, top, width, height), size, 1 << zoom)

    @cached_property
    def overview(self) -> NDArray[np.uint8]:
        """The whole slide, (h, w, 3), its longer side `OVERVIEW` pixels or the slide's own; what is no slide is white.

        Raises:
            UnreadableFile: If a level of the pyramid is broken.
        """
        shrunk = self.shrunk
        width, height = (max(1, round(side / shrunk)) for side in (self.width, self.height))
        picture = np.empty((height, width, 3), np.uint8)
        level = self._slide.get_best_level_for_downsample(shrunk)
        step = max(1, math.floor(_BLOCK * self._slide.level_downsamples[level] / shrunk))
        for top in range(0, height, step):
            for left in range(0, width, step):
                down, across = min(step, height - top), min(step, width - left)
                box = (left * shrunk, top * shrunk, across * shrunk, down * shrunk)
                picture[top : top + down, left : left + across] = self._read(box, (across, down), shrunk)
        return picture

    @cached_property
    def tissue(self) -> NDArray[np.bool_]:
        """Where the overview shows tissue, (h, w): what is more saturated than glass, by Otsu's threshold (1979).

        Black, as scanners leave what they did not look at, is as grey as glass.
        """
        saturation = np.ptp(self.overview.astype(np.float32) / 255, axis=2)
        tissue: NDArray[np.bool_] = saturation > max(_otsu(saturation), _LEAST_SATURATION)
        return tissue

    def tiles(self, side: float, least: float = 0.5) -> Iterator[Tile]:
        """Squares of `side` pixels of the finest level, in rows, of which at least a share is tissue."""
        shrunk = self.width / self.overview.shape[1]
        sums = np.pad(self.tissue.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
        for row in range(max(1, math.floor(self.height / side))):
            top, bottom = _range(row * side / shrunk, (row + 1) * side / shrunk, len(sums))
            for column in range(max(1, math.floor(self.width / side))):
                left, right = _range(column * side / shrunk, (column + 1) * side / shrunk, sums.shape[1])
                inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
                share = float(inside / ((bottom - top) * (right - left)))
                if share >= least:
                    yield Tile(round(column * side), round(row * side), round(side), share)

    def scans(self, tiles: Sequence[Tile], pixels: int, number: int = 0) -> list[Scan]:
        """Tiles of one size as scans of so many pixels along their sides; frames count from `number`.

        Neighbours in a row are read at once, which takes two thirds of the time.

        Raises:
            UnreadableFile: If the pyramid is broken there.
        """
        found: list[Scan] = []
        for run in _runs(tiles, lambda side: int((_BLOCK * self._level(side / pixels)[1] / side) ** 2)):
            first, side = run[0], run[0].side
            box = (first.left, first.top, run[-1].left - first.left + side, side)
            image, finer = self._region(box, side / pixels)
            width = max(1, round(side / finer))
            for tile in run:
                # Cut out first: scaled as a part, it would be smoothed over its edges.
                left = min(round((tile.left - first.left) / finer), image.width - width)
                part = image.crop((left, 0, left + width, image.height))
                picture = np.asarray(part.resize((pixels, pixels), Image.Resampling.BILINEAR), np.float32)
                found.append(Scan(picture / np.float32(255), self.path, number + len(found), modality="SM"))
        return found

    def _read(self, box: tuple[float, float, float, float], size: tuple[int, int], shrunk: float) -> NDArray[np.uint8]:
        """A part of the slide at a size, (h, w, 3); what is no slide is white.

        `box` is left, top, width and height in pixels of the finest level, `size` width and height of the result, and
        `shrunk` how much smaller its pixels make the slide.
        """
        return np.asarray(self._region(box, shrunk)[0].resize(size, Image.Resampling.BILINEAR))

    def _region(self, box: tuple[float, float, float, float], shrunk: float) -> tuple[Image.Image, float]:
        """A part of the slide as the level has it that is read for pixels so much larger, and how much it is."""
        import openslide

        left, top, width, height = box
        level, finer = self._level(shrunk)
        region = max(1, round(width / finer)), max(1, round(height / finer))
        try:  # once it has failed, OpenSlide answers nothing more of the slide
            read = self._slide.read_region((round(left), round(top)), level, region)
        except openslide.OpenSlideError as error:
            raise self._broken() from error
        white = Image.new("RGB", read.size, (255, 255, 255))
        white.paste(read, mask=read.getchannel("A"))
        return white, finer

    def _level(self, shrunk: float) -> tuple[int, float]:
        """Of the levels that are finer than pixels so much larger, the nearest, and how much smaller it is."""
        import openslide

        try:
            level = self._slide.get_best_level_for_downsample(max(1.0, shrunk))
            return level, float(self._slide.level_downsamples[level])
        except openslide.OpenSlideError as error:
            raise self._broken() from error

    def _broken(self) -> UnreadableFile:
        return UnreadableFile(self.path, "the slide's pyramid is broken", "export it from the scanner again")

    def _check_levels(self) -> None:
        """Refuses a pyramid whose levels cannot show the same slide."""
        for number, (width, height) in enumerate(self._slide.level_dimensions):
            finer = self.width / width
            if abs(self.height / finer - height) > 1 + _UNEVEN * height:
                problem = (
                    f"its level {number} has {width} × {height} pixels, and the slide {self.width} × {self.height}"
                )
                raise UnreadableFile(self.path, problem, "export it from the scanner again")

    def _microns(self) -> float:
        """Microns a pixel, by what the file says of its pixels or of the objective."""
        properties = self._slide.properties
        across, down = (_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
        power = _number(properties.get("openslide.objective-power"))
        microns = (across + down) / 2 if across and down else 10 / power if power else 0.0
        if not _MICRONS[0] <= microns <= _MICRONS[1]:
            problem = f"it says {microns:g} microns a pixel" if microns else "it does not say its magnification"
            remedy = "give the microns a pixel, 0.25 is usual at 40× (tumorlens slide --microns)"
            raise UnsupportedFile(self.path, problem, remedy)
        if across and down and not 0.8 < across / down < 1.25:
            raise UnsupportedFile(self.path, "its pixels are not square", "resample it to square ones")
        return microns


def is_slide(path: str) -> bool:
    """Whether a TIFF is a whole slide: OpenSlide reads it, and it is a pyramid or larger than a picture may be.

    False for other files, and where OpenSlide is not installed.
    """
    with open(path, "rb") as file:  # noqa: PTH123
        if file.read(4) not in _TIFF:
            return False
    try:
        import openslide
    except ModuleNotFoundError:
        return False
    try:
        if openslide.OpenSlide.detect_format(path) is None:
            return False
        with openslide.OpenSlide(path) as slide:
            width, height = slide.dimensions
            return slide.level_count > 1 or width * height > PIXELS
    except openslide.OpenSlideError:
        return False


def _runs(tiles: Sequence[Tile], most: Callable[[int], int]) -> Iterator[list[Tile]]:
    """Tiles side by side in a row, at most so many of a side at a time."""
    run: list[Tile] = []
    for tile in tiles:
        near = run and tile.top == run[-1].top and 0 < tile.left - run[-1].left <= tile.side + 1
        if run and not (near and len(run) < most(tile.side)):
            yield run
            run = []
        run.append(tile)
    if run:
        yield run


def _range(first: float, last: float, count: int) -> tuple[int, int]:
    """The places of so many that a range reaches over, at least from one to the next."""
    low = min(round(first), count - 2)
    return low, max(low + 1, min(round(last), count - 1))


def _number(text: str | None) -> float:
    """A positive finite number, or 0."""
    try:
        number = float(text or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _otsu(values: NDArray[np.float32]) -> float:
    """The threshold between two groups of values in [0, 1] that lie the furthest apart for their spread."""
    counts, edges = np.histogram(values, _BINS, (0, 1))
    below = counts.cumsum().astype(np.float64)
    above = below[-1] - below
    moments = (counts * (edges[:-1] + edges[1:]) / 2).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (moments / below - (moments[-1] - moments) / above) ** 2
    return float(edges[1 + int(np.nan_to_num(between).argmax())])
