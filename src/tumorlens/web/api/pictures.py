"""Pictures of slices and volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import FileResponse

from tumorlens.evidence import Region
from tumorlens.web.api.views import errors
from tumorlens.web.pictures import png
from tumorlens.web.state import App, ThisCase, ThisSlice

router = APIRouter(tags=["pictures"], responses=errors(401, 404))
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
# A slice's pictures never change while their case exists.
_KEEP = {"Cache-Control": "private, max-age=3600"}


class _Picture(FileResponse):
    media_type = "image/png"


@router.get("/cases/{case_id}/slices/{number}/scan.png", response_class=_Picture)
def scan(row: ThisSlice, parts: App) -> FileResponse:
    """The scan as its file wants it shown."""
    return _file(parts.store.pictures(row.case_id, row.number).scan, "image/png")


@router.get("/cases/{case_id}/slices/{number}/values", response_class=Response)
def values(row: ThisSlice, parts: App) -> Response:
    """The numbers behind the picture, (height, width) little-endian uint16; `SliceView.values` says what they mean."""
    path = parts.store.pictures(row.case_id, row.number).values
    if not path.is_file():
        raise HTTPException(404, "the file holds no more than the picture shows")
    return FileResponse(path, media_type="application/octet-stream", headers={**_KEEP, "Content-Encoding": "gzip"})


@router.get("/cases/{case_id}/slices/{number}/heat/{label}.png", response_class=_Picture)
def heat(row: ThisSlice, label: str, parts: App) -> FileResponse:
    """The heat map for a class, grey: white is its peak."""
    return _file(parts.store.pictures(row.case_id, row.number).heat(_checked(label, parts)), "image/png")


@router.get("/cases/{case_id}/slices/{number}/overlay/{label}.png", response_class=_Picture, responses=_PNG)
def overlay(row: ThisSlice, label: str, parts: App, opacity: Annotated[float, Query(ge=0, le=1)] = 0.6) -> Response:
    """The heat map for a class in colours over the scan, with its contour and a scale."""
    content = row.content["regions"].get(_checked(label, parts))
    region = None if content is None else Region.model_validate(content)
    pictures = parts.store.pictures(row.case_id, row.number)
    try:
        picture = pictures.overlay(label, region, row.content["width"], opacity)
    except FileNotFoundError as error:
        raise HTTPException(404, "the picture is gone; the case may have been deleted") from error
    return Response(png(picture), media_type="image/png", headers=_KEEP)


@router.get("/cases/{case_id}/volumes/{number}/{part}.nii.gz", response_class=FileResponse)
def volume(case: ThisCase, number: int, part: str, parts: App) -> FileResponse:
    """A NIfTI volume: `scan`, or `heat-CLASS`, in the nearest canonical orientation."""
    kind, _, label = part.partition("-")
    if kind not in ("scan", "heat") or (kind == "heat") != bool(label):
        raise HTTPException(404, "a volume has the parts scan and heat-CLASS")
    if label:
        _checked(label, parts)
    path = parts.store.folder_of(case.id) / "volumes" / str(number) / f"{part}.nii.gz"
    return _file(path, "application/octet-stream")


def _checked(label: str, parts: App) -> str:
    if label not in parts.card.classes.keys:
        raise HTTPException(404, f"no such class; there are {', '.join(parts.card.classes.keys)}")
    return label


def _file(path: Path, kind: str) -> FileResponse:
    if not path.is_file():
        raise HTTPException(404, "the picture is gone; the case may have been deleted")
    return FileResponse(path, media_type=kind, headers=_KEEP)
