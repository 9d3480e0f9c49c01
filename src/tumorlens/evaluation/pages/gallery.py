"""Single cases for a report: which ones to show, and how their pictures get into it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumorlens.errors import DataError
from tumorlens.evaluation.predictions import Predictions

WRONG = RIGHT = 24
"""Most cases of each kind that a report shows."""

Picture = Image.Image | NDArray[np.uint8]
_SIDE = 320  # pixels; a picture is shown at about half that, so it stays sharp on dense screens


@dataclass(frozen=True, eq=False)
class GalleryCase:
    """One scan with what the network made of it.

    Attributes:
        name: The scan's path relative to the data root.
        truth: Key of the true class.
        predicted: Key of the predicted class.
        probabilities: Each class's key and probability.
        original: The scan, a PIL picture or a (H, W, 3) or (H, W) uint8 array.
        overlay: The same with the heat map on it; None where there is none to draw.
        note: What should be said about the case, such as "no positive evidence".
    """

    name: str
    truth: str
    predicted: str
    probabilities: Mapping[str, float]
    original: Picture
    overlay: Picture | None = None
    note: str = ""

    @property
    def confidence(self) -> float:
        """Probability of the predicted class."""
        return self.probabilities[self.predicted]


def choose_cases(predictions: Predictions, *, wrong: int = WRONG, right: int = RIGHT, seed: int = 0) -> list[int]:
    """Picks the scans a report should show: the most confidently wrong ones, then right ones of every class.

    Right ones are drawn at random, as evenly over the classes as their numbers allow, so that nobody picked them.

    Returns:
        Indices into the predictions.
    """
    mistaken = predictions.predicted != predictions.truth
    worst = np.flatnonzero(mistaken)[np.argsort(-predictions.confidence[mistaken], kind="stable")][:wrong]
    shuffled = np.random.default_rng(seed).permutation(np.flatnonzero(~mistaken))
    truth = predictions.truth[shuffled]
    turn = np.empty(len(shuffled), int)  # a scan's turn within its class
    for i in np.unique(truth):
        turn[truth == i] = np.arange((truth == i).sum())
    drawn = shuffled[np.lexsort((truth, turn))][:right]
    return [*worst.tolist(), *drawn[np.argsort(predictions.truth[drawn], kind="stable")].tolist()]


def picture_uri(picture: Picture) -> str:
    """A JPEG data URI of the picture, at most 320 pixels on its longer side, without any metadata of the original.

    Raises:
        DataError: If it is an array, but not (H, W) or (H, W, 3) of uint8.
    """
    if isinstance(picture, Image.Image):
        picture = np.asarray(picture.convert("RGB"))  # a bare array: a PIL picture may carry comments and EXIF along
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
        raise DataError(
            f"a gallery picture must be (H, W, 3) uint8, not {picture.shape} {picture.dtype}; convert it first"
        )
    small = Image.fromarray(picture).convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    # Without optimize=True: Pillow then needs the whole JPEG to fit a buffer, which noisy pictures overflow.
    small.save(file, "JPEG", quality=82, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def gallery_cards(cases: Sequence[GalleryCase], predictions: Predictions) -> dict[str, list[dict[str, Any]]]:
    """The cases as the page shows them, the most confidently wrong ones first."""
    name_of = {c.key: c.name for c in predictions.classes}
    for case in cases:
        if unknown := ({case.truth, case.predicted} | set(case.probabilities)) - set(name_of):
            raise DataError(f"a gallery case names the class {sorted(unknown)[0]!r}, which is not in the class set")
        if case.predicted not in case.probabilities:
            raise DataError(f"a gallery case has no probability for {case.predicted!r}; give one for each class")
    wrong = sorted((c for c in cases if c.truth != c.predicted), key=lambda c: -c.confidence)
    right = [c for c in cases if c.truth == c.predicted]

    def shown(case: GalleryCase) -> dict[str, Any]:
        return {
            "name": case.name,
            "truth": name_of[case.truth],
            "predicted": name_of[case.predicted],
            "confidence": case.confidence,
            "note": case.note,
            "original": picture_uri(case.original),
            "overlay": None if case.overlay is None else picture_uri(case.overlay),
            "bars": [
                {"name": name, "value": case.probabilities.get(key, 0.0), "true": key == case.truth}
                for key, name in name_of.items()
            ],
        }

    return {"wrong": [shown(c) for c in wrong[:WRONG]], "right": [shown(c) for c in right[:RIGHT]]}
