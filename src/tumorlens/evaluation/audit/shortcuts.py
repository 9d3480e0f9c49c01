"""What gives a label away without the tumour: the border of the picture, and its intensities wherever they lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tumorlens.data.split import make_folds
from tumorlens.evaluation.audit.findings import Shortcut
from tumorlens.evaluation.audit.pictures import COARSE, Pictures

MOST = 4000
"""Pictures the classifiers learn from and are tested on; more change the figures little."""

_FOLDS = 5
_RING = 2  # pixels of the coarse thumbnail: a sixteenth of the picture's edge on each side


def find_shortcuts(
    pictures: Pictures,
    chosen: NDArray[np.intp],
    labels: Sequence[str],
    groups: NDArray[np.intp],
    folds: NDArray[np.intp] | None,
    seed: int,
) -> tuple[Shortcut, ...]:
    """How well labels can be told from the border alone, and from the intensity histogram alone.

    Extremely randomised trees (Geurts et al., Machine Learning 2006) are tested by five-fold cross-validation.

    `chosen` are (M,) pictures, one of each duplicate group. `labels`, `groups`, which stay in one fold, and `folds` are
    of all N pictures; the table's own folds may know of patients and series, and None makes some of the groups.

    Returns:
        Two shortcuts; none if fewer than two classes have five groups.
    """
    truth = np.array([labels[i] for i in chosen])
    enough = [c for c in sorted(set(truth.tolist())) if len(np.unique(groups[chosen[truth == c]])) >= _FOLDS]
    if len(enough) < 2:
        return ()
    kept = np.isin(truth, enough)
    chosen, truth = chosen[kept], truth[kept]
    if len(chosen) > MOST:
        drawn = np.sort(np.random.default_rng(seed).choice(len(chosen), MOST, replace=False))
        if all(len(np.unique(groups[chosen[drawn][truth[drawn] == c]])) >= _FOLDS for c in enough):
            chosen, truth = chosen[drawn], truth[drawn]
    ring = np.ones((COARSE, COARSE), bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    border = pictures.column("grey", chosen)[:, ring].astype(np.float32)
    histogram = pictures.column("histogram", chosen).astype(np.float32)
    fold = make_folds(truth, groups[chosen], _FOLDS, seed) if folds is None else folds[chosen]
    return (
        _measure("border", border, truth, fold, seed),
        _measure("histogram", histogram, truth, fold, seed),
    )


def _measure(
    name: str, features: NDArray[np.float32], truth: NDArray[np.str_], fold: NDArray[np.intp], seed: int
) -> Shortcut:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    classes = np.unique(truth)
    probabilities = np.zeros((len(truth), len(classes)))
    for number in np.unique(fold):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        model = ExtraTreesClassifier(100, min_samples_leaf=2, class_weight="balanced", random_state=seed)
        model.fit(features[train], truth[train])
        # Folds may leave a rare class out of a training part.
        probabilities[np.ix_(test, np.searchsorted(classes, model.classes_))] = model.predict_proba(features[test])
    score = balanced_accuracy_score(truth, classes[probabilities.argmax(1)])
    areas = {str(c): float(roc_auc_score(truth == c, probabilities[:, k])) for k, c in enumerate(classes)}
    return Shortcut(name=name, pictures=len(truth), balanced_accuracy=float(score), chance=1 / len(classes), auc=areas)
