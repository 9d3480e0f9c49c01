"""What a node hands over to the page: a study's finding and its de-identified files; what it keeps for the way back.

Who the patient is stays with the node, unless its rule says otherwise. The page has slices by number, and the node
knows which instances these are.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from tumorlens.card import WeightsCard
from tumorlens.classes import ClassSet
from tumorlens.finding import FindingRecord, WeightsId
from tumorlens.formats.dicom.deidentify import deidentify_file
from tumorlens.formats.dicom.info import clean_description
from tumorlens.results.slices import AnalysedSlice, AnalysedStudy
from tumorlens.sequence import Flaw, SeriesInfo
from tumorlens.study_record import KeySlice, SeriesFinding, StudyRecord

STUDIES, ASSESSMENTS, REPLIES = "studies", "assessments", "replies"
"""Folders that node and page share: studies that were analysed, assessments of them, and what became of these."""

PAGE = "page"
"""Folder of what the page is to have, among the results of an analysis."""

HANDOVER, SOURCES = "handover.json", "sources.json"


class HandedSlice(BaseModel, frozen=True):
    """A slice: its file, its place in that from 0, and what was found in it."""

    file: str
    frame: int
    finding: FindingRecord


class Handover(BaseModel, frozen=True):
    """A study as the page has it; numbers of slices count `slices`, from 1.

    Attributes:
        title: Who and what it is, where the node's rule lets the page know; else empty.
        weights: Those that analysed it.
        study: The finding; of its key slices, sources are the files here.
    """

    format: Literal[1] = 1
    title: str
    weights: WeightsId
    study: StudyRecord
    slices: tuple[HandedSlice, ...]


class SourceSlice(BaseModel, frozen=True):
    """The instance that a slice is of, which the page does not know; its frame from 1, where it has several."""

    sop_class: str
    sop: str
    series: str
    frame_number: int | None
    height: int
    width: int


class Sources(BaseModel, frozen=True):
    """What the node keeps of a study that it handed over: its slices, by the same numbers, and the classes."""

    weights: WeightsId
    classes: ClassSet
    slices: tuple[SourceSlice, ...]


@dataclass(frozen=True)
class HandoverRule:
    """How studies are handed over.

    Attributes:
        secret: A file of bytes that nobody else may read: what identifiers are replaced by is derived from it.
        identify: Whether the page is told who the patient is.
    """

    secret: Path
    identify: bool = False

    def key(self, study: str) -> bytes:
        """What a study's identifiers are replaced with: another for each study, so that none can be linked."""
        return hmac.digest(self.secret.read_bytes(), study.encode(), "sha256")


def make_secret(path: Path) -> None:
    """Makes the secret of a `HandoverRule`, unless it is there.

    Raises:
        OSError: If it cannot be written.
    """
    if path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(32))


def hand_over(analysed: AnalysedStudy, card: WeightsCard, rule: HandoverRule, folder: Path) -> None:
    """Writes what the page is to have into the folder's `page`, and what the node keeps beside it.

    Raises:
        MissingExtra: If what de-identifies is not installed.
        InputError: If a file cannot be read any more.
        OSError: If it cannot be written.
    """
    page = folder / PAGE
    page.mkdir()
    key = rule.key(analysed.identity.study)
    paths = list(dict.fromkeys(s.path for s in analysed.slices))
    names = {path: f"{number:05d}.dcm" for number, path in enumerate(paths, 1)}
    doubts = {path: deidentify_file(path, page / name, key) for path, name in names.items()}
    # In the order of the files, and of the frames in them: whoever reads them again counts the same.
    slices = sorted(analysed.slices, key=lambda s: (names[s.path], s.frame))
    weights = WeightsId(name=card.name, sha256=card.sha256)
    handover = Handover(
        title=_title(analysed) if rule.identify else "",
        weights=weights,
        study=_record(analysed, names),
        slices=tuple(_handed(s, names[s.path], doubts[s.path]) for s in slices),
    )
    sources = Sources(weights=weights, classes=analysed.classes, slices=tuple(_source(s) for s in slices))
    (folder / SOURCES).write_text(sources.model_dump_json(), "utf-8")
    (page / HANDOVER).write_text(handover.model_dump_json(), "utf-8")


def read_handover(folder: Path) -> Handover:
    """What was handed over in a folder.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such thing.
    """
    return Handover.model_validate_json((folder / HANDOVER).read_bytes())


def _title(analysed: AnalysedStudy) -> str:
    """Who and what a study is."""
    name = " ".join(analysed.identity.get("PatientName").replace("^", " ").split())
    rest = (analysed.identity.get(keyword) for keyword in ("PatientID", "StudyDate", "AccessionNumber"))
    return ", ".join(text for text in (name, *rest) if text)[:120]


def _record(analysed: AnalysedStudy, names: dict[str, str]) -> StudyRecord:
    """The finding of the study, without what its files say in words of their own."""
    study = analysed.study

    def named(places: Sequence[int]) -> tuple[KeySlice, ...]:
        slices = (analysed.slices[i] for i in places)
        return tuple(KeySlice(source=names[s.path], frame=s.frame) for s in slices)

    series = tuple(each.model_copy(update={"description": _description(each)}) for each in study.series)
    places = {"key_slices": named(study.key_slices), "suspected": named(study.suspected), "series": series}
    return study.record("").model_copy(update=places)


def _description(series: SeriesFinding) -> str:
    """What de-identification leaves of a series' description."""
    flaw: Flaw | None = "localiser" if series.reason == "localiser" else None
    return clean_description(SeriesInfo(sequence=series.sequence, flaw=flaw))


def _handed(s: AnalysedSlice, file: str, doubts: tuple[str, ...]) -> HandedSlice:
    record = s.finding.record()
    warnings = (*record.warnings, *doubts)
    return HandedSlice(
        file=file, frame=s.frame, finding=record.model_copy(update={"source": file, "warnings": warnings})
    )


def _source(s: AnalysedSlice) -> SourceSlice:
    height, width = s.shape
    return SourceSlice(
        sop_class=s.header.sop_class,
        sop=s.header.uid,
        series=s.header.series,
        frame_number=s.frame_number,
        height=height,
        width=width,
    )
