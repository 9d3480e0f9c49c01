"""Training, validation and test parts that share no patient, series or duplicate, as far as those are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.data.manifest import Entry
from tumorlens.errors import DataError, needs_extra

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Split:
    """Which scans train, which stop the training early, and which are kept for the test.

    Attributes:
        validation: Indices of the scans that choose the epoch. They come out of the training part, and may be none.
        test: Indices of the scans nothing was chosen on.
    """

    train: Indices
    validation: Indices
    test: Indices

    @property
    def parts(self) -> dict[str, Indices]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def split_randomly(
    labels: NDArray[np.int64], groups: Sequence[str], *, test: float = 0.2, validation: float = 0.1, seed: int = 0
) -> Split:
    """Splits stratified by class, groups kept whole.

    `labels` are (N,) class indices, `groups` N names; a name of its own for each scan splits scan by scan. `test` is a
    share of all scans, above 0 to 0.5, exact scan by scan, the nearest 1/k with groups; `validation` is a share of the
    training part, and 0 takes none.

    Raises:
        DataError: If a class has too few scans or groups to be in every part.
    """
    everything = np.arange(len(labels))
    _, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    rest, held = _divide(everything, labels, codes, test, seed)
    return split_training(labels, codes, rest, held, validation=validation, seed=seed)


def split_training(
    labels: NDArray[np.int64],
    groups: Sequence[str] | NDArray[np.intp],
    training: Indices,
    test: Indices,
    *,
    validation: float = 0.1,
    seed: int = 0,
) -> Split:
    """Takes the validation part out of a given training part, stratified, groups kept whole; a share of 0 takes none.

    Raises:
        DataError: If a part is empty, a class is tested only, or a class has too few scans or groups.
    """
    if not len(training) or not len(test):
        raise DataError(
            f"the split leaves {len(training)} scans for training and {len(test)} for the test; choose another --split"
        )
    if not set(labels[test].tolist()) <= set(labels[training].tolist()):
        raise DataError("the test part has a class that the training part lacks; choose another --split")
    if not validation:
        return Split(np.sort(training), np.array([], np.intp), np.sort(test))
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    train, held = _divide(training, labels, codes, validation, seed)
    return Split(np.sort(train), np.sort(held), np.sort(test))


def make_folds(labels: NDArray[Any], groups: Sequence[str] | NDArray[Any], count: int, seed: int = 0) -> Indices:
    """Number of each scan's fold, (N,) from 0: folds stratified by class, groups kept whole.

    Raises:
        ValueError: If no class has so many scans.
    """
    with needs_extra("making folds", "train"):
        from sklearn.model_selection import StratifiedGroupKFold

    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    folds = np.empty(len(labels), np.intp)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for number, (_, held) in enumerate(splitter.split(codes, labels, codes)):
        folds[held] = number
    return folds


def in_test_part(entry: Entry, split: str) -> bool:
    """Whether a scan belongs to the test part of a "publisher" or "fold:K" split."""
    if split == "publisher":
        return entry.split == "testing"
    return entry.fold is not None and split == f"fold:{entry.fold}"


def shared_groups(groups: Sequence[str], split: Split) -> float:
    """Share of the test scans whose group also stands in the training or validation part, 0 to 1."""
    seen = {groups[i] for i in (*split.train, *split.validation)}
    return sum(groups[i] in seen for i in split.test) / max(1, len(split.test))


def _divide(
    pool: Indices, labels: NDArray[np.int64], codes: NDArray[np.intp], share: float, seed: int
) -> tuple[Indices, Indices]:
    """Holds back about `share` of the pool: (the rest, what is held back)."""
    with needs_extra("splitting a data set", "train"):
        from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    if not 0 < share <= 0.5:
        raise DataError(f"a part of {share:g} of the scans is no split; choose more than 0 and at most 0.5")
    y, g = labels[pool], codes[pool]
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise DataError("all scans are of one class; add scans of another one to train on")
    if min(len(np.unique(g[y == label])) for label in classes) < 2:
        raise DataError(
            "a class has a single scan, patient, series or duplicate group here, and every part needs its own; add "
            "scans of it, or leave it out"
        )
    if len(np.unique(g)) == len(pool):
        try:
            rest, held = train_test_split(pool, test_size=share, stratify=y, random_state=seed)
        except ValueError as error:
            raise DataError(f"too few scans to split; add some ({error})") from error
        return rest, held
    # Few groups can leave a class out of a part; then another fold is held back, and at last a greater one.
    for folds in range(min(round(1 / share), counts.min(), len(np.unique(g))), 1, -1):
        for rest, held in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(pool, y, g):
            if len(np.unique(y[rest])) == len(np.unique(y[held])) == len(classes):
                return pool[rest], pool[held]
    raise DataError("no split keeps groups whole and has every class in every part; add patients or series")
