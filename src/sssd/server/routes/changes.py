"""Records that are made of a recording which the client sends."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from .. import encode
from ..backend import Backend, in_time
from ..errors import problems
from ..gate import Gate
from ..recordings import ChangeRequest, CompleteRequest, EditRequest, VaryRequest
from ..security import client_of
from ..settings import Settings
from .shared import ECGS, GENERATING, answer, check_time, chosen_format, unmeasured, while_connected, work_of


def changes(backend: Backend, gate: Gate, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["recordings"], dependencies=[Depends(gate.refuse_new_work)])
    said: Any = {"response_class": Response, "responses": {**ECGS, **problems(406, *GENERATING)}}

    async def changed(asked: ChangeRequest, request: Request) -> Response:
        form = chosen_format(request, asked.records)
        if asked.measure and form is not encode.JSON:
            raise unmeasured(form.media_type)
        work, client = await work_of(backend, asked, settings.records, "a request"), client_of(request)
        check_time(backend, work, client)
        generating = backend.generate(work, client=client)
        signals = await in_time(while_connected(request, generating), settings.request_s)
        return await answer(backend.generator, form, work, signals, asked.measure, asked.layout)

    @router.post("/vary", summary="Make more records like a recording", **said)
    async def vary(asked: VaryRequest, request: Request) -> Response:
        return await changed(asked, request)

    @router.post("/edit", summary="Give a recording other statements, age, sex or heart rate", **said)
    async def edit(asked: EditRequest, request: Request) -> Response:
        return await changed(asked, request)

    @router.post("/complete", summary="Make the leads and samples that a recording lacks", **said)
    async def complete(asked: CompleteRequest, request: Request) -> Response:
        return await changed(asked, request)

    return router
