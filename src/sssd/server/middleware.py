"""ASGI middleware around the routes: names of the host, limits on bodies, headers of every answer, request counters.

None of them looks at the path that a client sent, which depends on where the application is mounted. What concerns a
route uses `scope["route"]`, the route that the router found.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import anyio
from fastapi import HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import problem
from .metrics import Metrics

DOCS = "/docs"
# Browsers load nothing from other hosts. Only Swagger's page, at /docs, contains an inline script.
CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)
DOCS_POLICY = CONTENT_POLICY + "; script-src 'self' 'unsafe-inline'"
METHODS = ("GET", "HEAD", "POST", "DELETE")
CLOSE = {"Connection": "close"}


def route_path(scope: Scope) -> str | None:
    """Return the path of the route that was found, such as /v1/jobs/{name}; None if there is none."""
    return getattr(scope.get("route"), "path", None)


class RequestMetrics:
    """Count requests and measure their time, by route, method and status."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.pop("route", None)  # that of an application in which this one is mounted
        began, status = time.monotonic(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception:
            status = status or 500  # the answer that the server gives for it
            raise
        finally:
            route = route_path(scope) or "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(route, method, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - began)


class SecurityHeaders:
    """Add headers that forbid browsers to guess types, pass on the page's address, or load anything from elsewhere.

    What does not say how long it may be kept is asked for anew, so that no browser mixes the files of two versions.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = DOCS_POLICY if route_path(scope) == DOCS else CONTENT_POLICY
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Content-Security-Policy"] = policy
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)


def is_local(host: str) -> bool:
    """Return whether a name or an address always means this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class LocalNames:
    """Refuse requests whose Host header names another machine than this one.

    A web page of somebody else can let its own name point at a loopback address (DNS rebinding). The browser then
    takes this service for a part of that page, and only the Host header shows the difference.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = Headers(scope=scope).get("host", "")
            if not is_local(_host_name(given)):
                text = (
                    f"the Host header is {given[:80]!r}: this service has no API key and answers to localhost only; "
                    "start it with an API key, or with --allow-anyone-without-a-key"
                )
                await problem(403, text, CLOSE)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host_name(header: str) -> str:
    """Return the name in a Host header, without its port; empty where there is none."""
    try:
        url = urlsplit(f"//{header}")
        return (url.hostname or "") if url.netloc == header and url.username is None else ""
    except ValueError:
        return ""


def accepts_gzip(headers: Headers) -> bool:
    """Return whether a client takes answers in gzip (RFC 9110, 12.5.3)."""
    for part in headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = part.replace(" ", "").partition(";q=")
        if name == "gzip":
            return quality.strip("0.") != "" or quality == ""
    return False


class BodyLimits:
    """Limit the size of a request's body and the time that it may take to arrive; HTTPException past either.

    The body is checked as the route reads it, so what no route reads is never held. check(request) comes before that
    and may raise HTTPException too. size(request): in bytes, asked when the route is known. together: how many bytes
    the bodies of all requests may have that are not answered yet.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        size: Callable[[Request], int],
        seconds: float,
        check: Callable[[Request], Awaitable[None]],
        together: int,
    ) -> None:
        self._app, self._size, self._seconds, self._check = app, size, seconds, check
        self._together, self._held = together, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:  # RFC 9112, 6.1
            text = "the request has both Content-Length and Transfer-Encoding: send one of them"
            await problem(400, text, CLOSE)(scope, receive, send)
            return
        held: list[int] = []
        try:
            await self._app(scope, self._limited(Request(scope), receive, held), send)
        finally:
            self._held -= sum(held)

    def _limited(self, request: Request, receive: Receive, held: list[int]) -> Receive:
        """Return what receives the body. held: gets the sizes of its parts."""
        allowed, deadline, complete = 0, 0.0, False

        async def begin() -> None:
            nonlocal allowed, deadline
            deadline = anyio.current_time() + self._seconds
            await self._check(request)
            allowed = self._size(request)
            declared = request.headers.get("content-length", "0")
            if declared.isdigit() and int(declared[:20]) > allowed:
                raise _too_large(allowed)

        async def limited() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            if not deadline:
                await begin()
            with anyio.CancelScope(deadline=deadline) as in_time:
                message = await receive()
            if in_time.cancelled_caught:
                raise HTTPException(408, f"the body did not arrive within {self._seconds:g} s", CLOSE)
            held.append(len(message.get("body", b"")))
            self._held += held[-1]
            if sum(held) > allowed:
                raise _too_large(allowed)
            if self._held > self._together:
                text = "the bodies of other requests fill the memory that the service has for them: come again later"
                raise HTTPException(429, text, {"Retry-After": "10", **CLOSE})
            complete = not message.get("more_body", False)
            return message

        return limited


def _too_large(allowed: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {allowed} bytes", CLOSE)
