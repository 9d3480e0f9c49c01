"""What is made of readers' assessments: reports, and a data set."""

from __future__ import annotations

from fastapi import APIRouter, BackgroundTasks, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response

from tumorlens.web.api.cases import finished
from tumorlens.web.api.views import errors
from tumorlens.web.state import AnyReader, App, ThisCase

router = APIRouter(tags=["feedback"], responses=errors(401, 404))


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
