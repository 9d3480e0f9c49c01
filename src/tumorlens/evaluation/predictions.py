"""A table of what a network said about scans whose class is known."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.classes import ClassSet
from tumorlens.errors import DataError
from tumorlens.evaluation.frames import frame_of
from tumorlens.files import write_table

_SUM_TOLERANCE = 1e-3  # a softmax in half precision is this far off
_PROBABILITY = "p_"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network said about N scans, and what they are.

    Attributes:
        classes: The C classes the network tells apart.
        truth: (N,) int64, each scan's class as an index into `classes`.
        probabilities: (N, C) float64 in [0, 1], rows sum to 1 (to 0.001); float32 is accepted and widened.
        names: Each scan's path relative to the data root; no two are equal, since a scan counts once.
        groups: (N,) str, the unit that is resampled for intervals: patient, series or duplicate group. None, or an
            empty string for a scan, makes that scan its own group.
        extra: More columns by name, such as "fold" and "source", N strings each.

    Raises:
        DataError: If a column has another length than the others, or values outside its range.
    """

    classes: ClassSet
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    names: Sequence[str]
    groups: NDArray[np.str_] = None  # type: ignore[assignment]  # __post_init__ fills it
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        truth = np.array(self.truth)
        probabilities = np.array(self.probabilities, np.float64)
        names = tuple(map(str, self.names))
        _check_truth(truth, len(self.classes))
        _check_probabilities(probabilities, (len(truth), len(self.classes)))
        for name, column in {"names": names, **self.extra}.items():
            if len(column) != len(truth):
                raise DataError(
                    f"the column {name!r} has {len(column)} entries for {len(truth)} scans; give one per scan"
                )
        if len(set(names)) != len(names):
            raise DataError("two predictions are for the same scan; keep one row per scan")
        if taken := set(self.extra) & set(_columns(self.classes)):
            raise DataError(f"an extra column may not be called {sorted(taken)[0]!r}; rename it")
        groups = np.array(names) if self.groups is None else np.array(self.groups, dtype=str)
        if groups.shape != truth.shape:
            raise DataError(f"there are {groups.size} groups for {len(truth)} scans; give one per scan")
        groups = np.where(groups == "", np.array(names), groups)

        values: dict[str, Any] = {"truth": truth.astype(np.int64), "probabilities": probabilities, "groups": groups}
        for array in values.values():
            array.setflags(write=False)
        values["names"] = names
        values["extra"] = {key: tuple(map(str, column)) for key, column in self.extra.items()}
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the way a frozen dataclass normalises what it was given

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) int64, the most probable class; the first of equally probable ones."""
        classes: NDArray[np.int64] = self.probabilities.argmax(1).astype(np.int64)
        return classes

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(N,) float64 in [1/C, 1], the probability of the predicted class."""
        greatest: NDArray[np.float64] = self.probabilities.max(1)
        return greatest

    def pick(self, rows: NDArray[np.intp]) -> Predictions:
        """Some of the rows."""
        return replace(
            self,
            truth=self.truth[rows],
            probabilities=self.probabilities[rows],
            names=[self.names[i] for i in rows],
            groups=self.groups[rows],
            extra={name: [column[i] for i in rows] for name, column in self.extra.items()},
        )

    def write_csv(self, path: str | Path) -> None:
        """Writes the table: path, group, label, predicted, p_<key> for each class, then the extra columns.

        Probabilities are written in full, so that reading them back gives the same numbers.

        Raises:
            OSError: If the file cannot be written.
        """
        labels, predicted = (np.array(self.classes.keys)[indices] for indices in (self.truth, self.predicted))
        probabilities = [map(repr, column) for column in self.probabilities.T.tolist()]
        columns = (self.names, self.groups, labels, predicted, *probabilities, *self.extra.values())
        write_table(Path(path), [*_columns(self.classes), *self.extra], zip(*columns, strict=True))

    def to_frame(self) -> Any:
        """The table as a `pandas.DataFrame`, a row a scan by its path, with the columns of `write_csv`.

        Raises:
            MissingExtra: If pandas is not installed.
        """
        keys = self.classes.keys
        names = [_PROBABILITY + key for key in keys]
        columns = zip(self.names, self.groups, self.truth, self.predicted, self.probabilities.tolist(), strict=True)
        rows = {
            name: {
                "group": str(group),
                "label": keys[truth],
                "predicted": keys[called],
                **dict(zip(names, p, strict=True)),
            }
            for name, group, truth, called, p in columns
        }
        for name, column in self.extra.items():
            for row, cell in zip(rows.values(), column, strict=True):
                row[name] = cell
        return frame_of(rows, "path")

    @classmethod
    def read_csv(cls, path: str | Path, classes: ClassSet) -> Predictions:
        """Reads what `write_csv` wrote. The "predicted" column is not read: it follows from the probabilities.

        Raises:
            DataError: If the file cannot be read, lacks a column, or names a class that `classes` has not.
        """
        try:
            with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                rows = list(reader)
                present = list(reader.fieldnames or ())
        except (OSError, csv.Error) as error:
            raise DataError(f"{path}: not a readable table; write it with Predictions.write_csv") from error
        columns = _columns(classes)
        if missing := [name for name in columns if name not in present and name != "predicted"]:
            raise DataError(f"{path}: there is no column {missing[0]!r}; was it written for other classes?")
        if any(None in row or None in row.values() for row in rows):
            raise DataError(f"{path}: a row has more or fewer cells than the header; is the file whole?")
        labels = [classes.match(row["label"]) for row in rows]
        if None in labels:
            raise DataError(f"{path}: line {labels.index(None) + 2} has a label that is none of the classes")
        try:
            probabilities = [[float(row[_PROBABILITY + key]) for key in classes.keys] for row in rows]
        except ValueError as error:
            raise DataError(f"{path}: a probability is not a number; write the table again") from error
        return cls(
            classes=classes,
            truth=np.array(labels, np.int64),
            probabilities=np.array(probabilities, np.float64).reshape(len(rows), len(classes)),
            names=[row["path"] for row in rows],
            groups=np.array([row["group"] for row in rows], dtype=str),
            extra={name: [row[name] for row in rows] for name in present if name not in columns},
        )


def _columns(classes: ClassSet) -> list[str]:
    return ["path", "group", "label", "predicted", *(_PROBABILITY + key for key in classes.keys)]


def _check_truth(truth: NDArray[np.integer], classes: int) -> None:
    if truth.ndim != 1 or len(truth) == 0:
        raise DataError(f"predictions need a true class for one scan at least, not an array of shape {truth.shape}")
    if not np.issubdtype(truth.dtype, np.integer):
        raise DataError(f"true classes must be integers, not {truth.dtype}; give indices into the class set")
    if truth.min() < 0 or truth.max() >= classes:
        raise DataError(f"a true class lies outside 0…{classes - 1}; give indices into the class set")


def _check_probabilities(probabilities: NDArray[np.float64], shape: tuple[int, int]) -> None:
    if probabilities.shape != shape:
        raise DataError(f"probabilities must have shape {shape} (scans, classes), not {probabilities.shape}")
    if not np.isfinite(probabilities).all() or probabilities.min() < 0:
        raise DataError("a probability is negative or not a number; did the training diverge?")
    if np.abs(probabilities.sum(1) - 1).max() > _SUM_TOLERANCE:
        raise DataError("the probabilities of a scan do not sum to 1; pass a softmax, not logits")
