"""Cases: their rows and their folders, kept in step."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import func, or_, update
from sqlmodel import col, delete, select
from sqlmodel.sql.expression import SelectOfScalar

from tumorlens.card import WeightsCard
from tumorlens.finding import FailureRecord, FindingRecord, FindingsDocument, WeightsId
from tumorlens.study import SliceFinding, StudyFinding, find_in_study
from tumorlens.study_record import StudyRecord
from tumorlens.version import __version__
from tumorlens.web.arrival import harmless
from tumorlens.web.database import Database
from tumorlens.web.messages import FileFailed, Reply, SliceRead, StudyGiven, Total
from tumorlens.web.pictures import SlicePictures
from tumorlens.web.series import SeriesView, series_of, slice_place
from tumorlens.web.tables import (
    DONE,
    FAILED,
    READING,
    UPLOADING,
    WAITING,
    Case,
    FailedFile,
    Feedback,
    Measurement,
    Slice,
    Upload,
)

SORTS = {
    "newest": (col(Case.created).desc(),),
    "oldest": (col(Case.created),),
    "uncertainty": (col(Case.uncertainty).desc(), col(Case.created).desc()),
    "title": (func.lower(Case.title), col(Case.created).desc()),
}


class Store:
    """Cases: rows in a database, files in a folder.

    With `deidentify`, files whose names may be patients' get others.
    """

    def __init__(self, database: Database, folder: Path, card: WeightsCard, *, deidentify: bool = True) -> None:
        self.database, self.folder, self.card, self._deidentify = database, folder, card, deidentify

    def folder_of(self, case_id: str) -> Path:
        """A case's folder."""
        return self.folder / case_id

    def pictures(self, case_id: str, number: int) -> SlicePictures:
        """A slice's pictures."""
        return SlicePictures(self.folder_of(case_id) / "slices" / f"{number:05d}")

    def create(self, title: str, owner: str, axis: str) -> Case:
        """A new case, waiting for its files."""
        case = Case(title=title, owner=owner, axis=axis, version=__version__)
        case.weights_name, case.weights_sha256 = self.card.name, self.card.sha256
        (self.folder_of(case.id) / "uploads").mkdir(parents=True)
        with self.database.session() as session:
            session.add(case)
        return case

    def take_over(self, case: Case, handover: Path) -> Case:
        """Keeps a case that a node handed over, with a copy of the folder; that first, for `sweep` clears it away."""
        folder = self.folder_of(case.id)
        folder.mkdir(parents=True)
        try:
            shutil.copytree(handover, folder / "handover")
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        case.version = __version__
        with self.database.session() as session:
            session.add(case)
        return case

    def get(self, case_id: str) -> Case | None:
        """The row of a case, or None."""
        with self.database.session() as session:
            return session.get(Case, case_id)

    def update(self, case_id: str, **changes: Any) -> Case | None:
        """Changes a case's columns."""
        with self.database.alone() as session:
            case = session.get(Case, case_id)
            if case is not None:
                case.sqlmodel_update({"touched": time.time(), **changes})
            return case

    def add_upload(self, case_id: str, name: str, size: int, sha256: str, path: Path) -> Upload | None:
        """Takes a file that was uploaded to `path`; None if the case takes no more.

        The same bytes again are the same file: an upload whose answer was lost is sent once more.
        """
        with self.database.alone() as session:
            case = session.get(Case, case_id)
            if case is None or case.status != UPLOADING:
                return None
            again = select(Upload).where(Upload.case_id == case_id, Upload.sha256 == sha256)
            if (upload := session.exec(again).first()) is not None:
                path.unlink()
                return upload
            case.files += 1
            case.size += size
            case.touched = time.time()
            kept = harmless(name, case.files) if self._deidentify else name
            upload = Upload(case_id=case_id, number=case.files, name=kept, size=size, sha256=sha256)
            try:
                path.rename(self.folder_of(case_id) / "uploads" / f"{upload.number:05d}")
            except FileNotFoundError:  # deleted meanwhile
                session.rollback()
                return None
            session.add(upload)
        return upload

    def start(self, case_id: str) -> Case | None:
        """A case waits to be read from now on; None if it is gone, or does so already. It is started but once."""
        with self.database.alone() as session:
            case = session.get(Case, case_id)
            if case is None or case.status not in (UPLOADING, FAILED):
                return None
            case.status, case.error, case.touched = WAITING, "", time.time()
            return case

    def uploads(self, case_id: str) -> list[Upload]:
        """A case's files, in the order they came."""
        return self.database.all(select(Upload).where(Upload.case_id == case_id).order_by(col(Upload.number)))

    def same_files(self, case_id: str) -> list[Case]:
        """Other cases of exactly the same files, by their contents, that are read or will be; the newest first."""
        contents = {upload.sha256 for upload in self.uploads(case_id)}
        if not contents:
            return []
        with_one = select(Upload.case_id).where(Upload.sha256 == min(contents))
        query = select(Case).where(col(Case.id).in_(with_one), Case.id != case_id, Case.files == len(contents))
        query = query.where(col(Case.status).in_([WAITING, READING, DONE])).order_by(col(Case.created).desc())
        return [c for c in self.database.all(query) if {u.sha256 for u in self.uploads(c.id)} == contents]

    def begin(self, case_id: str) -> Case | None:
        """A case is being read, from its beginning: what an earlier try found is forgotten."""
        with self.database.alone() as session:
            case = session.get(Case, case_id)
            if case is None:
                return None
            session.exec(delete(Slice).where(col(Slice.case_id) == case_id))
            session.exec(delete(FailedFile).where(col(FailedFile.case_id) == case_id))
            case.status, case.error, case.slices, case.total, case.study = READING, "", 0, 0, None
            case.attempts += 1
            return case

    def add_found(self, case_id: str, messages: Sequence[Reply]) -> Case | None:
        """Keeps what a worker told; the case as it stands, or None if it is gone."""
        with self.database.alone() as session:
            case = session.get(Case, case_id)
            if case is None:
                return None
            for message in messages:
                match message:
                    case SliceRead(content=content, place=place):
                        row = content.model_dump(mode="json") | {"place": place.model_dump(mode="json")}
                        session.add(Slice(case_id=case_id, number=content.number, series=content.series, content=row))
                        case.slices += 1
                    case FileFailed(name=name, error=error):
                        session.add(FailedFile(case_id=case_id, name=name, error=error))
                    case Total(total=total):
                        case.total = total
                    case StudyGiven(study=study):
                        case.study = study
            case.touched = time.time()
            return case

    def finish(self, case_id: str, error: str = "", retry: bool = False) -> Case | None:
        """A case is read: its slices are put together. Without any it has failed.

        Args:
            case_id: Which.
            error: Why it failed; empty where it did not.
            retry: Whether it may be worth trying again.
        """
        with self.database.session() as session:
            case = session.get(Case, case_id)
            if case is None:
                return None
            slices = list(session.exec(_slices(case_id)))
            failures = session.exec(select(FailedFile).where(FailedFile.case_id == case_id)).all()
            case.retry = bool(error) and retry
            if not slices and not error:
                error = failures[0].error if failures else "no scans found; give pictures, DICOM or NIfTI files"
            case.status, case.error, case.slices = FAILED if error else DONE, error, len(slices)
            if slices:
                study = self._study(slices)
                here = {
                    **study.record("").model_dump(mode="json", exclude={"source"}),
                    "key_slices": [slices[i].number for i in study.key_slices],
                    "suspected": [slices[i].number for i in study.suspected],
                }
                # A node's finding stays as it said it; only its series are in the order of the slices here.
                if not case.origin:
                    case.study = here
                elif case.study is not None:
                    case.study = {**case.study, "series": here["series"]}
                case.title = case.title or _title([s.finding.source for s in study.slices])
            if case.study is not None:
                case.label, case.unknown = case.study["label"] or "", case.study["unknown"]
                case.confidence = case.study["probabilities"].get(case.label, 0.0)
                case.uncertainty = 1 - case.confidence
            case.title = case.title or "Unread case"
            return case

    def _study(self, slices: Sequence[Slice]) -> StudyFinding:
        """What the slices of a case say together."""
        findings = [SliceFinding(FindingRecord.model_validate(s.content["finding"]), slice_place(s)) for s in slices]
        return find_in_study(findings, self.card.classes, self.card.study)

    def _record(self, case: Case, slices: Sequence[Slice]) -> StudyRecord:
        """The finding of a case as JSON has it; a node's as the node said it."""
        if not case.origin or case.study is None:
            return self._study(slices).record(case.title)
        named = {s.number: {key: s.content["finding"][key] for key in ("source", "frame")} for s in slices}
        places = {key: [named[n] for n in case.study[key]] for key in ("key_slices", "suspected")}
        return StudyRecord.model_validate({**case.study, **places, "source": case.title})

    def slices(self, case_id: str, after: int = 0) -> list[Slice]:
        """A case's slices, in order: those with a larger number."""
        return self.database.all(_slices(case_id).where(Slice.number > after))

    def series(self, case: Case, slices: Sequence[Slice] | None = None) -> list[SeriesView]:
        """A case's series as a reader sees them; while it is read, of the slices found so far.

        Args:
            case: Which.
            slices: Its slices, where they are at hand.
        """
        rows = self.slices(case.id) if slices is None else slices
        return series_of(rows, [s["reason"] for s in (case.study or {}).get("series", ())])

    def slice(self, case_id: str, number: int) -> Slice | None:
        """The row of a slice, or None."""
        with self.database.session() as session:
            return session.get(Slice, (case_id, number))

    def has_slides(self, case_id: str) -> bool:
        """Whether the first slice of a case is a whole slide."""
        rows = self.database.all(_slices(case_id).limit(1))
        return any(row.content.get("slide") for row in rows)

    def failures(self, case_id: str) -> list[FailedFile]:
        """Files that could not be read."""
        return self.database.all(select(FailedFile).where(FailedFile.case_id == case_id).order_by(col(FailedFile.id)))

    def document(self, case: Case) -> FindingsDocument:
        """A case's findings, as `tumorlens predict --json` gives them."""
        weights = WeightsId(name=case.weights_name, sha256=case.weights_sha256)
        slices = self.slices(case.id)
        records = [FindingRecord.model_validate(s.content["finding"]) for s in slices]
        failures = [FailureRecord(source=f.name, error=f.error) for f in self.failures(case.id)]
        studies = [self._record(case, slices)] if slices else []
        return FindingsDocument.of(weights, records, failures, studies)

    def feedback(self, case_id: str | None = None) -> list[Feedback]:
        """Readers' assessments of a case, or of all, the oldest first."""
        query = select(Feedback).order_by(col(Feedback.said), col(Feedback.id))
        return self.database.all(query if case_id is None else query.where(Feedback.case_id == case_id))

    def add_measurement(self, measurement: Measurement) -> Measurement:
        """Keeps a measurement."""
        with self.database.session() as session:
            session.add(measurement)
        return measurement

    def measurements(self, case_id: str) -> list[Measurement]:
        """What was measured in a case, in the order of its making."""
        return self.database.all(
            select(Measurement).where(Measurement.case_id == case_id).order_by(col(Measurement.id))
        )

    def delete_measurement(self, number: int) -> None:
        """Deletes a measurement."""
        with self.database.session() as session:
            session.exec(delete(Measurement).where(col(Measurement.id) == number))

    def search(
        self, text: str, filters: dict[str, Any], sort: str, limit: int, offset: int
    ) -> tuple[int, list[tuple[Case, str]]]:
        """The worklist: how many cases there are in all, and a page of them, each with its last verdict, or "".

        Args:
            text: What titles, classes or comments hold; empty for all.
            filters: Columns of `Case` and what they must be; "verdict" is one of `VERDICTS`, "none" or "any".
            sort: One of `SORTS`.
            limit: Cases at most.
            offset: Cases to pass over.
        """
        last = select(Feedback.case_id, func.max(Feedback.id).label("id")).group_by(Feedback.case_id).subquery()
        query = (
            select(Case, Feedback.verdict)
            .outerjoin(last, last.c.case_id == Case.id)
            .outerjoin(Feedback, Feedback.id == last.c.id)  # type: ignore[arg-type]
        )
        if text:
            commented = select(Feedback.case_id).where(col(Feedback.comment).icontains(text, autoescape=True))
            named = (col(column).icontains(text, autoescape=True) for column in (Case.title, Case.label))
            query = query.where(or_(*named, col(Case.id).in_(commented)))
        for name, value in filters.items():
            if name != "verdict":
                query = query.where(getattr(Case, name) == value)
            elif value in ("none", "any"):
                query = query.where(col(Feedback.id).is_(None) if value == "none" else col(Feedback.id).is_not(None))
            else:
                query = query.where(Feedback.verdict == value)
        with self.database.session() as session:
            total = session.exec(select(func.count()).select_from(query.subquery())).one()
            rows = session.exec(query.order_by(*SORTS[sort]).limit(limit).offset(offset)).all()
        return total, [(case, verdict or "") for case, verdict in rows]

    def unfinished(self) -> list[Case]:
        """Cases that a server which was stopped left waiting or half read, the oldest first."""
        return self.database.all(
            select(Case).where(col(Case.status).in_([WAITING, READING])).order_by(col(Case.created))
        )

    def old(self, before: float) -> list[Case]:
        """Cases made before a time."""
        return self.database.all(select(Case).where(col(Case.created) < before))

    def abandoned(self, before: float) -> list[Case]:
        """Cases whose upload stopped before a time: none has come since, nor a part of one."""
        still = self.database.all(select(Case).where(Case.status == UPLOADING, col(Case.touched) < before))
        return [case for case in still if not self._receives(case.id, before)]

    def _receives(self, case_id: str, since: float) -> bool:
        """Whether a file of a case is being received: a large one takes its time."""
        for part in self.folder_of(case_id).glob(".*.part"):
            with suppress(FileNotFoundError):  # it has arrived
                if part.stat().st_mtime >= since:
                    return True
        return False

    def delete(self, case_id: str) -> None:
        """Deletes a case, rows first: files without a row are swept up, a row without files would be a lie."""
        with self.database.alone() as session:
            session.exec(delete(Case).where(col(Case.id) == case_id))
            session.exec(update(Case).where(col(Case.linked) == case_id).values(linked=""))
        shutil.rmtree(self.folder_of(case_id), ignore_errors=True)

    def sweep(self) -> int:
        """Deletes what a kill may have left: folders without a case, half uploads. How many folders there were."""
        cases = set(self.database.all(select(Case.id)))
        stray = [folder for folder in self.folder.iterdir() if folder.name not in cases]
        for folder in stray:
            shutil.rmtree(folder, ignore_errors=True)
        parts = (self.folder.glob(".*.part"), self.folder.glob("*/.*.part"), self.folder.parent.glob(".export-*"))
        for half in chain(*parts):
            half.unlink(missing_ok=True)
        return len(stray)


def _slices(case_id: str) -> SelectOfScalar[Slice]:
    return select(Slice).where(Slice.case_id == case_id).order_by(col(Slice.number))


_DICOM = re.compile(r"series \d+, slice \d+")


def _title(sources: Sequence[str]) -> str:
    """What a case is called, by its slices."""
    if _DICOM.match(sources[0]):
        return f"DICOM study, {len(sources)} slice{'s' * (len(sources) > 1)}"
    names = list(dict.fromkeys(source.rpartition(", slice ")[0] or source for source in sources))
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
