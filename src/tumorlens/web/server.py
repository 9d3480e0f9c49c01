"""Runs the application under uvicorn."""

from __future__ import annotations

import gc
import logging
import socket
import sys
import threading
import webbrowser
from functools import partial
from pathlib import Path
from urllib.parse import quote

import typer
import uvicorn

from tumorlens import limits
from tumorlens.errors import ConfigError
from tumorlens.web.app import create_app
from tumorlens.web.connections import HANDFUL, Connection, Connections, Porch
from tumorlens.web.desk import Desk
from tumorlens.web.logs import set_up
from tumorlens.web.settings import Settings

log = logging.getLogger("tumorlens.web")


def run(
    settings: Settings, tls: tuple[Path | None, Path | None], *, proxy: str | None = None, open_browser: bool = False
) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Args:
        settings: How.
        tls: Certificate and key, PEM, or two times None.
        proxy: Address of a proxy that says who asks.
        open_browser: Whether to open the page.

    Raises:
        ConfigError: If the port is taken.
    """
    app = create_app(settings)
    app.openapi()  # made and kept now: it takes a second, in which nobody else would be answered
    certificate, key = (None if path is None else str(path) for path in tls)
    bound = _bind(settings)
    set_up()
    config = uvicorn.Config(
        app,
        http=partial(Connection, Connections(bound, proxied=proxy is not None)),  # type: ignore[arg-type]
        loop="asyncio",
        ws="none",
        backlog=HANDFUL,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy or "",
        timeout_keep_alive=round(limits.KEEP_SECONDS),
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=64 * limits.KB,
    )
    host, port = bound.getsockname()[:2]
    name = "localhost" if host in ("127.0.0.1", "::1") else f"[{quote(host)}]" if ":" in host else host
    address = f"http{'s' if certificate else ''}://{name}:{port}/"
    if sys.stderr.isatty():
        typer.echo(f"TumorLens reads scans at {address} — for research use only. Ctrl-C ends it.", err=True)
    else:  # a log, of which every line is JSON
        log.info("reads scans", extra={"address": address})
    if open_browser:
        opener = threading.Timer(1.5, webbrowser.open, (address,))
        opener.daemon = True
        opener.start()
    gc.freeze()  # what is here now stays: collections need not look at it again whenever a large case is loaded
    _Server(config, app.state.parts.desk).run(sockets=[bound])


class _Server(uvicorn.Server):
    """Sends those who watch away before it waits for connections to end: theirs would not."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self._desk = desk

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._desk.dismiss()
        await super().shutdown(sockets)


def _bind(settings: Settings) -> Porch:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named as TCP, or asyncio does not turn Nagle's algorithm off, and every answer waits 40 ms for an acknowledgement.
    bound = Porch(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or "no such address"
        raise ConfigError(f"{settings.host}:{settings.port}: {reason}; choose another --port or --host") from error
    bound.listen()
    return bound
