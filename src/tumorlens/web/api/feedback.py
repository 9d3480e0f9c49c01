"""Readers' assessments: agree, another class, unsure, a comment, an outline; and the data set they make."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, BackgroundTasks, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import Field, StringConstraints

from tumorlens.outline import Outline
from tumorlens.web.api.cases import finished
from tumorlens.web.api.views import Asked, errors
from tumorlens.web.state import AnyReader, App, ThisCase
from tumorlens.web.tables import AGREE, OTHER, Feedback, FeedbackView

router = APIRouter(tags=["feedback"], responses=errors(401, 404))

_Point = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]


class NewFeedback(Asked):
    """A reader's assessment of a slice.

    Attributes:
        slice: Its number.
        verdict: "agree" with the finding, "other" class, or "unsure".
        label: Key of the class, with "other".
        comment: In your words, without patient names.
        outline: Corners of your outline of the tumour, x and y in fractions of width and height; or none.
    """

    slice: int = Field(ge=1, le=2**31 - 1)
    verdict: Literal["agree", "other", "unsure"]
    label: Annotated[str, StringConstraints(max_length=80)] = ""
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)] = ""
    outline: Annotated[list[_Point], Field(max_length=2000)] = Field(default_factory=list)


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
    feedback = parts.store.add_feedback(Feedback(**given))
    detail = f"slice {new.slice}, {new.verdict} {label}{', outline' if outline else ''}".strip()
    parts.audit.note(reader.name, "feedback.added", case.id, detail)
    parts.desk.announce(case)
    return feedback


@router.get("/feedback/export", response_class=FileResponse, responses=errors(409))
def export(parts: App, reader: AnyReader, background: BackgroundTasks) -> FileResponse:
    """All that readers said, as a zip archive that `tumorlens train` and `evaluate` take once it is unpacked.

    A slice on which readers disagree is in its feedback.csv alone.
    """
    from tumorlens.web.export import export_feedback

    path = export_feedback(parts.store, parts.settings.home)
    if path is None:
        raise HTTPException(409, "nobody has said anything yet, or readers disagree on every slice")
    parts.audit.note(reader.name, "feedback.exported")
    background.add_task(path.unlink, missing_ok=True)
    return FileResponse(path, media_type="application/zip", filename="tumorlens-feedback.zip", background=background)


@router.get("/cases/{case_id}/report.html", response_class=HTMLResponse, tags=["reports"], responses=errors(409))
def report_page(case: ThisCase, parts: App, reader: AnyReader) -> HTMLResponse:
    """The report of a case, one HTML page with its pictures in it."""
    from tumorlens.web.report import html_report, make_report

    report = make_report(finished(case), parts.store)
    parts.audit.note(reader.name, "report.made", case.id, "html")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return HTMLResponse(html_report(report), headers={"Content-Security-Policy": policy})


@router.get(
    "/cases/{case_id}/report.pdf",
    response_class=Response,
    tags=["reports"],
    responses={200: {"content": {"application/pdf": {}}}, **errors(409)},
)
def report_pdf(case: ThisCase, parts: App, reader: AnyReader) -> Response:
    """The report of a case as PDF."""
    from tumorlens.web.report import make_report
    from tumorlens.web.report_pdf import pdf_report

    report = make_report(finished(case), parts.store)
    parts.audit.note(reader.name, "report.made", case.id, "pdf")
    name = f'inline; filename="tumorlens-{case.id}.pdf"'
    return Response(pdf_report(report), media_type="application/pdf", headers={"Content-Disposition": name})
