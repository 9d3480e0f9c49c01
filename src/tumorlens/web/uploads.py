"""Bodies of requests, streamed to disk within limits."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from tumorlens.files import NO_ROOM
from tumorlens.web.settings import Limits

STALLED_SECONDS = 60
"""After which an upload of which nothing more comes is given up."""


GONE = "there is no such case; it may have been deleted"
DISK_FULL = "the server's disk is full; its keeper must make room, then try again"


@dataclass(frozen=True)
class Received:
    """A body on disk, the number of its bytes, and their checksum."""

    path: Path
    size: int
    sha256: str


async def receive(request: Request, folder: Path, limits: Limits, room: int | None = None) -> Received:
    """Writes a request's body to a file of its own in a folder, within the limits, and `room` bytes. No half one stays.

    Raises:
        HTTPException: 413 if it is too large, 408 if it stalls, 400 if it breaks off, 507 if the disk is full, 404 if
            the folder is deleted meanwhile.
    """
    most = limits.file_bytes if room is None else min(limits.file_bytes, room)
    announced = int(request.headers.get("content-length") or 0)
    if announced > most:
        raise _too_large(most)
    path = folder / f".{secrets.token_hex(8)}.part"
    digest, size = hashlib.sha256(), 0
    try:
        if shutil.disk_usage(folder).free - announced < limits.reserve:
            raise HTTPException(507, DISK_FULL)
        with path.open("wb") as file:
            stream = request.stream()
            while True:
                async with asyncio.timeout(STALLED_SECONDS):
                    block = await anext(stream, None)
                if block is None:
                    break
                size += len(block)
                if size > most:
                    raise _too_large(most)
                digest.update(block)
                file.write(block)
        if announced and size != announced:
            raise HTTPException(400, "the upload broke off; send the file again")
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, TimeoutError):
            raise HTTPException(408, "the upload stalled; send the file again") from error
        if isinstance(error, ClientDisconnect):
            raise HTTPException(400, "the upload broke off; send the file again") from error
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise HTTPException(507, DISK_FULL) from error
        if isinstance(error, FileNotFoundError):
            raise HTTPException(404, GONE) from error
        raise
    return Received(path, size, digest.hexdigest())


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"larger than the {most / 2**20:,.0f} MB that are accepted; send less at a time")
