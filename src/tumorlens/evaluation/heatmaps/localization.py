"""How well heat maps meet radiologists' outlines, beside baselines that never saw a network.

Every map is brought back to the scan's own grid and judged there, as a user sees it. A baseline is a map like any
other and goes through the same code. What counts as a user's map: that of the predicted class. A scan with a tumour
that was called "nothing found" shows no region, so its map is blank, and a blank map is a miss in every figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, read_scan
from tumorlens.errors import DataError
from tumorlens.evaluation.heatmaps.judge import BASELINES, FIGURES, THRESHOLDS, Tumour, dice_by_threshold, judge
from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate
from tumorlens.explain.cam import METHODS, explain, methods_for
from tumorlens.explain.region import THRESHOLD
from tumorlens.listener import SILENT, Listener, Progress

SIZES = {"under 1%": (0.0, 0.01), "1 to 2%": (0.01, 0.02), "over 2%": (0.02, 1.01)}
"""Sizes of tumours, as shares of the picture: the lower end is included, the upper one is not."""

Target = Literal["predicted", "true"]
_BATCH = 64


class MapFigures(BaseModel, frozen=True):
    """Means over some scans; all in [0, 1].

    Attributes:
        pointing: Share of maps whose hottest point lies in the outline or at most `TOLERANCE` beside it.
        pointing_strict: The same without tolerance.
        mass: Mean share of the heat that lies inside the outline.
        dice: Mean Dice of outline and marked pixels, those above the method's threshold.
        iou: Mean intersection over union of the same.
        box: Share of maps whose region's box meets the outline's with an IoU of at least 0.5; the region is the marked
            part around the peak.
        blank: Share of scans without a map: nothing spoke for the class, or the scan was called "nothing found".
    """

    n: int
    pointing: Estimate
    pointing_strict: Estimate
    mass: Estimate
    dice: Estimate
    iou: Estimate
    box: Estimate
    blank: Estimate


class MethodLocalization(BaseModel, frozen=True):
    """Localisation metrics of one heat-map method, means over the scans.

    Attributes:
        key: As in `METHODS` or `BASELINES`.
        threshold: Share of the peak that marks a pixel.
        gain: Its pointing game less the best baseline's, scan by scan, in [-1, 1].
        classes: Scans by the key of their true class.
        sizes: Scans by the size of their tumour, see `SIZES`.
    """

    key: str
    title: str
    baseline: bool
    threshold: float
    overall: MapFigures
    gain: Estimate
    classes: dict[str, MapFigures]
    sizes: dict[str, MapFigures]


class ScanLocalization(BaseModel, frozen=True):
    """One scan under the method that findings use, with figures as in `MapFigures`.

    Attributes:
        area: The tumour's share of the picture.
    """

    name: str
    label: str
    predicted: str
    area: float
    pointing: float
    mass: float
    dice: float
    blank: bool


class Localization(BaseModel, frozen=True):
    """How well heat maps meet outlines.

    Attributes:
        target: Whose maps: those of the "predicted" class, as users see them, or of the "true" one, as most papers do.
        fitted_on: Other scans that the thresholds were chosen on, for the highest mean Dice; 0 where there were none
            with an outline, and half the peak is taken.
        best_baseline: Key of the baseline with the best pointing game.
    """

    target: Target
    n: int
    groups: int
    fitted_on: int
    best_baseline: str
    methods: list[MethodLocalization]
    scans: list[ScanLocalization]


@dataclass(frozen=True, eq=False)
class Judged:
    """Localisation metrics scan by scan: N scans, M heat-map methods.

    Attributes:
        shown: Key of the method that findings use.
        fitted_on: Scans that the methods' thresholds were chosen on.
        area: (N,) the tumour's share of the picture.
        figures: (N, M, 7) float64, see `FIGURES`.
    """

    target: Target
    methods: Sequence[str]
    shown: str
    thresholds: Sequence[float]
    fitted_on: int
    names: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str]
    predicted: Sequence[str]
    groups: Sequence[str]
    area: NDArray[np.float64]
    figures: NDArray[np.float64]


def judge_maps(
    classifier: Classifier,
    slices: Slices,
    validation: NDArray[np.intp],
    test: NDArray[np.intp],
    *,
    target: Target = "predicted",
    methods: Sequence[str] | None = None,
    curves: NDArray[np.float64] | None = None,
    listener: Listener = SILENT,
) -> Judged:
    """Judges heat maps against outlines, scan by scan; `summarize` makes a `Localization` of it, perhaps after `pool`.

    Thresholds are chosen on the scans of `validation`, which may be none, and figures are of those of `test`; scans
    without an outline are left out. `curves`, what `threshold_curves` gave for other scans, may choose the thresholds
    instead of `validation`. The maps are those of the "predicted" or the "true" class. `methods` are keys of
    `METHODS`; None takes all that work with the network.

    Raises:
        DataError: If no test scan has an outline.
    """
    entries = slices.manifest.entries
    test = _outlined(slices, test)
    if not len(test):
        raise DataError("no test scan has an outline, so heat maps cannot be held against any")
    keys = _keys(classifier, methods)
    if curves is None:
        listener.say("choosing the heat maps' thresholds")
        curves = threshold_curves(
            classifier, slices, validation, target=target, methods=methods, progress=listener.progress
        )
    rule = classifier.heat_map
    if len(curves):
        thresholds, fitted_on = THRESHOLDS[curves.mean(0).argmax(1)], len(curves)
    else:
        thresholds, fitted_on = np.array([rule.threshold if k == rule.method else THRESHOLD for k in keys]), rule.scans
    predicted, area, figures = [], [], []
    listener.say(f"holding heat maps of the {target} class against outlines")
    for best, tumour, maps in _maps(classifier, slices, test, keys, target, listener.progress):
        predicted.append(best)
        area.append(tumour.coverage.mean(dtype=np.float64))
        figures.append([judge(heat, tumour, t) for heat, t in zip(maps, thresholds, strict=True)])
    return Judged(
        target=target,
        methods=keys,
        shown=rule.method,
        thresholds=[float(t) for t in thresholds],
        fitted_on=fitted_on,
        names=[entries[i].name for i in test],
        labels=[entries[i].label for i in test],
        classes=classifier.card.classes.keys,
        predicted=predicted,
        groups=[slices.groups[i] for i in test],
        area=np.array(area),
        figures=np.array(figures),
    )


def threshold_curves(
    classifier: Classifier,
    slices: Slices,
    indices: NDArray[np.intp],
    *,
    target: Target = "predicted",
    methods: Sequence[str] | None = None,
    baselines: bool = True,
    progress: Progress = SILENT.progress,
) -> NDArray[np.float64]:
    """Dice of each scan's maps at each of `THRESHOLDS`: (scans with an outline, methods and baselines, 19)."""
    keys = _keys(classifier, methods, baselines)
    chosen = _outlined(slices, indices)
    scans = _maps(classifier, slices, chosen, keys, target, progress)
    curves = [[dice_by_threshold(heat, tumour) for heat in maps] for _, tumour, maps in scans]
    return np.array(curves, np.float64).reshape(len(chosen), len(keys), len(THRESHOLDS))


