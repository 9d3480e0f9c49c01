"""What every request passes through: by which name it came, from where, how often; and what every answer says."""

from __future__ import annotations

import logging
import re
import time
from urllib.parse import urlsplit

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tumorlens import limits
from tumorlens.web.metrics import Metrics
from tumorlens.web.settings import Settings

log = logging.getLogger("tumorlens.web.requests")

COOKIE = "tumorlens_visit"

_UPLOAD = re.compile(r"/api/v1/(findings|cases/[^/]+/files)")
_SAFE = {"GET", "HEAD", "OPTIONS"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware: refuses, limits, sets headers, logs and counts.

    Refused are requests by a name the page does not have (a rebound one), and those that change something and come from
    another site, by the Fetch Metadata headers and Origin (RFC 6454): both are the browser's own, no page can forge
    them. Programs send neither and pass. Logged and counted are route, status and time, never a path or a query.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate, self._login_rate = parse(settings.rate), parse(settings.login_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if self._settings.https:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            refusal = self._refusal(scope)
            await (refusal or self._app)(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds, method = time.perf_counter() - began, scope["method"]
            self._metrics.request(method, route, status, seconds)
            facts = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
            log.info("request", extra=facts)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        allowed = self._settings.allowed_hosts
        if allowed and name not in allowed:
            return _no(400, "the page is not reached by this name; add it with --host-name")
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return _no(400, "the address holds characters that are no text")
        if scope["method"] not in _SAFE and _is_foreign(headers, host):
            return _no(403, "the request comes from another site")
        if scope["method"] not in _SAFE and not _UPLOAD.fullmatch(scope["path"]) and _is_large(headers):
            return _no(413, f"a request of this kind may have {limits.BODY:,} bytes, and says how many it has")
        client = scope["client"][0] if scope.get("client") else ""
        if not self._limiter.hit(self._rate, "all", client):
            return _no(429, "too many requests; wait a moment", {"Retry-After": "5"})
        if scope["path"] == "/api/v1/login" and not self._limiter.hit(self._login_rate, "login", client):
            return _no(429, "too many attempts to log in; wait a minute", {"Retry-After": "60"})
        return None


def _is_large(headers: Headers) -> bool:
    announced = headers.get("content-length", "0")
    return "transfer-encoding" in headers or not announced.isdecimal() or int(announced) > limits.BODY


def _is_foreign(headers: Headers, host: str) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site not in (None, "same-origin", "none"):
        return True
    return origin is not None and urlsplit(origin).netloc != host


def _no(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error}, status, headers)
