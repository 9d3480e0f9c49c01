"""The pages: shells that the scripts in `static` fill from the API, and texts that need no script."""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tumorlens.version import __version__
from tumorlens.web.accounts import Reader
from tumorlens.web.evaluations import POLICY
from tumorlens.web.manual import operations
from tumorlens.web.state import App, State, find_reader
from tumorlens.web.tables import DONE, FAILED

HERE = Path(__file__).parent
router = APIRouter(include_in_schema=False)
SomeReader = Annotated[Reader | None, Depends(find_reader)]


@cache
def templates() -> Environment:
    """The templates, with everything escaped that is put into them."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals["asset"] = asset
    environment.globals["tumorlens_version"] = __version__
    environment.filters["day"] = lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d")
    return environment


@cache
def asset(name: str) -> str:
    """Address of a file in `static`: with its content's hash, so that it may be kept forever.

    Scripts go without: they import each other by their plain names, and a script under two addresses would run twice.
    """
    if name.endswith(".js") and "/" not in name:
        return f"/static/{name}"
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


PAGES = {"/": "room.html", "/how-to-read": "how_to_read.html", "/people": "people.html"}
"""The reading room; how to read a heat map; accounts, tokens and the audit log."""


@router.get("/")
@router.get("/how-to-read")
@router.get("/people")
def page(request: Request, parts: App, reader: SomeReader) -> Response:
    """A page of `PAGES`."""
    return _page(PAGES[request.scope["route"].path], parts, reader, request)


@router.get("/model")
def model(request: Request, parts: App, reader: SomeReader) -> Response:
    """The weights' card, and reports of data and networks that the server was told of."""
    return _page("model.html", parts, reader, request, evaluations=parts.evaluations.all() if reader else [])


@router.get("/reports/{name:path}")
def evaluation(name: str, request: Request, parts: App, reader: SomeReader) -> Response:
    """Such a report, as it is: it may show itself, and do nothing else."""
    if reader is None:
        return _page("", parts, None, request)
    if (file := parts.evaluations.find(name)) is None:
        raise HTTPException(404, "there is no such report")
    return FileResponse(file, media_type="text/html", headers={"Content-Security-Policy": POLICY})


@router.get("/cases/{case_id}")
def case(case_id: str, request: Request, parts: App, reader: SomeReader) -> Response:
    """A case. Of tissue, it opens as slides until it shows that its files are tiles."""
    row = parts.store.get(case_id) if reader else None
    if reader and row is None:
        return _page("missing.html", parts, reader, request, status=404)
    name = "case.html"
    if row is not None and parts.card.preprocessing.in_colour:
        coming = not row.slices and row.status not in (DONE, FAILED)
        name = "slide.html" if coming or parts.store.has_slides(row.id) else name
    return _page(name, parts, reader, request, case=row)


@router.get("/api")
def api(request: Request, parts: App, reader: SomeReader) -> Response:
    """What the API offers, from its OpenAPI document."""
    document = request.app.openapi()
    return _page("api.html", parts, reader, request, document=document, groups=operations(document))


@router.get("/login")
def login(request: Request, parts: App, reader: SomeReader) -> Response:
    """Where one logs in."""
    return RedirectResponse("/", 303) if reader else _render("login.html", parts, None, request)


def _page(name: str, parts: State, reader: Reader | None, request: Request, **more: Any) -> Response:
    """A page for somebody who has logged in; others are sent to do so."""
    if reader is None:
        return RedirectResponse(f"/login?next={request.url.path}", 303)
    return _render(name, parts, reader, request, **more)


def _render(
    name: str, parts: State, reader: Reader | None, request: Request, status: int = 200, **more: Any
) -> HTMLResponse:
    common = {"reader": reader, "settings": parts.settings, "card": parts.card, "page": name, "path": request.url.path}
    return HTMLResponse(templates().get_template(name).render(**common, **more), status)
