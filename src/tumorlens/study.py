"""Finding of a study, aggregated from those of its slices: the most suspicious neighbours decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from tumorlens.classes import ClassSet
from tumorlens.finding import Finding, FindingRecord

EXTENT = 30.0
"""Millimetres of slices in a row that decide together: a tumour is seen in neighbours, a slip of the network in fewer.
benchmarks/study.py compares it with others, and with other rules; docs/dicom-results.md has the table."""

NEIGHBOURS = 4
"""Slices in a row that decide together where nobody knows how far apart they are."""


class StudyFinding(BaseModel):
    """Prediction for a study. Its probabilities are means, and not calibrated for studies.

    Attributes:
        label: Key of the most probable class; None where every slice is unknown.
        probabilities: By key, the mean over the key slices of each series, then over the series; they sum to 1. Empty
            where every slice is unknown.
        key_slices: Places of the slices that decided, in order: of each series, neighbours that together are the most
            probable to show something; the more, the thinner they are. Where every slice is unknown, nothing decided:
            they are those in the middle.
        counts: Slices by their own most probable class, unknown ones left out.
        unknown: Whether every slice is unlike those of the training.
        unknown_slices: How many are.
        slices: How many there are.
    """

    model_config = ConfigDict(frozen=True)
    label: str | None
    probabilities: dict[str, float]
    key_slices: tuple[int, ...]
    counts: dict[str, int]
    unknown: bool
    unknown_slices: int
    slices: int

    @property
    def confidence(self) -> float | None:
        """Probability of the most probable class, 0 to 1; None where every slice is unknown."""
        return None if self.label is None else self.probabilities[self.label]


def find_in_study(
    findings: Sequence[Finding | FindingRecord],
    classes: ClassSet,
    series: Sequence[object] | None = None,
    positions: Sequence[float | None] | None = None,
) -> StudyFinding:
    """Puts the findings of slices together.

    Slices unlike the training's are left out. Of as many slices in a row as cover `EXTENT`, the mean probabilities are
    taken; the row that is the most probable to show anything at all speaks for its series, and the mean over the
    series for the study. A series that is too short for a row, as a localiser's are, counts only where all are.

    Args:
        findings: Of the slices, each series' in the order they lie in the head.
        classes: The classes of the weights that made them.
        series: To which series each belongs, neighbours being neighbours only within one; None for all to the same.
        positions: Where each lies across its series' planes, in mm; None, in all or for one, where nobody knows. Rows
            of a series that has none are `NEIGHBOURS` long.

    Raises:
        ValueError: If there are no findings.
    """
    if not findings:
        raise ValueError("a study without slices has no finding")
    left = [i for i, finding in enumerate(findings) if not finding.unknown]
    counts = Counter(f.label for f in findings)
    common: dict[str, Any] = {
        "counts": {key: counts[key] for key in classes.keys},
        "unknown": not left,
        "unknown_slices": len(findings) - len(left),
        "slices": len(findings),
    }
    if not left:
        middle = range(len(findings))[max(0, (len(findings) - NEIGHBOURS) // 2) :][:NEIGHBOURS]
        return StudyFinding(label=None, probabilities={}, key_slices=tuple(middle), **common)
    groups = list(series) if series is not None else [None] * len(findings)
    p = np.array([[f.probabilities.get(key, 0.0) for key in classes.keys] for f in findings])
    something = p @ np.array([not c.nothing for c in classes], float)
    where = list(positions) if positions is not None else [None] * len(findings)
    best, whole = [], []
    for group in dict.fromkeys(groups[i] for i in left):
        length = _length([x for x, other in zip(where, groups, strict=True) if other == group])
        rows = _rows([i for i in left if groups[i] == group], length)
        best.append(max(rows, key=lambda row: something[row].mean()))
        whole.append(len(best[-1]) == length)
    deciding = [row for row, is_whole in zip(best, whole, strict=True) if is_whole or not any(whole)]
    mean = np.mean([p[row].mean(0) for row in deciding], axis=0)
    return StudyFinding(
        label=classes.keys[int(mean.argmax())],
        probabilities={key: float(v) for key, v in zip(classes.keys, mean, strict=True)},
        key_slices=tuple(sorted(int(i) for row in deciding for i in row)),
        **common,
    )


def _length(positions: list[float | None]) -> int:
    """How many slices of a series cover `EXTENT`, at least 2."""
    measured = [x for x in positions if x is not None]
    # The mean distance: repetitions of a place, such as echoes, count as slices too.
    step = (max(measured) - min(measured)) / (len(measured) - 1) if len(measured) == len(positions) > 1 else 0.0
    return max(2, round(EXTENT / step)) if step > 0 else NEIGHBOURS


def _rows(places: list[int], length: int) -> list[list[int]]:
    """Every `length` places in a row; all of them where there are fewer."""
    return [places[i : i + length] for i in range(max(1, len(places) - length + 1))]
