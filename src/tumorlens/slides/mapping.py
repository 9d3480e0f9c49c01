"""What weights say of every tile of a slide: a picture, a table, and GeoJSON for QuPath."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from tumorlens.card import WeightsCard
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, NotAScan
from tumorlens.files import writing_folder
from tumorlens.finding import Finding, WeightsId
from tumorlens.overlay import colour
from tumorlens.scan import Scan
from tumorlens.slides.slide import Slide, Tile

FIELD = 112.0
"""Microns along a tile's sides: 224 pixels at 20×."""

_BATCH = 64
_CHUNK = 16  # tiles that a reader takes at a time
_READERS = 2  # OpenSlide decodes without the interpreter's lock
_OPACITY = 0.6
_UNKNOWN = "unknown"


class SlideSummary(BaseModel, frozen=True):
    """What a slide shows, tile by tile, as in summary.json.

    Attributes:
        microns: A pixel of the slide's finest level.
        field: Microns along a tile's sides.
        tiles: Tiles with tissue.
        labels: How many of them were given each class; "unknown" are those unlike the training's.
        shown: Class that the overlay shows the probability of.
        probabilities: Mean of each class over the tiles that are known; zeros where none is.
    """

    source: str
    weights: WeightsId
    width: int
    height: int
    microns: float
    field: float
    tiles: int
    labels: dict[str, int]
    shown: str
    probabilities: dict[str, float]


@dataclass(frozen=True, eq=False)
class SlideMap:
    """A mapped slide.

    Attributes:
        overview: The slide, (h, w, 3).
        tiles: Its tiles with tissue.
        probabilities: (tiles, classes) of each, NaN of unknown ones.
        keys: The classes' keys.
    """

    summary: SlideSummary
    overview: NDArray[np.uint8]
    tiles: list[Tile]
    probabilities: NDArray[np.float32]
    keys: tuple[str, ...]

    def heat(self, key: str) -> NDArray[np.float32]:
        """The probability of a class over the overview, (h, w) in [0, 1]; 0 where no tissue is known."""
        heat = np.zeros(self.overview.shape[:2], np.float32)
        for tile, value in zip(self.tiles, np.nan_to_num(self.probabilities[:, self.keys.index(key)]), strict=True):
            heat[self._square(tile)] = value
        return heat

    def overlay(self, key: str) -> NDArray[np.uint8]:
        """The overview with the probability of a class in colours over every known tile, (h, w, 3)."""
        picture, heat = self.overview.astype(np.float32), self.heat(key)
        alpha = _OPACITY * np.sqrt(heat)[..., None]
        return ((1 - alpha) * picture + alpha * colour(heat)).round().astype(np.uint8)

    def _square(self, tile: Tile) -> tuple[slice, slice]:
        shrunk = self.summary.width / self.overview.shape[1]
        ends = (round(tile.top / shrunk), round((tile.top + tile.side) / shrunk))
        sides = (round(tile.left / shrunk), round((tile.left + tile.side) / shrunk))
        top, left = ends[0], sides[0]
        return slice(top, max(top + 1, ends[1])), slice(left, max(left + 1, sides[1]))


