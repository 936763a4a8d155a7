"""The routes for records in one answer, and for one record as it forms."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from ...config.names import Quality, Sampler, Sex
from ...version import __version__
from .. import encode, stream
from ..asked import GenerateRequest, PictureQuery
from ..backend import Backend, in_time
from ..errors import headers, problems
from ..gate import Gate
from ..middleware import accepts_gzip
from ..security import client_of
from ..settings import Settings
from .shared import (
    ECGS,
    GENERATING,
    answer,
    check_asked,
    check_package,
    check_time,
    respond,
    while_connected,
    work_of,
)

NOT_BUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second one is for nginx
KEPT_S = 86400  # how long a record may be kept without asking whether the model has changed
NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "Statements joined by +, and the format",
    "schema": {"type": "string"},
    "example": "AFIB+LVH.png",
}
EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["step", "record", "error"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


class EcgQuery(PictureQuery):
    """How the record of an address is generated; `GenerateRequest` says what each value means."""

    seed: int | None = None
    index: int = 0
    quality: Quality | None = None
    sampler: Sampler | None = None
    steps: int | None = None
    eta: float | None = None
    exact: bool = False
    age: float | None = None
    sex: Sex | None = None
    heart_rate: float | None = None
    duration: float | None = None
    fs: float | None = None
    noise: str | None = None
    annotate: bool = False

    def request(self, statements: list[str], *, measure: bool) -> GenerateRequest:
        """Return the request for the record. RequestValidationError if one of the values is out of its range."""
        try:
            return GenerateRequest(statements=statements, measure=measure, **self.model_dump())
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None


def generation(backend: Backend, gate: Gate, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1/ecgs", tags=["generate"], dependencies=[Depends(gate.refuse_new_work)])

    @router.post(
        "",
        summary="Generate records",
        response_class=Response,
        responses={**ECGS, **problems(406, *GENERATING)},
    )
    async def ecgs(asked: GenerateRequest, request: Request) -> Response:
        return await respond(backend, settings, asked, request)

    @router.post(
        "/stream",
        summary="Watch one record form",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Events `step` {step, steps, signal}, then one `record`, or one `error`",
                "content": {"text/event-stream": {"schema": EVENT}},
                "headers": headers("Cache-Control"),
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
        check_asked(backend.generator, encode.JSON, asked)
        work, client = await work_of(backend, asked, settings.records, "a stream"), client_of(request)
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
        sent = {
            **NOT_BUFFERED,
            "Vary": "Accept-Encoding",
            **({"Content-Encoding": "gzip"} if packed else {}),
        }
        return StreamingResponse(events, media_type="text/event-stream", headers=sent)

    @router.get(
        "/{name:path}",
        summary="A record under an address of its own",
        response_class=Response,
        responses={
            200: {**ECGS[200], "headers": headers("Content-Disposition", "ETag", "Cache-Control")},
            304: {"description": "The record is as it was", "headers": headers("ETag", "Cache-Control")},
            **problems(404, *GENERATING),
        },
        openapi_extra={"parameters": [NAME]},
    )
    async def ecg(name: str, asked: Annotated[EcgQuery, Query()], request: Request) -> Response:
        """Return the record of these statements, seed and settings, which never changes for a model and a version.

        Browsers and proxies may keep it. The ending is the format: png, svg, pdf, csv, edf, dcm, json, npz or zip.
        """
        stem, _, suffix = name.rpartition(".")
        form = next((form for form in encode.FORMATS if form.suffix == suffix), None)
        if form is None:
            known = ", ".join(form.suffix for form in encode.FORMATS)
            raise HTTPException(
                404, f"there is no {name[:80]!r}: expected STATEMENTS.FORMAT, and one of {known}"
            )
        check_package(form)
        if asked.seed is None:
            raise HTTPException(422, "seed is missing: without one, the address names no record; add ?seed=7")
        full = asked.request(re.split(r"[+ ]", stem), measure=form is encode.JSON)
        check_asked(backend.generator, form, full)
        work, client = await work_of(backend, full, settings.records, "an address"), client_of(request)
        tag = f'"{_fingerprint(backend.generator.hash, full.model_dump_json(), suffix)}"'
        kept = {
            "ETag": tag,
            "Cache-Control": f"{'private' if settings.key_sha256 else 'public'}, max-age={KEPT_S}",
        }
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=kept)
        check_time(backend, work, client)
        generating = backend.generate(work, client=client)
        signals = await in_time(while_connected(request, generating), settings.request_s)
        found = await answer(backend, form, work, signals, full.measure, full.drawing)
        found.headers.update(kept)
        found.headers["Content-Disposition"] = "inline"
        return found

    return router


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join((__version__, *parts)).encode()).hexdigest()[:32]
