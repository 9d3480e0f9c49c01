"""Whether a network needs the tumour: what it says when the tumour is gone, and when something else is pasted.

The tumour is replaced by healthy tissue of another patient at the same place, which should turn the answer to "nothing
found". The control pastes tissue of another patient off the tumour, which should change nothing. Filling the place
smoothly, as is often done, asks less: a smooth patch looks like a tumour itself.

Reference: Chang et al., Explaining image classifiers by counterfactual generation, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from tumorlens.classifier import Classifier
from tumorlens.data.counterfactuals import make_patched, make_twins
from tumorlens.data.loader import Slices
from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate
from tumorlens.listener import SILENT, Progress


class CounterfactualFigures(BaseModel, frozen=True):
    """Shares of some scans with an outlined tumour.

    Attributes:
        n: Scans that could be given healthy tissue in the tumour's place.
        recall: Of these as they are, called their class.
        gone: With the tumour replaced, called "nothing found"; the more the better.
        still_named: With the tumour replaced, called their class all the same; the fewer the better.
        controls: Scans that could be given a patch off the tumour.
        unchanged: With the patch, called as without it; the more the better.
    """

    n: int
    recall: Estimate
    gone: Estimate
    still_named: Estimate
    controls: int
    unchanged: Estimate


class Counterfactual(BaseModel, frozen=True):
    """What a network says of counterfactuals, over all scans and by the key of their class."""

    overall: CounterfactualFigures
    classes: dict[str, CounterfactualFigures]


@dataclass(frozen=True, eq=False)
class CounterfactualTable:
    """Counterfactual test, scan by scan: a row for each outlined scan.

    Attributes:
        figures: (N, 4) float64: recall, gone, still named and unchanged as 0 or 1; NaN where nothing could be pasted.
    """

    labels: NDArray[np.int64]
    groups: list[str]
    figures: NDArray[np.float64]
    keys: tuple[str, ...]


def ask(
    classifier: Classifier,
    slices: Slices,
    test: NDArray[np.intp],
    *,
    seed: int = 0,
    progress: Progress = SILENT.progress,
) -> CounterfactualTable | None:
    """Predictions for the counterfactuals of outlined test scans: tumour removed, tissue pasted beside it.

    None where no scan has an outline, or no class means that nothing was found. The scans, greyscale and by the
    classifier's own preprocessing and classes, lend each other the tissue; another seed, other donors.
    """
    nothing = np.array([c.nothing for c in classifier.card.classes])
    part = slices.pick(test)
    if part.coverage is None or not nothing.any() or part.images.shape[1] != 1:
        return None
    outlined = np.flatnonzero(part.coverage.reshape(len(part), -1).any(1))
    if not len(outlined):
        return None
    images, groups = part.images[:, 0], part.groups
    twins = make_twins(images, part.coverage, groups, seed=seed)
    patched = make_patched(images, part.coverage, groups, seed=seed)

    def called(pictures: NDArray[np.uint8]) -> NDArray[np.intp]:
        inputs = pictures[:, None].astype(np.float32) / np.float32(255)
        classes: NDArray[np.intp] = classifier.probabilities(inputs, progress=progress).argmax(1)
        return classes

    figures = np.full((len(part), 4), np.nan)
    before = np.full(len(part), -1)
    before[outlined] = classifier.probabilities(part.images[outlined], progress=progress).argmax(1)
    if len(twins):
        answers, own = called(twins.images), part.labels[twins.scan]
        figures[twins.scan, :3] = np.stack([before[twins.scan] == own, nothing[answers], answers == own], 1)
    controls = np.isin(patched.scan, outlined)
    if controls.any():
        scans = patched.scan[controls]
        figures[scans, 3] = called(patched.images[controls]) == before[scans]
    return CounterfactualTable(
        part.labels[outlined], [groups[i] for i in outlined], figures[outlined], tuple(classifier.card.classes.keys)
    )


def summarize_asked(parts: Sequence[CounterfactualTable]) -> Counterfactual:
    """The shares over several networks' test parts, with intervals by group."""
    labels, figures = (np.concatenate([getattr(p, name) for p in parts]) for name in ("labels", "figures"))
    groups = np.array([group for p in parts for group in p.groups])
    keys = parts[0].keys

    def over(rows: NDArray[np.bool_]) -> CounterfactualFigures:
        means = estimate_means(figures[rows], groups[rows])
        n, _, _, controls = np.isfinite(figures[rows]).sum(0).tolist()
        names = ("recall", "gone", "still_named", "unchanged")
        return CounterfactualFigures(n=n, controls=controls, **dict(zip(names, means, strict=True)))

    present = [i for i in range(len(keys)) if (labels == i).any()]
    return Counterfactual(
        overall=over(np.ones(len(labels), bool)), classes={keys[i]: over(labels == i) for i in present}
    )
