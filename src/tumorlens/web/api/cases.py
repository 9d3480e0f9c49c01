"""Cases: make one, upload its files, have it read, look at it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request
from pydantic import StringConstraints

from tumorlens.formats import Axis
from tumorlens.web.api.views import Asked, CaseDetail, CaseList, CaseView, Document, SliceView, Title, errors
from tumorlens.web.state import AnyReader, App, OwnCase, ThisCase, ThisSlice
from tumorlens.web.tables import DONE, FAILED, UPLOADING, Case, Upload, UploadView
from tumorlens.web.uploads import GONE, receive

router = APIRouter(tags=["cases"], responses=errors(401, 404, 429))
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Name = Annotated[str, Query(max_length=4096, description="The file's name, with its folders if it has any.")]


class NewCase(Asked):
    """A case to make.

    Attributes:
        title: What people call it; left empty, its files say.
        axis: The plane to cut volumes in.
    """

    title: Title = ""
    axis: Axis = "axial"


class Changes(Asked):
    """What may be changed of a case; what is left out stays.

    Attributes:
        title: What people call it.
        linked: Identifier of an earlier case of the same person; empty takes the link away.
    """

    title: Title | None = None
    linked: Annotated[str, StringConstraints(max_length=64)] | None = None


@router.post("/cases", status_code=201)
def create(new: NewCase, parts: App, reader: AnyReader) -> CaseView:
    """Makes a case. Upload its files to it, then start it."""
    case = parts.store.create(new.title, reader.name, new.axis)
    parts.audit.note(reader.name, "case.created", case.id)
    parts.desk.announce(case)
    return _view(case, parts)


@router.get("/cases")
def search(
    parts: App,
    _reader: AnyReader,
    text: Annotated[str, Query(max_length=200, description="What titles, classes or comments hold.")] = "",
    status: Literal["uploading", "waiting", "reading", "done", "failed"] | None = None,
    label: Annotated[str | None, Query(max_length=80)] = None,
    unknown: bool | None = None,
    verdict: Literal["agree", "other", "unsure", "any", "none"] | None = None,
    sort: Literal["newest", "oldest", "uncertainty", "title"] = "newest",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> CaseList:
    """The worklist."""
    wanted = {"status": status, "label": label, "unknown": unknown, "verdict": verdict}
    filters = {name: value for name, value in wanted.items() if value is not None}
    total, cases = parts.store.search(text, filters, sort, limit, offset)
    return CaseList(total=total, cases=[_view(case, parts, verdict) for case, verdict in cases])


@router.get("/cases/{case_id}")
def show(case: ThisCase, parts: App) -> CaseDetail:
    """A case."""
    feedback = parts.store.feedback(case.id)
    view = _view(case, parts, feedback[-1].verdict if feedback else "")
    return CaseDetail(**view.model_dump(), failures=parts.store.failures(case.id))


@router.patch("/cases/{case_id}", responses=errors(400, 403))
def change(case: OwnCase, changes: Changes, parts: App) -> CaseView:
    """Gives a case another title, or links it to an earlier one of the same person."""
    if changes.linked and (changes.linked == case.id or parts.store.get(changes.linked) is None):
        raise HTTPException(400, "there is no such other case to link; it may have been deleted")
    changed = parts.store.update(case.id, **changes.model_dump(exclude_none=True))
    parts.desk.announce(changed)
    return _view(changed or case, parts)


@router.delete("/cases/{case_id}", status_code=204, responses=errors(403))
def delete(case: OwnCase, parts: App, reader: AnyReader) -> None:
    """Deletes a case with all that is known of it: one's own, or, for admins, any."""
    parts.store.delete(case.id)
    parts.audit.note(reader.name, "case.deleted", case.id)
    parts.desk.announce(case, deleted=True)


