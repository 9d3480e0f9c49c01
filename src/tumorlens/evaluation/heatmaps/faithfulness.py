"""Whether heat maps say something about the network, measured without any outline.

A map can lie on the tumour and still have nothing to do with what the network computed, as a picture of the bright
spots would. So the scan is changed where the map says it matters, the network is changed, and small changes are made
that should not matter; each time one figure says what became of the class's probability or of the map.

References:
    Petsiuk, Das and Saenko, RISE: Randomized input sampling for explanation, BMVC 2018.
    Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018.
    Alvarez-Melis and Jaakkola, On the robustness of interpretability methods, ICML workshop WHI 2018.
    Crabbé and van der Schaar, Evaluating the robustness of interpretability methods through explanation invariance
    and equivariance, NeurIPS 2023.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

from tumorlens.classifier import Classifier
from tumorlens.evaluation.heatmaps.perturb import (
    NOISE,
    SHIFT,
    add_noise,
    align,
    corner_shifts,
    correlate,
    displacement,
    insert_and_delete,
    move,
    randomize,
)
from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate
from tumorlens.explain.cam import METHODS, explain, methods_for
from tumorlens.listener import SILENT, Listener, counted
from tumorlens.model import Network

SAMPLE = 200
"""Scans that are measured, drawn at random."""

SIMILAR = 0.5
"""Rank correlation that divides maps that resemble each other from those that do not. There is no standard value."""

PEAK_JUMPS = 0.1
"""Share of the width by which a peak may move; ours, too."""

_REPEATS = 3  # seeds of each randomised network, and of the noise
_BATCH = 64


@dataclass(frozen=True)
class FaithfulnessMetric:
    """Definition of a faithfulness metric: what it measures, which way is better, when it is failed.

    Attributes:
        flag: What is wrong with a method that fails it.
    """

    title: str
    better: Literal["higher", "lower"]
    meaning: str
    flag: str
    reference: str


CHECKS: dict[str, FaithfulnessMetric] = {
    "insertion": FaithfulnessMetric(
        "insertion",
        "higher",
        "Mean probability of the class while a blurred scan gets its pixels back, the hottest first.",
        "no better than a random map",
        "Petsiuk et al. 2018",
    ),
    "deletion": FaithfulnessMetric(
        "deletion",
        "lower",
        "Mean probability of the class while the scan's pixels are blackened, the hottest first.",
        "no better than a random map",
        "Petsiuk et al. 2018",
    ),
    "random_head": FaithfulnessMetric(
        "head randomised",
        "lower",
        "Rank correlation with the map of a network whose layers after the last convolution know nothing.",
        "the map survives",
        "Adebayo et al. 2018",
    ),
    "random_network": FaithfulnessMetric(
        "network randomised",
        "lower",
        "Rank correlation with the map of a network that knows nothing at all.",
        "the map survives",
        "Adebayo et al. 2018",
    ),
    "noise": FaithfulnessMetric(
        "noise",
        "higher",
        f"Rank correlation with the map of the scan under faint noise (σ = {NOISE:.0%} of the grey scale).",
        "another map",
        "Alvarez-Melis and Jaakkola 2018",
    ),
    "shift": FaithfulnessMetric(
        "shift",
        "higher",
        f"Rank correlation with the map of the scan moved aslant by {SHIFT:.0%} of its width, moved back.",
        "another map",
        "Crabbé and van der Schaar 2023",
    ),
    "shift_peak": FaithfulnessMetric(
        "peak after shift",
        "lower",
        "How far the hottest point of that map lies from the map's own, as a share of the width.",
        "the peak jumps",
        "Crabbé and van der Schaar 2023",
    ),
    "mirror": FaithfulnessMetric(
        "mirror",
        "higher",
        "Rank correlation with the map of the mirrored scan, mirrored back.",
        "another map",
        "Crabbé and van der Schaar 2023",
    ),
}
"""Every check by its key."""

_AGAINST_CHANCE = ("insertion", "deletion")


class MethodFaithfulness(BaseModel, frozen=True):
    """Faithfulness metrics of one heat-map method.

    Attributes:
        figures: Mean of each check over the scans, by its key; no value where all maps are blank.
        flags: For each check it fails, what is wrong.
    """

    key: str
    title: str
    figures: dict[str, Estimate]
    flags: dict[str, str]


class Faithfulness(BaseModel, frozen=True):
    """What the checks found, for the maps of the predicted class.

    Attributes:
        seed: Seed of the sample and of all that is random in the checks.
        random_map: Insertion and deletion by a random map of the same fineness, which the methods are held against.
        random_pixels: The same with every pixel by itself, as some papers do. Single black pixels all over a scan look
            like nothing the network ever saw, so this deletes more than most maps do, and the verdict would differ.
    """

    n: int
    groups: int
    seed: int
    random_map: dict[str, Estimate]
    random_pixels: dict[str, Estimate]
    methods: list[MethodFaithfulness]


def measure_faithfulness(
    classifier: Classifier,
    images: NDArray[np.float32],
    groups: Sequence[str],
    *,
    methods: Sequence[str] | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    listener: Listener = SILENT,
) -> Faithfulness:
    """Runs every check on a sample of scans.

    Where a map is blank it ranks no pixel before another, so insertion and deletion take a random map; the other
    checks leave it out. A map that turns blank when it is made anew has correlation 0 with itself before.

    `images` are (N, C, S, S) float32 in [0, 1] by the classifier's own rule, `groups` what each belongs to; at most
    `sample` of them are measured. `methods` are keys of `METHODS`; None takes all that work with the network. The seed
    is that of the sample, the noise and the randomised networks.
    """
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(images))[:sample])
    keys = methods_for(classifier.network) if methods is None else list(methods)
    scans = torch.from_numpy(np.ascontiguousarray(images[drawn]))
    network = classifier.network
    target = torch.from_numpy(classifier.probabilities(images[drawn]).argmax(1))

    def maps(of: Network, changed: Tensor) -> dict[str, NDArray[np.float32]]:
        return _maps(of, changed, target, keys, classifier.eager.device)

    original = maps(network, scans)
    listener.say("checking heat maps: noise, shifts, mirror")
    figures: dict[str, dict[str, NDArray[np.float64]]] = {key: {} for key in keys}
    noisy = [maps(network, add_noise(scans, [seed, i])) for i in counted(range(_REPEATS), listener.progress)]
    mirrored = maps(network, scans.flip(3))
    shifts = corner_shifts(scans.shape[3])
    moved = [maps(network, move(scans, *shift)) for shift in counted(shifts, listener.progress)]
    for key in keys:
        before = original[key]
        figures[key]["noise"] = _mean([correlate(before, n[key]) for n in noisy])
        figures[key]["mirror"] = correlate(before, mirrored[key][..., ::-1])
        pairs = [align(before, m[key], *shift, scans.shape[3]) for m, shift in zip(moved, shifts, strict=True)]
        figures[key]["shift"] = _mean([correlate(a, b) for a, b in pairs])
        figures[key]["shift_peak"] = _mean([displacement(a, b, scans.shape[3]) for a, b in pairs])
    listener.say("checking heat maps: randomised networks")
    for check, parts in (("random_head", ("head",)), ("random_network", ("features", "head"))):
        repeats = counted(range(_REPEATS), listener.progress)
        after = [maps(randomize(network, parts, seed + i), scans) for i in repeats]
        for key in keys:
            figures[key][check] = _mean([correlate(original[key], a[key]) for a in after])
    listener.say("checking heat maps: pixels in and out")
    fineness = original[keys[0]].shape[1:]
    random_map = insert_and_delete(classifier, scans, None, target, fineness, seed)
    random_pixels = insert_and_delete(classifier, scans, None, target, scans.shape[2:], seed)
    for key in counted(keys, listener.progress):
        figures[key].update(insert_and_delete(classifier, scans, original[key], target, fineness, seed))
    chosen = [groups[i] for i in drawn]
    return Faithfulness(
        n=len(drawn),
        groups=len(set(chosen)),
        seed=seed,
        random_map=_estimates(random_map, chosen),
        random_pixels=_estimates(random_pixels, chosen),
        methods=[
            MethodFaithfulness(
                key=key,
                title=METHODS[key].title,
                figures=_estimates({check: figures[key][check] for check in CHECKS}, chosen),
                flags=_flags(figures[key], random_map, chosen),
            )
            for key in keys
        ],
    )


def _maps(
    network: Network, images: Tensor, target: Tensor, keys: Sequence[str], device: torch.device
) -> dict[str, NDArray[np.float32]]:
    """Heat maps of all scans, at the network's own resolution."""
    parts = [
        explain(network, images[i : i + _BATCH].to(device), target[i : i + _BATCH], keys).heat
        for i in range(0, len(images), _BATCH)
    ]
    return {key: np.concatenate([part[key].cpu().numpy() for part in parts]) for key in keys}


