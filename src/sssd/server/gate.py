"""Decides whether the service takes requests: none before the model is ready, and no new work once it is stopping."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import HTTPException


class Gate:
    """The state of the service. `refuse_crowds` and `refuse_new_work` are FastAPI dependencies.

    connections: the open ones, if the server process counts them. connections_max: how many there may be.
    """

    def __init__(self, connections_max: int) -> None:
        self.ready = False
        self.draining = False
        self.connections: Collection[object] = ()
        self._connections_max = connections_max

    async def refuse_crowds(self) -> None:
        """Answer 429 while there are too many connections."""
        if len(self.connections) > self._connections_max:
            raise HTTPException(
                429,
                f"the server has more than {self._connections_max} connections: come again later",
                {"Retry-After": "10", "Connection": "close"},
            )

    async def refuse_new_work(self) -> None:
        """Answer 503 once the service has been told to stop."""
        if self.draining:
            raise HTTPException(
                503, "the server is stopping: ask another server, or come again", {"Retry-After": "30"}
            )
