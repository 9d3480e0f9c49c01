"""Pictures of slices, volumes and whole slides."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Response
from fastapi.responses import FileResponse

from tumorlens.errors import AnalysisFailed
from tumorlens.evidence import Region
from tumorlens.web import volumes
from tumorlens.web.api.views import errors
from tumorlens.web.messages import Done, ReadPane, SlideView
from tumorlens.web.pictures import png
from tumorlens.web.series import SeriesView
from tumorlens.web.slides import MAPS
from tumorlens.web.state import App, ThisCase, ThisSlice
from tumorlens.web.tables import Case, Slice

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


@router.get("/cases/{case_id}/series")
def series(case: ThisCase, parts: App) -> list[SeriesView]:
    """The series of a case, in the order of the scanner's list, with windows, and with the grids of volumes."""
    return parts.store.series(case)


@router.get("/cases/{case_id}/series/{place}/volume", response_class=Response)
def volume(case: ThisCase, place: Annotated[int, Path(ge=1, le=2**31 - 1)], parts: App) -> Response:
    """A series as a volume, (planes, rows, columns) little-endian uint16; `SeriesView.volume` says what they mean."""
    return _volume(case, place, parts, None)


@router.get("/cases/{case_id}/series/{place}/heat/{label}", response_class=Response)
def heat_volume(case: ThisCase, place: Annotated[int, Path(ge=1, le=2**31 - 1)], label: str, parts: App) -> Response:
    """The heat for a class in a series, (planes, rows, columns) uint8, on the grid of `SeriesView.volume.heat`."""
    return _volume(case, place, parts, _checked(label, parts))


def _volume(case: Case, place: int, parts: App, key: str | None) -> Response:
    slices = parts.store.slices(case.id)
    found = next((s for s in parts.store.series(case, slices) if s.place == place), None)
    if found is None:
        raise HTTPException(404, "the case has no such series")
    if found.volume is None:
        raise HTTPException(404, f"the series is no volume: {found.flat}")
    rows = {row.number: row for row in slices if row.number in found.volume.slices}
    pictures = {number: parts.store.pictures(case.id, number) for number in rows}
    try:
        if key is None:
            content = volumes.scan_volume(found.volume, rows, pictures).tobytes()
        else:
            content = volumes.heat_volume(found.volume, rows, pictures, key).tobytes()
    except FileNotFoundError as error:
        raise HTTPException(404, "the picture is gone; the case may have been deleted") from error
    headers = {**_KEEP, "Content-Encoding": "gzip"}
    return Response(_packed(content), media_type="application/octet-stream", headers=headers)


def _packed(content: bytes) -> bytes:
    """Gzipped at three times the usual speed: of what is empty little is left, and noise has nothing to be found in."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31, 9, zlib.Z_RLE)
    return packer.compress(content) + packer.flush()


@router.get(
    "/cases/{case_id}/slices/{number}/panes/{zoom}/{column}/{line}.jpg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **errors(422, 429)},
)
async def pane(
    slice_: ThisSlice,
    parts: App,
    zoom: Annotated[int, Path(ge=0, le=24)],
    column: Annotated[int, Path(ge=0, le=2**24)],
    line: Annotated[int, Path(ge=0, le=2**24)],
) -> Response:
    """A square of a whole slide, halved `zoom` times; columns and lines count from its left and top."""
    limits, pool = parts.settings.limits, parts.pool
    if pool.waiting >= limits.waiting:
        raise HTTPException(429, "too many requests wait already; try again in a moment", {"Retry-After": "2"})
    path = parts.store.folder_of(slice_.case_id) / "files" / _slide(slice_).file
    document: dict[str, str] = {}
    try:
        command = ReadPane(path=path, zoom=zoom, column=column, row=line)
        async for message in pool.ask(command, limits.finding_seconds, quick=True):
            if isinstance(message, Done):
                document = message.document or {}
    except AnalysisFailed as error:
        raise HTTPException(422, str(error)) from error
    return Response(base64.b64decode(document["jpeg"]), media_type="image/jpeg", headers=_KEEP)


@router.get("/cases/{case_id}/slices/{number}/map/{name}", response_class=FileResponse)
def slide_map(slice_: ThisSlice, name: str, parts: App) -> FileResponse:
    """A file of a whole slide's map: overlay.png, tiles.csv, summary.json, or tiles.geojson, which QuPath opens."""
    _slide(slice_)
    if name not in MAPS:
        raise HTTPException(404, f"a slide's map has {', '.join(MAPS)}")
    path = parts.store.folder_of(slice_.case_id) / "slides" / f"{slice_.number:05d}" / name
    kinds = {".png": "image/png", ".csv": "text/csv", ".geojson": "application/geo+json", ".json": "application/json"}
    answer = _file(path, kinds[path.suffix])
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _slide(row: Slice) -> SlideView:
    """What there is to zoom into, of a slice that is a whole slide."""
    if not row.content.get("slide"):
        raise HTTPException(404, "it is no whole slide")
    return SlideView.model_validate(row.content["slide"])


def _checked(label: str, parts: App) -> str:
    if label not in parts.card.classes.keys:
        raise HTTPException(404, f"no such class; there are {', '.join(parts.card.classes.keys)}")
    return label


def _file(path: FilePath, kind: str) -> FileResponse:
    if not path.is_file():
        raise HTTPException(404, "the picture is gone; the case may have been deleted")
    return FileResponse(path, media_type=kind, headers=_KEEP)
