"""Prediction and explanation for one scan: class, calibrated probabilities, heat map, region, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from tumorlens.errors import ConfigError
from tumorlens.evidence import Region
from tumorlens.files import writing_folder
from tumorlens.scan import Scan
from tumorlens.study_record import StudyRecord
from tumorlens.version import __version__

if TYPE_CHECKING:
    from PIL import Image

SCHEMA: Final = 2
"""Number of the JSON format of findings; it counts up when a field changes its meaning or goes (docs/findings.md)."""

CLOSE_CALL = 0.6
"""Below this probability of its most probable class, a finding is a close call."""


class WeightsId(BaseModel, frozen=True):
    """Name and checksum of the weights that made a finding."""

    name: str
    sha256: str


def prediction_sets(probabilities: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Conformal prediction sets: classes at least as probable as their threshold, and always the most probable one.

    Takes (N, C) calibrated probabilities and the C thresholds of the weights card; gives (N, C) bool, no row without a
    class.
    """
    most: NDArray[np.bool_] = probabilities == probabilities.max(1, keepdims=True)
    return most | (probabilities >= np.asarray(thresholds))


@dataclass(frozen=True, eq=False)
class Finding:
    """Prediction and explanation for one scan.

    A scan unlike those of the training is unknown. It has no class, no probabilities, no prediction set, no heat map
    and no region, because the network's answer to it means nothing.

    Attributes:
        frame: Its place in that file, from 0.
        label: Key of the most probable class; None for an unknown scan.
        probabilities: Probability of each class by key, summing to 1; empty for an unknown scan.
        heatmap: (H, W) float32 in [0, 1] on the scan's own grid: evidence for `explained`, its peak 1; all zero where
            there is none. None for an unknown scan, where no heat map was asked for, and for a class that means
            nothing was found, unless that was asked for by name.
        region: Where the evidence is strongest; None without a heat map, for a flat one, and for a class that means
            nothing was found.
        explained: Key of the class the heat map speaks for: `label`, unless another was asked for.
        method: Key of the way the heat map was made; empty without one.
        warnings: What was noticed about the scan or its heat map, a sentence each.
        prediction_set: Keys of the classes in the conformal prediction set, the most probable first: of scans like
            those of the calibration, it holds the true class for the share that the card promises
            (`Calibration.coverage`). Empty for an unknown scan, and where the weights were not calibrated.
        unknown: Whether the scan is unlike those of the training, or of another modality.
        strangeness: How far it lies from them: above 1, it is unknown. None where the weights have no gate.
        reason: Why it is unknown, in words; else empty.
        scan: The scan, where a finding is to be drawn; findings that come one after another do without.
    """

    source: str
    frame: int
    label: str | None
    probabilities: dict[str, float]
    weights: WeightsId
    heatmap: NDArray[np.float32] | None = None
    region: Region | None = None
    explained: str = ""
    method: str = ""
    warnings: tuple[str, ...] = field(default=())
    prediction_set: tuple[str, ...] = ()
    unknown: bool = False
    strangeness: float | None = None
    reason: str = ""
    scan: Scan | None = None

    def __post_init__(self) -> None:
        answer = (self.label, self.probabilities, self.prediction_set, self.region, self.explained)
        if self.unknown and (any(answer) or self.heatmap is not None):
            raise ValueError("an unknown scan has no class, and nothing that speaks for one")

    def __repr__(self) -> str:
        place = f" [{self.frame}]" if self.frame else ""
        return f"<Finding of {self.source!r}{place}: {self}>"

    def _repr_html_(self) -> str:
        from tumorlens.picture import embedded

        picture = f'<img src="{embedded(self.overlay())}">' if self.scan else ""
        ranked = sorted(self.probabilities.items(), key=lambda item: -item[1])
        rows = "".join(
            f'<tr><td>{escape(key)}</td><td><meter value="{p:.4f}"></meter></td><td>{p:.1%}</td></tr>'
            for key, p in ranked
        )
        warnings = "".join(f"<li>{escape(text)}</li>" for text in self.warnings)
        caption = f"<figcaption><b>{escape(str(self))}</b><table>{rows}</table><ul>{warnings}</ul></figcaption>"
        return f"<figure>{picture}{caption}</figure>"

    def __str__(self) -> str:
        """The finding in a line, by its classes' keys."""
        if self.confidence is None:
            return f"unknown scan: {self.reason}"
        if self.close_call:
            first, second = sorted(self.probabilities.items(), key=lambda item: -item[1])[:2]
            return f"close call: {first[0]} {first[1]:.0%}, {second[0]} {second[1]:.0%}"
        return f"{self.label} {self.confidence:.0%}"

    @property
    def confidence(self) -> float | None:
        """Probability of the most probable class, 0 to 1; None for an unknown scan."""
        return None if self.label is None else self.probabilities[self.label]

    @property
    def close_call(self) -> bool:
        """Whether the most probable class is hardly more probable than others."""
        return self.confidence is not None and self.confidence < CLOSE_CALL

    def overlay(self) -> Image.Image:
        """The scan with heat map and contour, where it has them, as a picture.

        Raises:
            ValueError: If the finding does not hold its scan.
        """
        from tumorlens.overlay import draw_overlay, draw_scan

        if self.scan is None:
            raise ValueError("the finding does not hold its scan; draw it with tumorlens.overlay.draw_overlay")
        return draw_scan(self.scan) if self.heatmap is None else draw_overlay(self.scan, self.heatmap, self.region)

    def save(self, folder: Path | str) -> Path:
        """Writes finding.json, heatmap.npy and overlay.png, as far as there are any, into a new folder.

        Returns:
            The folder.

        Raises:
            ConfigError: If there is such a folder.
            OSError: If it cannot be written; nothing is then left of it.
        """
        target = Path(folder)
        heatmap, overlay = target / "heatmap.npy", target / "overlay.png"
        record = self.record(
            heatmap.name if self.heatmap is not None else None, overlay.name if self.scan is not None else None
        )
        try:
            with writing_folder(target) as temporary:
                if self.heatmap is not None:
                    np.save(temporary / heatmap.name, self.heatmap)
                if self.scan is not None:
                    self.overlay().save(temporary / overlay.name)
                document = FindingsDocument.of(self.weights, [record], [])
                (temporary / "finding.json").write_text(document.to_json() + "\n", encoding="ascii")
        except FileExistsError as error:
            raise ConfigError(f"{target}: exists already; choose another folder") from error
        return target

    def record(self, heatmap: Path | str | None = None, overlay: Path | str | None = None) -> FindingRecord:
        """The finding as a JSON record, with the files or URLs its pictures went to."""
        same: dict[str, Any] = {name: getattr(self, name) for name in FindingRecord.model_fields}
        files = {"heatmap": _named(heatmap), "overlay": _named(overlay)}
        return FindingRecord(**same | files | {"explained": self.explained or self.label})


