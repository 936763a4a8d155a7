"""The files of the page, which are served as they were written."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose


class Page(StaticFiles):
    """Serves `static/` for every path that is not a route.

    Older versions of Starlette fail on WebSockets and on paths that no file can have, such as those with a null byte.
    """

    def __init__(self) -> None:
        super().__init__(directory=Path(__file__).parent / "static", html=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        try:
            return super().lookup_path(path)
        except ValueError:
            return "", None
