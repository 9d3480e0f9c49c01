"""The audit log: who did what, when. Only ever added to, each line sealed by the one before; no patient data."""

from __future__ import annotations

import hashlib
import time

from sqlmodel import col, select

from tumorlens.web.database import Database
from tumorlens.web.tables import Event

ROOT = "0" * 64


class Audit:
    """Writes and checks the log. Triggers in its database refuse to change or delete a line."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, who: str, action: str, case: str = "", detail: str = "") -> None:
        """Adds a line: a reader's name, an action such as "case.created", a case's identifier.

        Details are hashes, counts, classes; never a name, a title, a comment.
        """
        with self._database.alone() as session:
            last = session.exec(select(Event.digest).order_by(col(Event.id).desc()).limit(1)).first()
            line = Event(
                at=time.time(), who=who, action=action, case_id=case, detail=detail, previous=last or ROOT, digest=""
            )
            line.digest = seal(line)
            session.add(line)

    def lines(self, limit: int = 200, before: int | None = None) -> list[Event]:
        """The newest lines, or those before a line's number."""
        query = select(Event).order_by(col(Event.id).desc()).limit(limit)
        if before is not None:
            query = query.where(col(Event.id) < before)
        return self._database.all(query)

    def broken(self) -> int | None:
        """Number of the first line that does not fit the one before it, or None."""
        previous = ROOT
        with self._database.session() as session:
            for line in session.exec(select(Event).order_by(col(Event.id)).execution_options(yield_per=1000)):
                if line.previous != previous or line.digest != seal(line):
                    return line.id
                previous = line.digest
        return None


def seal(line: Event) -> str:
    """SHA-256 of a line and of the one before it."""
    text = "\x1f".join((line.previous, f"{line.at:.6f}", line.who, line.action, line.case_id, line.detail))
    return hashlib.sha256(text.encode()).hexdigest()
