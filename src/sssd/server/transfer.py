"""ASGI middleware for how answers travel: HEAD, gzip, and for each request an id and a line in the access log."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
import zlib
from datetime import datetime, timezone

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .middleware import accepts_gzip, route_path

REQUEST_ID = "X-Request-ID"
TEXTS = (
    "application/json",
    "image/svg+xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/plain",
)
LEAST = 1000  # bytes that are worth compressing


class RequestIds:
    """Give each request an id, or keep one that a proxy gave it, and write a JSON line about it if `log` is set."""

    def __init__(self, app: ASGIApp, *, log: bool) -> None:
        self._app, self._log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        name = given if re.fullmatch(r"[\w.-]{1,64}", given, re.ASCII) else secrets.token_hex(8)
        began, method, status, size = time.monotonic(), scope["method"], 0, 0

        async def noted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = name
            size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            if self._log:
                line = {
                    "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                    "id": name,
                    "client": scope["client"][0] if scope.get("client") else "",
                    "method": method,
                    "path": scope["path"],
                    "route": route_path(scope),
                    "status": status or 500,
                    "bytes": size,
                    "seconds": round(time.monotonic() - began, 4),
                }
                print(json.dumps(line), file=sys.stderr, flush=True)


class Heads:
    """Answer HEAD as GET without the body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        scope["method"] = "GET"  # in place, so that the middleware around this one sees the route

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        try:
            await self._app(scope, receive, without_body)
        finally:
            scope["method"] = "HEAD"


class Gzip:
    """Compress texts that are long enough, for clients that take gzip. Pictures and archives are compressed already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not accepts_gzip(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        packer, start = None, None

        async def packed(message: Message) -> None:
            nonlocal packer, start
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                kind = headers.get("content-type", "").partition(";")[0]
                length = int(headers.get("content-length", LEAST))
                if (
                    kind not in TEXTS
                    or length < LEAST
                    or "content-encoding" in headers
                    or message["status"] == 304
                ):
                    await send(message)
                    return
                headers["Content-Encoding"] = "gzip"
                headers.add_vary_header("Accept-Encoding")
                del headers["content-length"]
                if headers.get("etag", "").startswith('"'):
                    headers["ETag"] = f"W/{headers['etag']}"  # the same content in other bytes
                packer, start = zlib.compressobj(level=5, wbits=zlib.MAX_WBITS | 16), message
            elif packer is None:
                await send(message)
            else:
                more = message.get("more_body", False)
                body = await anyio.to_thread.run_sync(_pack, packer, message.get("body", b""), not more)
                if start is not None:
                    await send(start)
                    start = None
                await send({**message, "body": body})

        await self._app(scope, receive, packed)


def _pack(packer: zlib._Compress, body: bytes, last: bool) -> bytes:
    return packer.compress(body) + (packer.flush() if last else b"")
