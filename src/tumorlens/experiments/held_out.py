"""Everything that is fitted after a training, on scans that trained nothing: temperature, sets, gate, heat map's edge.

The scans are either a run's own validation part, or out-of-fold ones: each of them predicted by the network of the
fold that was trained without it. Out-of-fold predictions cost no training scan, and they come from other patients or
series as far as the folds keep these apart; what is fitted on them serves every network of the same recipe, the one
that was trained on all folds too (stacked generalisation uses them the same way).

References:
    Wolpert, Stacked generalization, Neural Networks 5, 1992.
    Barber et al., Predictive inference with the jackknife+, Annals of Statistics 49, 2021 (sets by cross-validation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tumorlens.card import Calibration, HeatMapRule, WeightsCard
from tumorlens.classifier import Classifier
from tumorlens.data.augment import without_some
from tumorlens.data.counterfactuals import make_twins
from tumorlens.data.loader import Slices
from tumorlens.evaluation.calibration import COVERAGE, Scaling, fit_set_thresholds
from tumorlens.evaluation.heatmaps.judge import THRESHOLDS
from tumorlens.evaluation.heatmaps.localization import threshold_curves
from tumorlens.model.gate import ACCEPTED, Gate, measure_checks
from tumorlens.strangeness import Kind

HeldFrom = Literal["validation", "out-of-fold"]

_MISSING = 0.25  # how often each of several sequences is, where the gate learns and is measured; as in training


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out predictions: answers of networks of one recipe to N scans that trained none of them.

    Attributes:
        labels: (N,) int64 class indices.
        probabilities: (N, classes) float64, of the network as it was trained.
        twins: (M, classes) float64, the same of tumour-free twins that could be made of these scans, if a class means
            that nothing was found.
        distances: (N, 2) float64, see `Gate.distances`; of the gate without a limit.
        checks: (N, 16) float64, see `tumorlens.model.gate.checks`.
        curves: (scans with an outline, 19) float64: Dice of the heat map findings carry at each of `THRESHOLDS`.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    twins: NDArray[np.float64]
    distances: NDArray[np.float64]
    checks: NDArray[np.float64]
    curves: NDArray[np.float64]

    @classmethod
    def pool(cls, parts: Sequence[HeldOut]) -> HeldOut:
        """Held-out predictions of several networks, such as those of all folds, in one table."""
        columns = ("labels", "probabilities", "twins", "distances", "checks", "curves")
        return cls(*(np.concatenate([getattr(p, column) for p in parts]) for column in columns))


def learn_gate(classifier: Classifier, slices: Slices, training: NDArray[np.intp]) -> Gate:
    """The gate of a network, without a limit, from the scans that trained it."""
    images = _as_they_come(classifier, slices.images[training])
    return Gate.learn(images, classifier.pool(images))


def hold_out(classifier: Classifier, gate: Gate, slices: Slices, held: NDArray[np.intp]) -> HeldOut:
    """What a network says of scans it was not trained on.

    `gate` is the network's own, without a limit; `held` are the slices that trained it not.
    """
    images = slices.images[held]
    seen = _as_they_come(classifier, images)
    scaling = Scaling.of_card(classifier.card)
    twins = _twins(classifier, slices.pick(held))
    method = classifier.heat_map.method
    return HeldOut(
        labels=slices.labels[held],
        probabilities=scaling.undo(classifier.probabilities(images)),
        twins=scaling.undo(classifier.probabilities(twins))
        if len(twins)
        else np.empty((0, len(classifier.card.classes))),
        distances=gate.distances(seen, classifier.pool(seen)),
        checks=measure_checks(seen),
        curves=threshold_curves(classifier, slices, held, methods=[method], baselines=False)[:, 0],
    )


def _as_they_come(classifier: Classifier, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scans as people will give them: of several sequences some may be missing, and that alone is not strange."""
    if len(classifier.preprocessing.sequences) < 2:
        return images
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lacking: NDArray[np.float32] = without_some(torch.from_numpy(images), _MISSING).numpy()
    return lacking


def _twins(classifier: Classifier, part: Slices) -> NDArray[np.float32]:
    """Tumour-free twins of outlined scans, (M, 1, S, S) float32 in [0, 1]; none where no class means nothing found."""
    if part.coverage is None or part.images.shape[1] != 1 or not any(c.nothing for c in classifier.card.classes):
        return np.empty((0, *part.images.shape[1:]), np.float32)
    made = make_twins(part.images[:, 0], part.coverage, part.groups)
    return made.images[:, None].astype(np.float32) / np.float32(255)


def fit_card(
    card: WeightsCard, held: HeldOut, method: str, source: HeldFrom, kinds: tuple[Kind, ...] = ()
) -> WeightsCard:
    """The card with temperature, set thresholds and the heat map's threshold fitted on scans held out.

    `method` is the key of the heat map that findings carry, `source` says which scans these are, and `kinds` is what
    the gate recognises by name.

    Raises:
        DataError: If there are no scans.
    """
    keys = card.classes.keys
    scaling = _fit_scaling(held, [i for i, c in enumerate(card.classes) if c.nothing])
    # Both on the same scans: a few numbers fitted on hundreds of them leave the thresholds' promise as good as whole.
    thresholds = fit_set_thresholds(scaling.apply(held.probabilities), held.labels)
    calibration = Calibration(
        scans=dict(zip(keys, np.bincount(held.labels, minlength=len(keys)).tolist(), strict=True)),
        fitted_on=source,
        coverage=COVERAGE,
        set_thresholds=dict(zip(keys, thresholds, strict=True)),
        accepted=ACCEPTED,
        kinds=kinds,
    )
    rule = HeatMapRule(method=method)
    if len(held.curves):
        best = float(THRESHOLDS[held.curves.mean(0).argmax()])
        rule = HeatMapRule(method=method, threshold=best, scans=len(held.curves))
    bias = dict(zip(keys, scaling.bias, strict=True))
    fitted = {"temperature": scaling.temperature, "bias": bias, "calibration": calibration, "heat_map": rule}
    return card.model_copy(update=fitted)


def _fit_scaling(held: HeldOut, nothing: Sequence[int]) -> Scaling:
    """Temperature and bias, on the scans and on as many twins as make "nothing found" as frequent as the other classes.

    A benchmark of tumours has few tumour-free scans, and those come from elsewhere; asked of them alone, calibration
    would call every twin, and most slices of a whole study, a tumour.
    """
    logits, labels, weights = np.log(held.probabilities), held.labels, np.ones(len(held.labels))
    if twins := len(held.twins):
        empty = np.isin(labels, nothing)
        others = len(set(labels[~empty].tolist()))
        lacking = (~empty).sum() / max(1, others) - empty.sum()
        logits = np.concatenate([logits, np.log(held.twins)])
        labels = np.concatenate([labels, np.full(twins, nothing[0])])
        weights = np.concatenate([weights, np.full(twins, np.clip(lacking / twins, 0, 1))])
    return Scaling.fit(logits, labels, weights)
