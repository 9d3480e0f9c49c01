"""Puts the application together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from tumorlens.card import find_weights, read_card
from tumorlens.errors import ChangedMeanwhile, ConfigError, DataError
from tumorlens.files import NO_ROOM
from tumorlens.version import __version__
from tumorlens.web import pages
from tumorlens.web.accounts import Accounts
from tumorlens.web.api import router, system
from tumorlens.web.assessments import Assessments
from tumorlens.web.audit import Audit
from tumorlens.web.database import Database
from tumorlens.web.desk import Desk
from tumorlens.web.evaluations import EvaluationReports
from tumorlens.web.metrics import Metrics
from tumorlens.web.pool import Pool
from tumorlens.web.security import Guard
from tumorlens.web.settings import Settings, is_local
from tumorlens.web.state import State
from tumorlens.web.store import Store
from tumorlens.web.uploads import DISK_FULL, GONE

log = logging.getLogger("tumorlens.web")

_SORRY = "the server could not do it; its keeper's log says more"

DESCRIPTION = """Scans in, findings out. For research use only: not a medical device.

A case: `POST /cases`, `PUT /cases/{id}/files` for each file, `POST /cases/{id}/start`, then watch `GET /events` or ask
`GET /cases/{id}`. A single file: `POST /findings` answers at once and keeps nothing."""


def create_app(settings: Settings) -> FastAPI:
    """The application. Its database is brought up to date at once, its workers start with it.

    Raises:
        ConfigError: If it would be open to a network without accounts, or nobody could log in, or it cannot be run so.
        ModelError: If there are no such weights.
    """
    if not is_local(settings.host) and not settings.accounts:
        raise ConfigError(f"{settings.host} is reached from other machines; that takes accounts: add --accounts")
    card = read_card(find_weights(settings.weights))
    secret = settings.prepare()
    database = Database(settings.database_url)
    accounts, audit, metrics = Accounts(database), Audit(database), Metrics()
    try:
        database.migrate()
        if settings.accounts and not accounts.all():
            raise ConfigError("nobody could log in; add somebody first: tumorlens accounts add NAME --role admin")
    except ConfigError:
        database.close()
        raise
    store = Store(database, settings.cases, card, deidentify=settings.deidentify)
    pool = Pool(settings)
    desk = Desk(settings, store, pool, audit, metrics, secret)
    metrics.gauge("waiting_requests", "Requests and cases that wait for a worker.", lambda: pool.waiting)
    metrics.gauge("workers", "Workers that run.", lambda: pool.alive)
    metrics.gauge("worker_restarts", "Workers that were lost or killed.", lambda: pool.restarts)
    metrics.gauge("watchers", "Pages that watch.", lambda: desk.watchers)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await pool.start()
        store.sweep()
        await desk.open()
        log.info("open", extra={"weights": card.name, "workers": settings.workers})
        yield
        pool.close()
        await desk.close()
        await pool.stop()
        database.close()
        log.info("closed")

    app = FastAPI(
        title="TumorLens",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its page loads from elsewhere; ours is /api
        redoc_url=None,
        openapi_url=None,  # FastAPI's own makes it anew for every request, of which nobody knows whose it is
    )
    evaluations, assessments = EvaluationReports(settings.reports), Assessments(database)
    app.state.parts = State(settings, card, store, pool, desk, assessments, accounts, audit, metrics, evaluations)
    app.include_router(router)
    app.include_router(system.plain)
    app.include_router(pages.router)
    app.mount("/static", _Static(directory=pages.HERE / "static"))
    app.add_middleware(GZipMiddleware, minimum_size=800, compresslevel=6)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(ConfigError, _wrong)
    app.add_exception_handler(DataError, _wrong)
    app.add_exception_handler(ChangedMeanwhile, _changed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(OperationalError, _database)
    app.add_exception_handler(DatabaseError, _row)
    app.add_exception_handler(StaleDataError, _gone)
    app.add_exception_handler(OSError, _disk)
    app.add_exception_handler(Exception, _failed)
    return app


class _Static(StaticFiles):
    """Assets, which browsers may keep: their addresses change with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        versioned = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _wrong(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _changed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ChangedMeanwhile)
    return JSONResponse({"error": str(error)}, 409)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Where and why, not what: that may be a patient's.
    problems = "; ".join(f"{'.'.join(str(p) for p in e['loc'][1:]) or 'body'}: {e['msg']}" for e in error.errors()[:5])
    return JSONResponse({"error": problems}, 422)


async def _database(_request: Request, error: Exception) -> Response:
    full = "full" in str(error.__cause__ or error).lower()
    log.error("database", extra={"kind": type(error).__name__, "full": full})
    if full:
        return JSONResponse({"error": DISK_FULL}, 507)
    return JSONResponse({"error": "the database does not answer; try again"}, 503)


async def _row(request: Request, error: Exception) -> Response:
    if "foreign key" in str(error).lower():
        return await _gone(request, error)
    log.error("database", extra={"kind": type(error).__name__})
    return JSONResponse({"error": _SORRY}, 500)


async def _gone(_request: Request, _error: Exception) -> Response:
    """Of a case that was deleted while something was done with it."""
    return JSONResponse({"error": GONE}, 404)


async def _failed(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"error": _SORRY}, 500)


async def _disk(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    cases = request.app.state.parts.settings.cases
    if isinstance(error, FileNotFoundError) and Path(str(error.filename)).is_relative_to(cases):
        return await _gone(request, error)
    if error.errno in NO_ROOM:
        return JSONResponse({"error": DISK_FULL}, 507)
    log.error("disk", extra={"errno": error.errno})
    return JSONResponse({"error": _SORRY}, 500)
