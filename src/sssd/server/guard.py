"""What stands before every route: keys, limits on bodies, a stop that drains, counters, headers."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Collection, Sequence

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .encode import problem_json
from .metrics import Metrics
from .settings import Settings

# Nothing on these pages comes from elsewhere. Swagger's page has a script in it, and none of ours.
CONTENT = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)
DOCS_CONTENT = CONTENT + "; script-src 'self' 'unsafe-inline'"


def digest(key: str) -> str:
    """SHA-256 of an API key. Keys are 256 random bits, so that nothing slower is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def authorised(header: str | None, digests: Sequence[str]) -> bool:
    """Whether an Authorization header carries a key with one of these digests, in time that depends on no digest."""
    scheme, _, key = (header or "").partition(" ")
    found = digest(key.strip())
    matches = [hmac.compare_digest(found, known) for known in digests]
    return scheme.lower() == "bearer" and any(matches)


class Gate:
    """Whether the service takes requests: not before the model is warm, not once it has been told to stop.

    connections: those that are open, where the server tells of them.
    """

    def __init__(self) -> None:
        self.ready = False
        self.draining = False
        self.connections: Collection[object] = ()


class Refused(Exception):
    def __init__(self, status: int, detail: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.status, self.detail, self.headers = status, detail, headers


class Guard:
    """An ASGI application around the routes."""

    def __init__(self, app: ASGIApp, *, settings: Settings, gate: Gate, metrics: Metrics) -> None:
        self._app, self._settings, self._gate, self._metrics = app, settings, gate, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                content = DOCS_CONTENT if scope["path"] == "/docs" else CONTENT
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                    (b"content-security-policy", content.encode()),
                ]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, await self._body(scope, receive), answer)
        except Refused as refused:
            await _refuse(refused, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE") else "other"
            self._metrics.requests.labels(route, method, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - began)

    def _check(self, scope: Scope) -> None:
        path, settings = scope["path"], self._settings
        if len(self._gate.connections) > settings.connections and path != "/healthz":
            raise Refused(
                429,
                f"the server has more than {settings.connections} connections: come again later",
                [("Retry-After", "10"), ("Connection", "close")],
            )
        if settings.key_sha256 and (path.startswith("/v1/") or path == "/metrics"):
            header = next((v for k, v in scope["headers"] if k == b"authorization"), b"").decode("latin-1")
            if not authorised(header, settings.key_sha256):
                raise Refused(
                    401,
                    "an API key is needed: send 'Authorization: Bearer KEY'",
                    [("WWW-Authenticate", "Bearer")],
                )
        if self._gate.draining and scope["method"] == "POST":
            raise Refused(503, "the server is stopping: ask another, or come again", [("Retry-After", "30")])

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the body within its limits of size and time, and give it again to whoever asks."""
        limit, seconds = self._settings.body_bytes, self._settings.body_s
        too_large = Refused(413, f"the body is larger than {limit} bytes", [("Connection", "close")])
        declared = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if declared.isdigit() and int(declared[:20]) > limit:
            raise too_large
        body = bytearray()
        with anyio.move_on_after(seconds) as late:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    break
                body += message.get("body", b"")
                if len(body) > limit:
                    raise too_large
                more = message.get("more_body", False)
        if late.cancelled_caught:
            text = f"the body did not arrive within {seconds:g} s"
            raise Refused(408, text, [("Connection", "close")])
        first: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return first.pop() if first else await receive()

        return again


async def _refuse(refused: Refused, send: Send) -> None:
    body = problem_json(refused.detail)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *refused.headers]
    await send(
        {
            "type": "http.response.start",
            "status": refused.status,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        }
    )
    await send({"type": "http.response.body", "body": body})
