"""The routes for records that are made of a recording, which the client sends."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from ..backend import Backend
from ..errors import problems
from ..gate import Gate
from ..recordings import CompleteRequest, EditRequest, RecordingRead, RecordingRequest, VaryRequest
from ..settings import Settings
from .shared import ECGS, GENERATING, respond


def changes(backend: Backend, gate: Gate, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["recordings"], dependencies=[Depends(gate.refuse_new_work)])
    said: Any = {"response_class": Response, "responses": {**ECGS, **problems(406, *GENERATING)}}

    @router.post(
        "/recordings",
        summary="Read a recording, and say what was done to it",
        responses=problems(400, 401, 408, 413, 415, 422, 429, 503),
    )
    async def recordings(asked: RecordingRequest) -> RecordingRead:
        """Return a recording as the model takes it: 12 leads at its rate. It is not kept."""
        try:
            return await anyio.to_thread.run_sync(backend.generator.read, asked)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    @router.post("/vary", summary="Make more records like a recording", **said)
    async def vary(asked: VaryRequest, request: Request) -> Response:
        return await respond(backend, settings, asked, request)

    @router.post("/edit", summary="Give a recording other statements, age, sex or heart rate", **said)
    async def edit(asked: EditRequest, request: Request) -> Response:
        return await respond(backend, settings, asked, request)

    @router.post("/complete", summary="Make the leads and samples that a recording lacks", **said)
    async def complete(asked: CompleteRequest, request: Request) -> Response:
        return await respond(backend, settings, asked, request)

    return router
