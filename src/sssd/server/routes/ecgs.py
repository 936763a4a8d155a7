"""Records in one answer, and one record as it forms."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from .. import encode, stream
from ..backend import Backend, in_time
from ..errors import problems
from ..gate import Gate
from ..middleware import accepts_gzip
from ..schemas import GenerateRequest
from ..security import client_of
from ..settings import Settings
from .shared import ECGS, GENERATING, answer, check_time, chosen_format, unmeasured, while_connected, work_of

NOT_BUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second one is for nginx
EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["step", "record", "error"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


def generation(backend: Backend, gate: Gate, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1/ecgs", tags=["generate"], dependencies=[Depends(gate.refuse_new_work)])

    @router.post(
        "",
        summary="Generate records",
        response_class=Response,
        responses={**ECGS, **problems(406, *GENERATING)},
    )
    async def ecgs(asked: GenerateRequest, request: Request) -> Response:
        form = chosen_format(request, asked.count)
        if asked.measure and form is not encode.JSON:
            raise unmeasured(form.media_type)
        work, client = await work_of(backend, asked, settings.records, "a request"), client_of(request)
        check_time(backend, work, client)
        generating = backend.generate(work, client=client)
        signals = await in_time(while_connected(request, generating), settings.request_s)
        return await answer(backend.generator, form, work, signals, asked.measure, asked.layout)

    @router.post(
        "/stream",
        summary="Watch one record form",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Events `step` {step, steps, signal}, then one `record`, or one `error`",
                "content": {"text/event-stream": {"schema": EVENT}},
            },
            **problems(*GENERATING),
        },
    )
    async def ecgs_stream(
        asked: GenerateRequest,
        request: Request,
        signal: Annotated[
            Literal["mv", "delta"],
            Query(
                description="The signal in `step` events: 12 leads in mV, or {unit_uv, leads, delta} with 8 leads as "
                "differences of whole numbers, which takes a tenth of the bytes with gzip"
            ),
        ] = "mv",
    ) -> StreamingResponse:
        if asked.count != 1:
            raise HTTPException(422, f"count is {asked.count}: a stream shows one record")
        work, client = await work_of(backend, asked, 1, "a stream"), client_of(request)
        check_time(backend, work, client)
        packed = accepts_gzip(request.headers)
        events = stream.begin(
            request,
            backend,
            work,
            asked.measure,
            settings.request_s,
            client,
            compact=signal == "delta",
            compressed=packed,
        )
        headers = {
            **NOT_BUFFERED,
            "Vary": "Accept-Encoding",
            **({"Content-Encoding": "gzip"} if packed else {}),
        }
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    return router
