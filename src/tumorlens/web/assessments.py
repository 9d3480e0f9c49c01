"""What readers say of slices: drafts while they type, assessments once they save, and who was faster meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from tumorlens.errors import ChangedMeanwhile
from tumorlens.web.database import Database
from tumorlens.web.tables import Draft, Feedback


@dataclass(frozen=True)
class Standing:
    """How far a reader is with a case.

    Attributes:
        drafts: Of each slice that they ever touched: the version, and what they typed and did not save.
        assessed: By slice, the last verdict of each reader who saved one.
    """

    drafts: list[Draft]
    assessed: dict[int, dict[str, str]]


class Assessments:
    """Drafts and assessments, in a database that one server writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self, case_id: str, reader: str) -> Standing:
        """How far a reader is with a case."""
        with self._database.session() as session:
            mine = select(Draft).where(Draft.case_id == case_id, Draft.reader == reader).order_by(col(Draft.slice))
            said = select(Feedback.slice, Feedback.reader, Feedback.verdict).where(Feedback.case_id == case_id)
            assessed: dict[int, dict[str, str]] = {}
            for number, who, verdict in session.exec(said.order_by(col(Feedback.said), col(Feedback.id))):
                assessed.setdefault(number, {})[who] = verdict
            return Standing(list(session.exec(mine)), assessed)

    def keep(self, case_id: str, number: int, reader: str, content: dict[str, Any] | None, version: int) -> Draft:
        """Keeps what a reader has typed of a slice; None throws it away. Gives the row with its new version.

        Raises:
            ChangedMeanwhile: If its version is not the one that the reader knows.
        """
        with self._database.alone() as session:
            draft = _current(session, case_id, number, reader, version)
            draft.content = content
            return draft

    def save(self, feedback: Feedback, version: int | None = None) -> Feedback:
        """Keeps an assessment for good, in place of the draft. Without a version, whatever the draft is.

        Raises:
            ChangedMeanwhile: If the draft's version is another.
        """
        with self._database.alone() as session:
            draft = _current(session, feedback.case_id, feedback.slice, feedback.reader, version)
            draft.content = None
            session.add(feedback)
        return feedback


def _current(session: Session, case_id: str, number: int, reader: str, version: int | None) -> Draft:
    """The row of a draft, a version further."""
    draft = session.get(Draft, (case_id, number, reader))
    if draft is None:
        draft = Draft(case_id=case_id, slice=number, reader=reader)
        session.add(draft)
    if version is not None and version != draft.version:
        raise ChangedMeanwhile(draft.version)
    draft.version += 1
    draft.touched = time.time()
    return draft
