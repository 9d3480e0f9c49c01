"""Findings at once: a file in, its findings out. Nothing is kept."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request

from tumorlens.errors import AnalysisFailed
from tumorlens.formats import Axis
from tumorlens.web.api.cases import BODY, Name, clean_name
from tumorlens.web.api.views import Document, errors
from tumorlens.web.messages import Done, FindInFile
from tumorlens.web.state import AnyReader, App
from tumorlens.web.uploads import receive

router = APIRouter(tags=["findings"])


@router.post("/findings", openapi_extra=BODY, responses=errors(400, 401, 408, 413, 422, 429, 507))
async def find(
    request: Request,
    parts: App,
    reader: AnyReader,
    name: Name = "scan",
    axis: Axis = "axial",
    target: Annotated[str | None, Query(max_length=80, description="Class to explain; the most probable one.")] = None,
    pictures: Annotated[bool, Query(description="Embed overlay and heat map as data: addresses.")] = False,
) -> Document:
    """Says what a file's slices show, as `tumorlens predict --json` does. Up to 64 slices; nothing is kept."""
    settings = parts.settings
    if target is not None and target not in parts.card.classes.keys:
        raise HTTPException(422, f"no such class; there are {', '.join(parts.card.classes.keys)}")
    if parts.pool.waiting >= settings.limits.waiting:
        raise HTTPException(429, "too many requests wait already; try again in a moment", {"Retry-After": "2"})
    received = await receive(request, settings.cases, settings.limits)
    command = FindInFile(path=received.path, name=clean_name(name), axis=axis, target=target, pictures=pictures)
    try:
        asked = parts.pool.ask(command, settings.limits.finding_seconds, quick=True)
        async with contextlib.aclosing(asked) as messages:
            async for message in messages:
                if isinstance(message, Done):
                    document = Document.model_validate(message.document)
    except AnalysisFailed as error:
        raise HTTPException(422, str(error)) from error
    finally:
        received.path.unlink(missing_ok=True)
    for finding in document.findings:
        parts.metrics.findings.labels(finding.label or "unknown").inc()
    detail = f"sha256 {received.sha256[:16]}, weights {document.weights.sha256[:12]}"
    await asyncio.to_thread(parts.audit.note, reader.name, "finding.made", "", detail)
    if not document.findings:
        raise HTTPException(422, document.failures[0].error if document.failures else "no scan in the file")
    return document
