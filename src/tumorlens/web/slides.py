"""Whole slides of a case: mapped as it is read, and shown square by square when somebody zooms in. Runs in a worker."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from tumorlens.classifier import Classifier
from tumorlens.evidence import Evidence
from tumorlens.finding import Finding
from tumorlens.scan import Scan
from tumorlens.slides import Slide, SlideMap, map_slide
from tumorlens.slides.slide import PANE
from tumorlens.web.messages import ReadPane, SlideView, TilesRead

MAPS = ("overlay.png", "tiles.csv", "tiles.geojson", "summary.json")
"""Files that a slide's map has, in the case's folder slides/NNNNN/."""

_OPEN = 2  # slides that a worker keeps open
_QUALITY = 85
_TOLD = 0.5  # seconds between words of how far a slide is


def read_slide(
    path: str, folder: Path, classifier: Classifier, tell: Callable[[TilesRead], None]
) -> tuple[Scan, Finding, dict[str, Evidence], SlideView]:
    """Maps a slide into a folder: its overview as a scan, what its tiles say together, heat by class, and how to zoom.

    Raises:
        ConfigError: If the weights are none of tissue.
        InputError: If the slide cannot be read, or no tissue is found.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a try that was broken off
    folder.parent.mkdir(exist_ok=True)
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last > _TOLD:
            tell(TilesRead(done=done, total=total))
            last = time.monotonic()

    found = map_slide(path, classifier, folder, progress=progress)
    summary, keys = found.summary, [c.key for c in classifier.card.classes if not c.nothing]
    step = summary.microns * summary.width / found.overview.shape[1] / 1000  # mm
    scan = Scan(found.overview.astype(np.float32) / np.float32(255), path, spacing=(step, step), modality="SM")
    finding = _finding(found, path, classifier)
    evidence = {} if finding.unknown else {key: Evidence(found.heat(key), None) for key in keys}
    with Slide(path) as slide:
        zooms = slide.zooms
    same = ("width", "height", "microns", "field", "tiles", "labels")
    view = {name: getattr(summary, name) for name in same}
    return scan, finding, evidence, SlideView(file=Path(path).name, pane=PANE, zooms=zooms, **view)


def _finding(found: SlideMap, path: str, classifier: Classifier) -> Finding:
    """What the tiles say together: the mean over those that are known."""
    summary = found.summary
    known = sum(count for key, count in summary.labels.items() if key in found.keys)
    if not known:
        reason = "every tile is unlike those of the training"
        return Finding(path, 0, None, {}, classifier.weights, unknown=True, reason=reason)
    label = max(found.keys, key=lambda key: summary.probabilities[key])
    mean = f"a whole slide: probabilities are means over {known} tiles, and not calibrated for slides"
    lost = summary.tiles - known
    doubts = (mean, *([f"{lost} of its {summary.tiles} tiles are unlike those of the training"] if lost else []))
    return Finding(path, 0, label, dict(summary.probabilities), classifier.weights, explained=label, warnings=doubts)


def read_pane(command: ReadPane) -> dict[str, str]:
    """A square of a slide as JPEG, in base64.

    Raises:
        ConfigError: If it lies off the slide.
        InputError: If the slide is broken there.
    """
    file = io.BytesIO()
    pane = _opened(str(command.path)).pane(command.zoom, command.column, command.row)
    Image.fromarray(pane).save(file, "JPEG", quality=_QUALITY)
    return {"jpeg": base64.b64encode(file.getvalue()).decode("ascii")}


@lru_cache(_OPEN)
def _opened(path: str) -> Slide:
    """An open slide. One that falls out of the cache is closed with its last reference."""
    return Slide(path)