def _keys(classifier: Classifier, methods: Sequence[str] | None, baselines: bool = True) -> list[str]:
    chosen = methods_for(classifier.network) if methods is None else methods
    return [*chosen, *(BASELINES if baselines else ())]


def _outlined(slices: Slices, indices: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.array([i for i in indices if slices.manifest.entries[i].outline], np.intp)


def pool(parts: Sequence[Judged]) -> Judged:
    """Puts tables of the same methods together, such as those of all folds; thresholds become their means."""
    lists = ("names", "labels", "predicted", "groups")
    columns: dict[str, Any] = {name: [cell for p in parts for cell in getattr(p, name)] for name in lists}
    return replace(
        parts[0],
        thresholds=np.mean([p.thresholds for p in parts], axis=0).tolist(),
        fitted_on=sum(p.fitted_on for p in parts),
        area=np.concatenate([p.area for p in parts]),
        figures=np.concatenate([p.figures for p in parts]),
        **columns,
    )


def summarize(judged: Judged) -> Localization:
    """Means and intervals of a table, overall, by class and by size."""
    groups, labels = np.array(judged.groups), np.array(judged.labels)
    pointing = judged.figures[:, :, FIGURES.index("pointing")]
    rivals = [m for m, key in enumerate(judged.methods) if key in BASELINES]
    best = max(rivals, key=lambda m: pointing[:, m].mean())
    by_class = {key: labels == key for key in judged.classes if key in judged.labels}
    by_size = {name: (judged.area >= low) & (judged.area < high) for name, (low, high) in SIZES.items()}

    def figures(method: int, rows: NDArray[np.bool_]) -> MapFigures:
        means = estimate_means(judged.figures[rows, method], groups[rows])
        return MapFigures(n=int(rows.sum()), **dict(zip(FIGURES, means, strict=True)))

    measured = []
    for m, key in enumerate(judged.methods):
        (gain,) = estimate_means((pointing[:, m] - pointing[:, best])[:, None], groups)
        measured.append(
            MethodLocalization(
                key=key,
                title=title_of(key),
                baseline=key in BASELINES,
                threshold=judged.thresholds[m],
                overall=figures(m, np.ones(len(labels), bool)),
                gain=gain,
                classes={name: figures(m, rows) for name, rows in by_class.items()},
                sizes={name: figures(m, rows) for name, rows in by_size.items() if rows.any()},
            )
        )
    return Localization(
        target=judged.target,
        n=len(labels),
        groups=len(set(judged.groups)),
        fitted_on=judged.fitted_on,
        best_baseline=judged.methods[best],
        methods=measured,
        scans=_scans(judged),
    )


def title_of(key: str) -> str:
    """What people call a method or baseline."""
    return METHODS[key].title if key in METHODS else BASELINES[key].title


def _scans(judged: Judged) -> list[ScanLocalization]:
    if judged.shown not in judged.methods:
        return []
    figures = judged.figures[:, list(judged.methods).index(judged.shown)].tolist()
    table = zip(judged.names, judged.labels, judged.predicted, judged.area.tolist(), figures, strict=True)
    return [
        ScanLocalization(name=name, label=label, predicted=predicted, area=area, **dict(zip(FIGURES, row, strict=True)))
        for name, label, predicted, area, row in table
    ]


def _maps(
    classifier: Classifier,
    slices: Slices,
    indices: NDArray[np.intp],
    keys: Sequence[str],
    target: Target,
    progress: Progress,
) -> Iterator[tuple[str, Tumour, list[NDArray[np.float32]]]]:
    """Each scan's predicted class, its tumour, and its maps on its own grid in the order of the keys."""
    classes, restore = classifier.card.classes, classifier.preprocessing.restore
    methods = [key for key in keys if key in METHODS]
    for start in range(0, len(indices), _BATCH):
        batch = indices[start : start + _BATCH]
        images = torch.from_numpy(slices.images[batch]).to(classifier.eager.device)
        wanted = torch.from_numpy(slices.labels[batch]) if target == "true" else None
        explained = explain(classifier.network, images, wanted, methods, bias=classifier.card.biases)
        heat = {key: h.cpu().numpy() for key, h in explained.heat.items()}
        for row, (index, best) in enumerate(zip(batch, explained.logits.argmax(1).tolist(), strict=True)):
            entry = slices.manifest.entries[index]
            scan = read_scan(entry)
            assert entry.outline is not None
            hidden = target == "predicted" and classes[best].nothing
            maps = [
                restore(heat[key][row] * (not hidden), scan) if key in METHODS else BASELINES[key].draw(scan)
                for key in keys
            ]
            progress(start + row + 1, len(indices))
            yield classes[best].key, Tumour.of(entry.outline, scan.height, scan.width), maps
