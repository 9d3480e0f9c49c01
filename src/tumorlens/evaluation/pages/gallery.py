"""Single cases for a report: which ones to show, and how their pictures get into it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tumorlens.evaluation.predictions import Predictions

WRONG = RIGHT = 24
"""Most cases of each kind that a report shows."""

_SIDE = 320  # pixels; a picture is shown at about half that, so it stays sharp on dense screens


@dataclass(frozen=True, eq=False)
class GalleryCase:
    """One scan with what the network made of it.

    Attributes:
        name: The scan's path relative to the data root.
        overlay: The same with the heat map on it; None where there is none to draw.
        note: What should be said about the case, such as "no positive evidence".
    """

    name: str
    truth: str
    predicted: str
    probabilities: Mapping[str, float]
    original: Image.Image
    overlay: Image.Image | None = None
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


def picture_uri(picture: Image.Image) -> str:
    """A JPEG data URI of the picture, at most 320 pixels on its longer side, without any metadata of the original."""
    small = Image.fromarray(np.asarray(picture.convert("RGB")))  # pixels alone: a picture may carry comments and EXIF
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    # Without optimize=True: Pillow then needs the whole JPEG to fit a buffer, which noisy pictures overflow.
    small.save(file, "JPEG", quality=82, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def gallery_cards(cases: Sequence[GalleryCase], predictions: Predictions) -> dict[str, list[dict[str, Any]]]:
    """The cases as the page shows them, the most confidently wrong ones first."""
    name_of = {c.key: c.name for c in predictions.classes}
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
