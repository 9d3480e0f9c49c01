"""The thing that goes out: what a slice shows, how sure that is, where the evidence lies, what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from tumorlens.study_record import StudyRecord
from tumorlens.unknown import Unknown
from tumorlens.version import __version__

Point = tuple[float, float]


class Region(BaseModel):
    """Where the evidence is strongest. It is no outline of a tumour.

    Attributes:
        box: (x0, y0, x1, y1) in pixels of the scan; x to the right, y down, the last ones just outside.
        contour: Closed line of (x, y), in pixels from the top left corner of the scan.
        area: Pixels inside.
        box_mm: The box in mm from the top left corner; None where the scan has no spacing.
        contour_mm: The contour in mm; None where the scan has no spacing.
        area_mm2: The area in mm²; None where the scan has no spacing.
    """

    model_config = ConfigDict(frozen=True)
    box: tuple[int, int, int, int]
    contour: tuple[Point, ...]
    area: int
    box_mm: tuple[float, float, float, float] | None = None
    contour_mm: tuple[Point, ...] | None = None
    area_mm2: float | None = None


class Evidence(NamedTuple):
    """What speaks for one class in one scan.

    Attributes:
        heatmap: (H, W) float32 in [0, 1] on the scan's own grid, its peak 1; all zero where nothing speaks for it.
        region: Where it is strongest; None where nothing is, and for a class that means nothing was found.
    """

    heatmap: NDArray[np.float32]
    region: Region | None


class WeightsId(BaseModel):
    """Which weights made a finding."""

    model_config = ConfigDict(frozen=True)
    name: str
    sha256: str


def prediction_sets(probabilities: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Which classes cannot be ruled out: those at least as probable as their threshold, and always the most probable.

    Args:
        probabilities: (N, C) calibrated probabilities.
        thresholds: C of them, from the weights card.

    Returns:
        (N, C) bool, no row without a class.
    """
    return (probabilities >= np.asarray(thresholds)) | (probabilities == probabilities.max(1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Finding:
    """What the network makes of one scan.

    Attributes:
        source: The scan's file.
        frame: Its place in that file, from 0.
        label: Key of the most probable class.
        probabilities: Probability of each class by key; they sum to 1.
        heatmap: (H, W) float32 in [0, 1] on the scan's own grid: evidence for `explained`, its peak 1. All zero
            where nothing speaks for the class; None where none was asked for.
        region: Where the evidence is strongest; None for a class that means nothing was found, for a flat heat map,
            and where no heat map was asked for.
        explained: Key of the class the heat map speaks for: `label`, unless another was asked for.
        method: Key of the way the heat map was made; empty where none was asked for.
        warnings: What speaks against trusting it, a sentence each.
        weights: Which weights made it.
        prediction_set: Keys of the classes that cannot be ruled out, the most probable first. The true class of nine
            scans in ten like the validation scans is among them; see `Calibration`. Empty where the weights were not
            calibrated.
        unknown: Whether the scan is like those the network was trained on; if not, the class means nothing. None
            where the weights have no gate.
    """

    source: str
    frame: int
    label: str
    probabilities: dict[str, float]
    weights: WeightsId
    heatmap: NDArray[np.float32] | None = None
    region: Region | None = None
    explained: str = ""
    method: str = ""
    warnings: tuple[str, ...] = field(default=())
    prediction_set: tuple[str, ...] = ()
    unknown: Unknown | None = None

    @property
    def confidence(self) -> float:
        """Probability of the most probable class, 0 to 1."""
        return self.probabilities[self.label]

    def record(self, heatmap: Path | str | None = None, overlay: Path | str | None = None) -> FindingRecord:
        """The finding as JSON holds it, with the files or URLs its pictures went to."""
        return FindingRecord(
            source=self.source,
            frame=self.frame,
            label=self.label,
            probabilities=self.probabilities,
            region=self.region,
            heatmap=_named(heatmap),
            overlay=_named(overlay),
            explained=self.explained or self.label,
            method=self.method,
            warnings=self.warnings,
            prediction_set=self.prediction_set,
            unknown=self.unknown,
        )


def _named(file: Path | str | None) -> str | None:
    return file.as_posix() if isinstance(file, Path) else file


class FindingRecord(BaseModel):
    """A `Finding` in JSON; arrays are named as files."""

    model_config = ConfigDict(frozen=True)
    source: str
    frame: int
    label: str
    probabilities: dict[str, float]
    region: Region | None
    heatmap: str | None
    overlay: str | None
    explained: str
    method: str = ""
    warnings: tuple[str, ...]
    prediction_set: tuple[str, ...] = ()
    unknown: Unknown | None = None


class FailureRecord(BaseModel):
    """A file that could not be read."""

    model_config = ConfigDict(frozen=True)
    source: str
    error: str


class FindingsDocument(BaseModel):
    """One call's answer. `schema` counts up when a field changes its meaning or goes."""

    model_config = ConfigDict(frozen=True)
    version: str
    weights: WeightsId
    findings: tuple[FindingRecord, ...]
    failures: tuple[FailureRecord, ...]
    studies: tuple[StudyRecord, ...] = ()

    def to_json(self) -> str:
        """The document as indented JSON, schema number first."""
        import json

        # Pure ASCII: a file's name may hold bytes that are no text, and not every terminal or pipe takes UTF-8.
        return json.dumps({"schema": 1, **self.model_dump(mode="json")}, indent=1)

    @classmethod
    def of(
        cls,
        weights: WeightsId,
        findings: Sequence[FindingRecord],
        failures: Sequence[FailureRecord],
        studies: Sequence[StudyRecord] = (),
    ) -> FindingsDocument:
        """The document of this version of the package."""
        return cls(
            version=__version__,
            weights=weights,
            findings=tuple(findings),
            failures=tuple(failures),
            studies=tuple(studies),
        )