def _named(file: Path | str | None) -> str | None:
    return file.as_posix() if isinstance(file, Path) else file


class FindingRecord(BaseModel, frozen=True):
    """A `Finding` in JSON, field for field; arrays are named as files. The columns of results.csv have the same names.

    Attributes:
        confidence: Probability of the most probable class; null for an unknown scan.
        close_call: Whether it is below `CLOSE_CALL`.
        heatmap: File or URL of the heat map; null where none was written.
        overlay: The same of the picture of both.
    """

    source: str
    frame: int
    unknown: bool
    strangeness: float | None
    reason: str
    label: str | None
    confidence: float | None
    close_call: bool
    probabilities: dict[str, float]
    prediction_set: tuple[str, ...]
    explained: str | None
    method: str
    region: Region | None
    heatmap: str | None
    overlay: str | None
    warnings: tuple[str, ...]


class FailureRecord(BaseModel, frozen=True):
    """A file that could not be read."""

    source: str
    error: str


class FindingsDocument(BaseModel, frozen=True):
    """Findings and failures of one call."""

    version: str
    weights: WeightsId
    findings: tuple[FindingRecord, ...]
    failures: tuple[FailureRecord, ...]
    studies: tuple[StudyRecord, ...] = ()

    def to_json(self) -> str:
        """The document as indented JSON, schema number first."""
        import json

        # Pure ASCII: a file's name may hold bytes that are no text, and not every terminal or pipe takes UTF-8.
        return json.dumps({"schema": SCHEMA, **self.model_dump(mode="json")}, indent=1)

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