def _mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of several measurements of the same scans, without those that are NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a scan whose measurements all are NaN has no mean
        mean: NDArray[np.float64] = np.nanmean(np.stack(values), 0)
    return mean


def _estimates(values: Mapping[str, NDArray[np.float64]], groups: Sequence[str]) -> dict[str, Estimate]:
    return dict(zip(values, estimate_means(np.column_stack(list(values.values())), groups), strict=True))


def _flags(
    figures: Mapping[str, NDArray[np.float64]], random_map: Mapping[str, NDArray[np.float64]], groups: Sequence[str]
) -> dict[str, str]:
    """What is wrong, by check.

    Insertion and deletion must differ from a random map, scan by scan, with the whole interval; the others are held
    against `SIMILAR`, and the peak against a tenth of the width.
    """
    flags = {}
    for key, check in CHECKS.items():
        sign = 1 if check.better == "higher" else -1
        values = figures[key]
        if not np.isfinite(values).any():
            continue
        if key in _AGAINST_CHANCE:
            (gain,) = estimate_means(sign * (values - random_map[key])[:, None], groups)
            failed = (gain.low if gain.low is not None else gain.value or 0.0) <= 0
        else:
            limit = PEAK_JUMPS if key == "shift_peak" else SIMILAR
            failed = sign * (float(np.nanmean(values)) - limit) < 0
        if failed:
            flags[key] = check.flag
    return flags
