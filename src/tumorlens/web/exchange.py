"""The page's side of what it shares with a node: studies come as cases, and readers' assessments go back.

Node and page share a folder and nothing else. What comes was de-identified by the node, and the finding is the node's.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from tumorlens.errors import DataError
from tumorlens.files import write_atomically
from tumorlens.outline import Outline
from tumorlens.results.assessment import AssessedSlice, Assessment
from tumorlens.results.handover import ASSESSMENTS, HANDOVER, REPLIES, STUDIES, read_handover
from tumorlens.web.store import Store
from tumorlens.web.tables import WAITING, Case, Feedback, Sending

OWNER = "the node"
"""Owner of the cases that a node hands over. No account can be called so: they are admins' to change."""

_ORIGIN = re.compile(r"[0-9a-f]{10}-[0-9]{3}")
_STATES = ("waiting", "delivered", "failed")


class Exchange:
    """A folder that a node shares, and the store that its studies become cases of."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store

    def take(self) -> Case | None:
        """Takes a study that the node handed over; gives the case, to be read, or None if there is no more.

        Raises:
            OSError: If it cannot be copied; it is there at the next try.
        """
        for folder in sorted((self._folder / STUDIES).glob("*")):
            if not _ORIGIN.fullmatch(folder.name) or not (folder / HANDOVER).is_file():
                continue  # still being written, or nothing of ours
            known = self._store.database.all(select(Case).where(Case.origin == folder.name))
            if not known:
                return self._taken(folder)
            shutil.rmtree(folder)  # only once its case is there: a kill before leaves the study, to be taken again
        return None

    def _taken(self, folder: Path) -> Case:
        try:
            handover = read_handover(folder)
            title, weights = handover.title, handover.weights
        except ValueError:
            title, weights = "", None  # its worker will say what is wrong with it
        study, revision = folder.name[:-4], int(folder.name[-3:])
        title = title or f"Study {study}"
        case = Case(title=f"{title}, revision {revision}" if revision > 1 else title, owner=OWNER, origin=folder.name)
        if weights is not None:
            case.weights_name, case.weights_sha256 = weights.name, weights.sha256
        files = list(folder.glob("*.dcm"))
        case.files, case.size, case.status = len(files), sum(f.stat().st_size for f in files), WAITING
        return self._store.take_over(case, folder)

    def send(self, case: Case, reader: str, verified: bool) -> Sending:
        """Sends what a reader said last of each slice of a case that the node handed over.

        Raises:
            DataError: If the reader has said nothing of it.
            OSError: If it cannot be written.
        """
        slices = {s.number: s for s in self._store.slices(case.id)}
        last = {f.slice: f for f in self._store.feedback(case.id) if f.reader == reader}
        said = [_assessed(f, slices[n].content) for n, f in sorted(last.items()) if n in slices]
        if not said:
            raise DataError("you have saved no assessment of this case; save one, then send it")
        sending = Sending(case_id=case.id, reader=reader, verified=verified, slices=len(said))
        assessment = Assessment(
            id=sending.id, origin=case.origin, reader=reader, verified=verified, sent=sending.sent, slices=tuple(said)
        )
        place = self._folder / ASSESSMENTS
        place.mkdir(parents=True, exist_ok=True)
        with self._store.database.alone() as session:
            session.add(sending)
            session.flush()
            write_atomically(place / f"{sending.id}.json", assessment.model_dump_json().encode())
        return sending

    def sent(self, case_id: str) -> list[Sending]:
        """What was sent of a case, the oldest first."""
        return self._store.database.all(select(Sending).where(Sending.case_id == case_id).order_by(col(Sending.sent)))

    def hear(self) -> list[str]:
        """Notes what became of what was sent; gives the cases that it is of."""
        cases = []
        for path in sorted((self._folder / REPLIES).glob("*.json")):
            reply = _reply(path)
            with self._store.database.alone() as session:
                sending = session.get(Sending, path.stem)
                if sending is not None and reply is not None:
                    sending.state, sending.note = reply
                    cases.append(sending.case_id)
            path.unlink()
        return cases


def _assessed(feedback: Feedback, content: dict[str, Any]) -> AssessedSlice:
    points = Outline.parse(feedback.outline).points.tolist() if feedback.outline else []
    return AssessedSlice(
        number=content["handed"],
        verdict=feedback.verdict,
        label=feedback.label,
        comment=feedback.comment,
        outline=tuple((x, y) for x, y in points),
    )


def _reply(path: Path) -> tuple[str, str] | None:
    """State and note of a reply; None if it is none."""
    try:
        reply = json.loads(path.read_bytes())
        state, note = reply["state"], str(reply["note"])[:1000]
    except (ValueError, KeyError, TypeError):
        return None
    return (state, note) if state in _STATES else None
