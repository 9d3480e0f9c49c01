"""The pages: shells that the scripts in `static` fill from the API, and texts that need no script."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tumorlens.version import __version__
from tumorlens.web.accounts import Reader
from tumorlens.web.state import App, State, find_reader

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


def _page(name: str, parts: State, reader: Reader | None, request: Request, **more: Any) -> Response:
    if reader is None:
        return RedirectResponse(f"/login?next={request.url.path}", 303)
    content = (
        templates()
        .get_template(name)
        .render(reader=reader, settings=parts.settings, card=parts.card, page=name, path=request.url.path, **more)
    )
    return HTMLResponse(content)


@router.get("/")
def home(request: Request, parts: App, reader: SomeReader) -> Response:
    """The reading room: where scans are dropped, and the worklist."""
    return _page("room.html", parts, reader, request)


@router.get("/cases/{case_id}")
def case(case_id: str, request: Request, parts: App, reader: SomeReader) -> Response:
    """A case."""
    row = parts.store.get(case_id) if reader else None
    if reader and row is None:
        return HTMLResponse(_missing(parts, reader, request), 404)
    return _page("case.html", parts, reader, request, case=row)


@router.get("/model")
def model(request: Request, parts: App, reader: SomeReader) -> Response:
    """The weights' card."""
    return _page("model.html", parts, reader, request)


@router.get("/how-to-read")
def how_to_read(request: Request, parts: App, reader: SomeReader) -> Response:
    """How to read a heat map, and how it misleads."""
    return _page("how_to_read.html", parts, reader, request)


@router.get("/api")
def api(request: Request, parts: App, reader: SomeReader) -> Response:
    """What the API offers, from its OpenAPI document."""
    return _page("api.html", parts, reader, request, document=request.app.openapi())


@router.get("/people")
def people(request: Request, parts: App, reader: SomeReader) -> Response:
    """Tokens; for admins also accounts and the audit log."""
    return _page("people.html", parts, reader, request)


@router.get("/login")
def login(parts: App, reader: SomeReader) -> Response:
    """Where one logs in."""
    if reader is not None:
        return RedirectResponse("/", 303)
    return HTMLResponse(
        templates()
        .get_template("login.html")
        .render(reader=None, settings=parts.settings, card=parts.card, page="login.html", path="/login")
    )


def _missing(parts: State, reader: Reader, request: Request) -> str:
    return (
        templates()
        .get_template("missing.html")
        .render(reader=reader, settings=parts.settings, card=parts.card, page="missing.html", path=request.url.path)
    )