@router.put(
    "/cases/{case_id}/files",
    status_code=201,
    response_model=UploadView,
    openapi_extra=BODY,
    responses=errors(400, 403, 408, 409, 413, 507),
)
async def upload(request: Request, case: OwnCase, parts: App, reader: AnyReader, name: Name = "") -> Upload:
    """Uploads a file: a picture, a DICOM file, a NIfTI volume, or a zip archive of them.

    The same bytes sent again to the same case count once, so an upload whose answer was lost may be repeated.
    """
    limits = parts.settings.limits
    if case.status != UPLOADING:
        raise HTTPException(409, "the case takes no more files; make another")
    if case.files >= limits.files:
        raise HTTPException(413, f"a case may have {limits.files:,} files; make another for the rest, or a zip archive")
    try:
        received = await receive(request, parts.store.folder_of(case.id), limits, limits.case_bytes - case.size)
    except HTTPException:
        await asyncio.to_thread(_tidy, case.id, parts)
        raise
    if not received.size:
        received.path.unlink(missing_ok=True)
        raise HTTPException(400, "the file is empty; export or download it again")
    row = await asyncio.to_thread(
        parts.store.add_upload, case.id, clean_name(name), received.size, received.sha256, received.path
    )
    if row is None:
        received.path.unlink(missing_ok=True)
        if await asyncio.to_thread(_tidy, case.id, parts):
            raise HTTPException(404, GONE)
        raise HTTPException(409, "the case takes no more files; make another")
    await asyncio.to_thread(parts.audit.note, reader.name, "file.uploaded", case.id, f"sha256 {row.sha256[:16]}")
    return row


@router.get("/cases/{case_id}/same")
def same(case: ThisCase, parts: App) -> list[CaseView]:
    """Other cases of exactly the same files, whatever these are called: to be opened instead of reading them again."""
    return [_view(other, parts) for other in parts.store.same_files(case.id)]


@router.post("/cases/{case_id}/start", status_code=202, responses=errors(403, 409))
async def start(case: OwnCase, parts: App, reader: AnyReader) -> CaseView:
    """Has a case read. A failed one is tried again."""
    if case.status not in (UPLOADING, FAILED):
        raise HTTPException(409, "the case is being read, or was")
    if not case.files:
        raise HTTPException(409, "the case has no files; upload some first")
    started = await asyncio.to_thread(parts.store.start, case.id)
    if started is None:  # in this moment somebody else deleted it, or started it
        if parts.store.get(case.id) is None:
            raise HTTPException(404, GONE)
        raise HTTPException(409, "the case is being read, or was")
    await asyncio.to_thread(parts.audit.note, reader.name, "case.started", case.id, f"{started.files} files")
    parts.desk.announce(started)
    parts.desk.submit(started)
    return _view(started, parts)


@router.get("/cases/{case_id}/slices")
def slices(
    case: ThisCase,
    parts: App,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only slices with a larger number.")] = 0,
) -> list[SliceView]:
    """A case's slices; while it is read, those found so far."""
    return [SliceView.of(row, parts.card) for row in parts.store.slices(case.id, after)]


@router.get("/cases/{case_id}/slices/{number}")
def one_slice(row: ThisSlice, number: Annotated[int, Path(ge=1, le=2**31 - 1)], parts: App) -> SliceView:
    """A slice."""
    del number
    return SliceView.of(row, parts.card)


@router.get("/cases/{case_id}/findings")
def findings(case: ThisCase, parts: App) -> Document:
    """A case's findings, as `tumorlens predict --json` gives them."""
    return Document(**dict(parts.store.document(case)))


def finished(case: Case) -> Case:
    """A case that is done; HTTPException 409 if it is not."""
    if case.status != DONE:
        raise HTTPException(409, "the case is not done; wait until it is")
    return case


def _view(case: Case, parts: App, verdict: str = "") -> CaseView:
    return CaseView.of(case, parts.settings.keep_days, verdict)


def _tidy(case_id: str, parts: App) -> bool:
    """Whether a case is gone: then what was being uploaded to it goes too, and its folder."""
    if parts.store.get(case_id) is not None:
        return False
    parts.store.delete(case_id)
    return True


def clean_name(name: str) -> str:
    """A name without what no name has; it is shown, never opened."""
    return "".join(c for c in name if c.isprintable()) or "file"