def map_slide(
    path: str,
    classifier: Classifier,
    folder: Path,
    *,
    field: float = FIELD,
    microns: float | None = None,
    target: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> SlideMap:
    """Reads a slide tile by tile, and writes overlay.png, tiles.csv, tiles.geojson and summary.json into a new folder.

    Args:
        path: The slide.
        classifier: Weights of tiles in colour.
        folder: Must not be there.
        field: Microns along a tile's sides: what the training's tiles showed.
        microns: A pixel, where the slide does not say; see `Slide`.
        target: Class that the overlay shows; None takes the one that most tiles were given and that means something.
        progress: Called with (done, total) tiles.

    Raises:
        ConfigError: If the weights are none of tiles or have no such class, or the folder is there.
        InputError: If the slide cannot be read, or no tissue is found.
    """
    card = classifier.card
    keys = card.classes.keys
    if not card.preprocessing.in_colour:
        known = card.modality.name
        raise ConfigError(f"{card.name} knows {known}, and a slide is stained tissue; give weights of tiles")
    if target is not None and target not in keys:
        raise ConfigError(f"no class {target!r}; {card.name} tells apart {', '.join(keys)}")
    if folder.exists():
        raise ConfigError(f"{folder}: exists already; choose another folder")
    with Slide(path, microns) as slide:
        if (side := field / slide.microns) < 1:
            raise ConfigError(f"a field of {field:g} microns is less than a pixel of {path}")
        tiles = list(slide.tiles(side))
        if not tiles:
            raise NotAScan(path, "no tissue was found", "give a stained slide; a field must be smaller than the tissue")
        with writing_folder(folder) as temporary:
            found = _write_tiles(slide, classifier, tiles, temporary, progress)
            labels = _count(found, keys)
            shown = target or max((c.key for c in card.classes if not c.nothing), key=lambda key: labels[key])
            summary = SlideSummary(
                source=Path(path).name,
                weights=classifier.weights,
                width=slide.width,
                height=slide.height,
                microns=slide.microns,
                field=field,
                tiles=len(tiles),
                labels={key: count for key, count in labels.items() if count},
                shown=shown,
                probabilities=dict(zip(keys, _means(found), strict=True)),
            )
            mapped = SlideMap(summary, slide.overview, tiles, found, keys)
            Image.fromarray(mapped.overlay(shown)).save(temporary / "overlay.png")
            (temporary / "summary.json").write_text(summary.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return mapped


def _count(found: NDArray[np.float32], keys: tuple[str, ...]) -> Counter[str]:
    known = found[~np.isnan(found[:, 0])]
    return Counter({**Counter(keys[i] for i in known.argmax(1)), _UNKNOWN: len(found) - len(known)})


def _means(found: NDArray[np.float32]) -> list[float]:
    known = found[~np.isnan(found[:, 0])]
    means: list[float] = (known.sum(0, dtype=np.float64) / max(1, len(known))).tolist()
    return means


def _scans(slide: Slide, tiles: list[Tile], size: int) -> Iterator[tuple[list[Tile], list[Scan]]]:
    """Tiles with their scans, a batch after another; the next batch is read while one is computed."""
    batches = [tiles[start : start + _BATCH] for start in range(0, len(tiles), _BATCH)]
    with ThreadPoolExecutor(_READERS) as pool:

        def read(number: int) -> list[Future[list[Scan]]]:
            batch = batches[number] if number < len(batches) else []
            first = number * _BATCH
            starts = range(0, len(batch), _CHUNK)
            return [pool.submit(slide.scans, batch[i : i + _CHUNK], size, first + i) for i in starts]

        ahead = read(0)
        for number, batch in enumerate(batches):
            now, ahead = ahead, read(number + 1)
            try:
                yield batch, [scan for chunk in now for scan in chunk.result()]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _write_tiles(
    slide: Slide, classifier: Classifier, tiles: list[Tile], folder: Path, progress: Callable[[int, int], None]
) -> NDArray[np.float32]:
    """Writes table and GeoJSON as tiles are read, and gives (tiles, classes) probabilities, NaN of unknown ones."""
    card, size = classifier.card, classifier.preprocessing.size
    keys = card.classes.keys
    found = np.full((len(tiles), len(keys)), np.nan, np.float32)
    done = 0
    progress(done, len(tiles))
    with (
        (folder / "tiles.csv").open("w", newline="", encoding="utf-8") as table,
        (folder / "tiles.geojson").open("w", encoding="ascii") as features,
    ):
        rows = csv.writer(table)
        rows.writerow(["left", "top", "side", "tissue", "label", *keys, "reason"])
        features.write('{"type": "FeatureCollection", "features": [\n')
        for batch, scans in _scans(slide, tiles, size):
            for tile, finding in zip(batch, classifier.find(scans, explain=False), strict=True):
                if not finding.unknown:
                    found[done] = [finding.probabilities[key] for key in keys]
                rows.writerow(_row(tile, finding, keys))
                features.write((",\n" if done else "") + json.dumps(_feature(tile, finding, card, slide.corner)))
                done += 1
            progress(done, len(tiles))
        features.write("\n]}\n")
    return found


def _row(tile: Tile, finding: Finding, keys: tuple[str, ...]) -> list[object]:
    shares = [f"{finding.probabilities[key]:.4f}" if finding.probabilities else "" for key in keys]
    label = finding.label or _UNKNOWN
    return [tile.left, tile.top, tile.side, f"{tile.tissue:.3f}", label, *shares, finding.reason]


def _feature(tile: Tile, finding: Finding, card: WeightsCard, corner: tuple[int, int]) -> dict[str, object]:
    """A tile as QuPath has one: a square with its class and its probabilities, counted from the scanned part's corner.

    As written by its PathObjectTypeAdapters since version 0.4.
    """
    left, top = tile.left - corner[0], tile.top - corner[1]
    right, bottom = left + tile.side, top + tile.side
    corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {
            "objectType": "tile",
            "classification": {"name": finding.label or _UNKNOWN, "color": _shade(finding.label, card.classes.keys)},
            "measurements": {key: round(value, 4) for key, value in finding.probabilities.items()},
        },
    }


def _shade(label: str | None, keys: tuple[str, ...]) -> list[int]:
    """Red, green and blue of a class, as far apart as the classes are many; grey of what is unknown."""
    if label is None:
        return [128, 128, 128]
    place = 0.25 + 0.7 * keys.index(label) / max(1, len(keys) - 1)
    shade: list[int] = colour(np.array([[place]], np.float32))[0, 0].tolist()
    return shade
