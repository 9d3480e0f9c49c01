"""Readers' assessments: drafts while they type, agree, another class or unsure once they save, and how far they are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel, Field, StringConstraints

from tumorlens.outline import Outline
from tumorlens.web.api.views import Asked, errors
from tumorlens.web.state import AnyReader, App, ThisCase, ThisSlice
from tumorlens.web.tables import AGREE, OTHER, Draft, Feedback, FeedbackView

router = APIRouter(tags=["feedback"], responses=errors(401, 404))

_Point = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]
_Outline = Annotated[list[_Point], Field(max_length=2000)]
_Label = Annotated[str, StringConstraints(max_length=80)]
_Version = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Typed(Asked):
    """What a reader has typed of a slice, perhaps not all of it.

    Attributes:
        verdict: "agree" with the finding, "other" class, "unsure", or empty.
        label: Key of the class, with "other".
        comment: In your words, without patient names.
        outline: Corners of your outline of the tumour, x and y in fractions of width and height; or none.
    """

    verdict: Literal["", "agree", "other", "unsure"] = ""
    label: _Label = ""
    comment: Annotated[str, StringConstraints(max_length=4000)] = ""
    outline: _Outline = Field(default_factory=list)


class NewDraft(Typed):
    """A draft to keep. `version` is that of the draft it replaces; 0 where there was none."""

    version: _Version


class NewFeedback(Asked):
    """A reader's assessment of a slice.

    Attributes:
        slice: Its number.
        verdict: "agree" with the finding, "other" class, or "unsure".
        label: Key of the class, with "other".
        comment: In your words, without patient names.
        outline: Corners of your outline of the tumour, x and y in fractions of width and height; or none.
        version: Of the draft that it ends; without one, whatever that is.
    """

    slice: int = Field(ge=1, le=2**31 - 1)
    verdict: Literal["agree", "other", "unsure"]
    label: _Label = ""
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)] = ""
    outline: _Outline = Field(default_factory=list)
    version: _Version | None = None


class DraftView(BaseModel):
    """A draft of yours.

    Attributes:
        slice: Number of its slice.
        version: Counts each change, also those that end it. Say it with the next one.
        touched: When it was changed; seconds since 1970.
        content: What was typed; None where nothing waits to be saved.
    """

    slice: int
    version: int
    touched: float
    content: Typed | None

    @classmethod
    def of(cls, row: Draft) -> DraftView:
        """A row as the API has it."""
        return cls.model_validate(row, from_attributes=True)


class StandingView(BaseModel):
    """How far you are with a case.

    Attributes:
        drafts: Of each slice that you ever touched.
        assessed: By slice, what each reader who saved an assessment said last: "agree", "other" or "unsure".
        suspicious: Numbers of the suspicious slices.
        yours: Numbers of those that you have assessed.
    """

    drafts: list[DraftView]
    assessed: dict[int, dict[str, str]]
    suspicious: list[int]
    yours: list[int]


@router.get("/cases/{case_id}/standing")
def standing(case: ThisCase, parts: App, reader: AnyReader) -> StandingView:
    """Your drafts of a case, which slices were assessed, and how many suspicious ones you have yet to assess."""
    found = parts.assessments.standing(case.id, reader.name)
    suspicious = (case.study or {}).get("suspected", [])
    yours = [number for number in suspicious if reader.name in found.assessed.get(number, {})]
    drafts = [DraftView.of(draft) for draft in found.drafts]
    return StandingView(drafts=drafts, assessed=found.assessed, suspicious=suspicious, yours=yours)


@router.put("/cases/{case_id}/slices/{number}/draft", responses=errors(409))
def keep(row: ThisSlice, number: _Number, new: NewDraft, parts: App, reader: AnyReader) -> DraftView:
    """Keeps what you have typed of a slice, before you save it. Refused, if another tab of yours was faster."""
    content = new.model_dump(exclude={"version"})
    return _changed(row.case_id, number, content, new.version, parts, reader.name)


@router.delete("/cases/{case_id}/slices/{number}/draft", responses=errors(409))
def discard(row: ThisSlice, number: _Number, version: _Version, parts: App, reader: AnyReader) -> DraftView:
    """Throws a draft away."""
    return _changed(row.case_id, number, None, version, parts, reader.name)


@router.get("/cases/{case_id}/feedback", response_model=list[FeedbackView])
def show(case: ThisCase, parts: App) -> list[Feedback]:
    """What readers said of a case, in the order they said it."""
    return parts.store.feedback(case.id)


@router.post("/cases/{case_id}/feedback", status_code=201, response_model=FeedbackView, responses=errors(400, 409))
def say(case: ThisCase, new: NewFeedback, parts: App, reader: AnyReader) -> Feedback:
    """Says what a slice shows. A later word of the same reader counts instead; none is overwritten."""
    row = parts.store.slice(case.id, new.slice)
    if row is None:
        raise HTTPException(404, "the case has no such slice")
    keys = parts.card.classes.keys
    if new.verdict == OTHER and new.label not in keys:
        raise HTTPException(400, f"say which class it is: {', '.join(keys)}")
    if new.verdict == AGREE and row.content["finding"]["unknown"]:
        raise HTTPException(400, "there is no class to agree with: the scan is unknown; say which class it is")
    label = {AGREE: row.content["finding"]["label"], OTHER: new.label}.get(new.verdict, "")
    outline = str(Outline(np.array(new.outline, float))) if new.outline else ""
    given = new.model_dump() | {"case_id": case.id, "reader": reader.name, "label": label, "outline": outline}
    feedback = parts.assessments.save(Feedback(**given), new.version)
    detail = f"slice {new.slice}, {new.verdict} {label}{', outline' if outline else ''}".strip()
    parts.audit.note(reader.name, "feedback.added", case.id, detail)
    parts.desk.announce(case, slice=new.slice, reader=reader.name)
    return feedback


def _changed(
    case_id: str, number: int, content: dict[str, Any] | None, version: int, parts: App, reader: str
) -> DraftView:
    draft = parts.assessments.keep(case_id, number, reader, content, version)
    parts.desk.announce(parts.store.get(case_id), slice=number, reader=reader, version=draft.version)
    return DraftView.of(draft)
