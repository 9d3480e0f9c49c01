"""The weights, events as they happen, health and counters."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from sqlalchemy import text

from tumorlens.card import WeightsCard
from tumorlens.web.api.views import errors
from tumorlens.web.state import AnyReader, App

router = APIRouter(tags=["system"], responses=errors(401))
plain = APIRouter(tags=["system"])


@router.get("/weights")
def weights(parts: App, _reader: AnyReader) -> WeightsCard:
    """The card of the weights that answer."""
    return parts.card


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def events(parts: App, _reader: AnyReader) -> StreamingResponse:
    """How cases stand, as it changes: server-sent events, each with `case`, `status`, `slices` and `total`.

    While a whole slide is read, `tiles` of `of` are done.
    """

    async def stream() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        async with aclosing(parts.desk.watch()) as watched:
            async for event in watched:
                yield f"data: {json.dumps(event)}\n\n" if event else ": still here\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@plain.get("/api/v1/openapi.json", include_in_schema=False)
async def document(request: Request) -> Response:
    """What the API can be asked, as OpenAPI."""
    # On the loop, so that it is made once: threads that all ask for it first would each make it, and none be left.
    return Response(_document(request.app), media_type="application/json")


@lru_cache(maxsize=1)
def _document(app: FastAPI) -> bytes:
    return json.dumps(app.openapi()).encode("ascii")


@plain.get("/healthz", responses=errors(503))
def health(parts: App) -> dict[str, Any]:
    """Whether database and workers answer."""
    try:
        with parts.store.database.session() as session:
            session.execute(text("SELECT 1"))
    except Exception as error:
        raise HTTPException(503, "the database does not answer") from error
    if not parts.pool.alive:
        raise HTTPException(503, "no worker runs")
    return {"status": "ok", "workers": parts.pool.alive}


@plain.get("/metrics", response_class=PlainTextResponse)
def metrics(parts: App, _reader: AnyReader) -> PlainTextResponse:
    """Counters for Prometheus. With accounts, it takes a token."""
    return PlainTextResponse(parts.metrics.text(), media_type="text/plain; version=0.0.4")
