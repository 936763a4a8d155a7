"""The files of the page, under addresses that change with their content.

`index.html` names its script and style below assets/HASH/, where HASH is that of all files. These files never change
under their address, so browsers may keep them, and a page never mixes scripts of two versions: an old page asks for an
old address, which is gone. Everything else is asked for anew, by its ETag.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import cached_property
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

STATIC = Path(__file__).parent / "static"
KEPT = "public, max-age=31536000, immutable"
ASSETS = re.compile(r'(href|src)="(style\.css|icon\.svg|font/\w+\.woff2|js/\w+\.js)"')


class Page(StaticFiles):
    """Serves `static/` for every path that is not a route.

    Older versions of Starlette fail on WebSockets and on paths that no file can have, such as those with a null byte.
    """

    def __init__(self) -> None:
        super().__init__(directory=STATIC, html=True)

    @cached_property
    def hash(self) -> str:
        """The hash of the names and contents of all files."""
        digest = hashlib.sha256()
        for file in sorted(path for path in STATIC.rglob("*") if path.is_file()):
            digest.update(file.relative_to(STATIC).as_posix().encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()[:16]

    @cached_property
    def index(self) -> str:
        """The page itself, with the addresses of its files."""
        text = (STATIC / "index.html").read_text(encoding="utf-8")
        return ASSETS.sub(rf'\1="assets/{self.hash}/\2"', text)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        top, _, rest = path.replace(os.sep, "/").partition("/")
        if top == "assets":
            version, _, name = rest.partition("/")
            if version != self.hash or name in ("", "index.html"):
                raise HTTPException(404, "the page has another version: load it again")
            answer = await super().get_response(name, scope)
            answer.headers["Cache-Control"] = KEPT
            return answer
        answer = await super().get_response(path, scope)
        if path in (".", "index.html") and answer.status_code == 200 and scope["method"] in ("GET", "HEAD"):
            answer = HTMLResponse(self.index)
        answer.headers["Cache-Control"] = "no-cache"
        return answer

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        try:
            return super().lookup_path(path)
        except ValueError:
            return "", None
