"""A study's slices with what was found in them, and what they say together: what results are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tumorlens.classes import ClassSet, ScanClass
from tumorlens.finding import Finding
from tumorlens.formats import Failure
from tumorlens.formats.dicom.geometry import Geometry
from tumorlens.formats.dicom.header import Header
from tumorlens.formats.dicom.info import CLASSIC_CT, CLASSIC_MR
from tumorlens.place import SlicePlace
from tumorlens.results.identity import Identity
from tumorlens.scan import Scan
from tumorlens.study import StudyFinding

PICTURED = 3
"""Slices of a study that are drawn, and reported one by one; of thin slices, many more decide together."""

Presence = Literal["present", "absent", "undetermined"]


@dataclass(frozen=True, eq=False)
class AnalysedSlice:
    """One frame of a study, with what was found in it.

    Attributes:
        header: Of its SOP instance.
        frame: Its place in that, from 0.
        shape: (rows, columns).
        finding: What it shows. It holds heat map and region, for the study's class, if `AnalysedStudy.shown` has it.
        scan: Its pixels, if it is to be pictured; else None, so that a study of any length fits in memory.
        stretched: (center, width) of the window that the reader made.
    """

    header: Header
    frame: int
    shape: tuple[int, int]
    place: SlicePlace
    finding: Finding
    scan: Scan | None = field(default=None, repr=False)
    stretched: tuple[float, float] | None = None

    @property
    def path(self) -> str:
        """Its file."""
        return self.header.path

    @property
    def geometry(self) -> Geometry | None:
        """Its grid in the patient; None where the header has no usable geometry."""
        return self.header.geometry(self.frame)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons against trusting the slice's finding, a sentence each."""
        finding = self.finding
        own = [finding.reason] if finding.unknown else [str(finding)] if finding.close_call else []
        return (*own, *finding.warnings)

    @property
    def frame_number(self) -> int | None:
        """What ReferencedFrameNumber is to be: from 1; None for a classic object, which has none."""
        # A classic object may say that it has one frame; its frames are never referred to by number.
        multi = self.header.frames and self.header.sop_class not in (CLASSIC_MR, CLASSIC_CT)
        return self.frame + 1 if multi else None

    @property
    def window(self) -> tuple[float, float] | None:
        """(center, width) that shows it, by the header or else by the reader; None where there is none to write."""
        center, width = self.header.frame(self.frame).window
        return self.stretched if center is None or width is None or width < 1 else (center, width)

    @property
    def rescale(self) -> tuple[float, float] | None:
        """(slope, intercept) that make values of what is stored."""
        return self.header.frame(self.frame).rescale


@dataclass(frozen=True, eq=False)
class AnalysedStudy:
    """What a study's slices show, one by one and together.

    Attributes:
        identity: Patient and study, as results repeat them. Holds patient data: never log it.
        slices: Stack by stack, in the order they lie in the head.
        study: What they show together; its key slices are places in `slices`.
        classes: The classes that were told apart.
        failures: Files that gave no slice, or not all of theirs.
        left_out: SOP instances that are no images of the weights' modality, such as reports and others' results.
        when: The time that results bear.
    """

    identity: Identity = field(repr=False)
    slices: tuple[AnalysedSlice, ...]
    study: StudyFinding
    classes: ClassSet
    failures: tuple[Failure, ...]
    left_out: int
    when: datetime

    @property
    def tumour(self) -> ScanClass | None:
        """The study's most probable class, if a tumour is present; else None."""
        return next(c for c in self.classes if c.key == self.study.label) if self.presence == "present" else None

    @property
    def presence(self) -> Presence:
        """Whether there is a tumour: "undetermined" if the answer is uncertain, or nothing can be assessed."""
        return "undetermined" if self.study.uncertain else self.study.answer  # type: ignore[return-value]

    @property
    def deciding(self) -> tuple[AnalysedSlice, ...]:
        """The slices that decided: the study's key slices."""
        return tuple(self.slices[i] for i in self.study.key_slices)

    @property
    def bearing(self) -> tuple[int, ...]:
        """Indices of the slices whose own class is the study's tumour; none without one."""
        if self.presence != "present":
            return ()
        own = (i for i in self.study.counted if self.slices[i].finding.label == self.study.label)
        # A mean may be of a class that is the most probable one of no slice.
        return tuple(own) or self.study.key_slices

    @property
    def to_picture(self) -> tuple[int, ...]:
        """Indices of the slices to picture: up to `PICTURED` key slices, evenly spread, with tumour if any has one."""
        key, bearing = self.study.key_slices, set(self.bearing)
        return _spread(tuple(i for i in key if i in bearing) or key)

    @property
    def pictured(self) -> tuple[AnalysedSlice, ...]:
        """Those slices: they have pixels, and are reported one by one."""
        return tuple(self.slices[i] for i in self.to_picture)

    @property
    def shown(self) -> tuple[AnalysedSlice, ...]:
        """The slices that have a heat map: those that bear the tumour."""
        return tuple(s for s in self.slices if s.finding.heatmap is not None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons against trusting the study's finding, a sentence each."""
        texts = []
        if unknown := self.study.unknown_slices:
            are = "is" if unknown == 1 else "are"
            texts.append(f"{unknown} of {len(self.slices)} slices {are} unlike the scans of the training")
        if self.failures:
            files = "file" if len(self.failures) == 1 else "files"
            texts.append(f"{len(self.failures)} {files} could not be read, or not wholly")
        if any(s.geometry is None for s in self.deciding):
            texts.append("a key slice has no usable position, orientation, spacing or frame of reference")
        return tuple(dict.fromkeys([*texts, *(w for s in self.pictured for w in s.doubts)]))


def _spread(places: tuple[int, ...]) -> tuple[int, ...]:
    """At most `PICTURED` of some places, the middle one among them."""
    if len(places) <= PICTURED:
        return places
    return tuple(places[(2 * i + 1) * len(places) // (2 * PICTURED)] for i in range(PICTURED))
