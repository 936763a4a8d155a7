"""The routes, one router for each subject. `app` decides which of them need an API key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any, Protocol, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from .. import mix
from ..labels import CODES, find
from ..presets import BUILTIN
from ..sampling import Sampling
from . import encode, stream
from .backend import Backend, TooLong, in_time
from .errors import problems
from .gate import Gate
from .generator import Generator
from .schemas import GenerateRequest, Hints, Job, Label, Model, Quality, Records
from .security import owner_of
from .settings import Settings
from .work import EightLeads, Plan, Work

NOT_BUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second one is for nginx
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BINARY = {"schema": {"type": "string", "format": "binary"}}
TEXT = {"schema": {"type": "string"}}
EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["step", "record", "error"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}
ECGS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Records,
        "description": "The records; CSV and pictures hold one record",
        "content": {form.media_type: BINARY for form in encode.FORMATS if form is not encode.JSON},
    }
}
GENERATING = (400, 401, 408, 413, 415, 422, 429, 503)

T = TypeVar("T")
JobName = Annotated[
    str, PathParameter(pattern="^[A-Za-z0-9_-]{1,40}$", description="The id that POST /v1/jobs returned")
]


class JobStore(Protocol):
    """Where jobs are kept: sssd.server.jobs.Jobs, or an object that forwards to one elsewhere.

    owner: the hash of the key that started the job. The jobs of other owners do not exist for a caller.
    """

    async def create(self, owner: str, work: Work) -> Job: ...
    async def status(self, owner: str, name: str) -> Job | None: ...
    async def result(self, owner: str, name: str) -> tuple[Work, EightLeads] | None: ...
    async def cancel(self, owner: str, name: str) -> Job | None: ...


def health(gate: Gate) -> APIRouter:
    """Return routes that a load balancer asks, without a key."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Whether the process answers")
    async def healthz() -> dict[str, bool]:
        return {"alive": True}

    @router.get("/readyz", summary="Whether the service takes requests", responses=problems(503))
    async def readyz() -> dict[str, bool]:
        if gate.draining or not gate.ready:
            reason = "the server is stopping" if gate.draining else "the model is not ready yet"
            raise HTTPException(503, reason)
        return {"ready": True}

    return router


def metrics(backend: Backend) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get(
        "/metrics",
        summary="Counters and times for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": TEXT}}, **problems(401, 429)},
    )
    async def metrics() -> Response:
        return Response(backend.metrics.text(), media_type=METRICS_TYPE)

    return router


def catalogue(generator: Generator, settings: Settings) -> APIRouter:
    """Return what can be asked for: statements and models."""
    router = APIRouter(prefix="/v1", tags=["catalogue"])

    @router.get("/labels", summary="List the statements", responses=problems(401, 429))
    async def labels() -> list[Label]:
        return generator.labels

    @router.get("/labels/hints", summary="Ask what is unusual together", responses=problems(401, 422, 429))
    async def hints(
        statements: Annotated[
            str, Query(max_length=800, description="Statements, joined by commas", examples=["SBRAD,STACH"])
        ] = "",
    ) -> Hints:
        """Say what recordings hardly ever carry together. For models with other training data, nothing is said."""
        if generator.name != BUILTIN:
            return Hints(hints=[])
        try:
            codes = [CODES[find(name)] for name in statements.split(",") if name.strip()]
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return Hints(hints=mix.hints(list(dict.fromkeys(codes))))

    @router.get("/models", summary="List the models", responses=problems(401, 429))
    async def models() -> list[Model]:
        model, default = generator.model, generator.default.sampling
        return [
            Model(
                name=generator.name,
                hash=generator.hash,
                statements=len(model.label_names),
                age=model.takes_patient,
                sex=model.takes_patient,
                heart_rate=model.takes_heart_rate,
                qualities=[_quality(name, plan) for name, plan in generator.qualities.items()],
                samplers=generator.samplers,
                steps_max=model.schedule.T,
                fitted_steps=[len(fit.steps) for fit in model.config.ddim_config.fits],
                default={"sampler": default.sampler, "steps": default.steps, "eta": _eta(default)},
                fs_hz=model.config.trainset_config.sampling_rate,
                samples=model.shape[1],
                device=model.device.type,
                precision=generator.precision,
                records_max=settings.records,
                job_records_max=settings.job_records,
            )
        ]

    return router


def generation(backend: Backend, gate: Gate, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1/ecgs", tags=["generate"], dependencies=[Depends(gate.refuse_new_work)])

    @router.post(
        "",
        summary="Generate records",
        response_class=Response,
        responses={**ECGS, **problems(406, *GENERATING)},
    )
    async def ecgs(asked: GenerateRequest, request: Request) -> Response:
        form = _format(request, asked.count)
        if asked.measure and form is not encode.JSON:
            raise _unmeasured(form.media_type)
        work = await _work(backend, asked, settings.records, "a request")
        _check_time(backend, work)
        signals = await in_time(_while_connected(request, backend.generate(work)), settings.request_s)
        return await _answer(backend.generator, form, work, signals, asked.measure, asked.layout)

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
    async def ecgs_stream(asked: GenerateRequest, request: Request) -> StreamingResponse:
        if asked.count != 1:
            raise HTTPException(422, f"count is {asked.count}: a stream shows one record")
        work = await _work(backend, asked, 1, "a stream")
        _check_time(backend, work)
        events = stream.begin(request, backend, work, asked.measure, settings.request_s)
        return StreamingResponse(events, media_type="text/event-stream", headers=NOT_BUFFERED)

    return router


def jobs(backend: Backend, gate: Gate, store: JobStore, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @router.post(
        "",
        summary="Start a job",
        status_code=202,
        responses=problems(*GENERATING),
        dependencies=[Depends(gate.refuse_new_work)],
    )
    async def start(asked: GenerateRequest, request: Request, response: Response) -> Job:
        if asked.measure:
            raise _unmeasured("the result of a job")
        work = await _work(backend, asked, settings.job_records, "a job")
        job = await store.create(owner_of(request), work)
        response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/jobs/{job.id}"
        return job

    @router.get("/{name}", summary="Ask how far a job is", responses=problems(401, 404, 422, 429))
    async def status(name: JobName, request: Request) -> Job:
        return _existing(await store.status(owner_of(request), name))

    @router.get(
        "/{name}/result",
        summary="Fetch the records of a job",
        response_class=Response,
        responses={**ECGS, **problems(401, 404, 406, 409, 422, 429)},
    )
    async def result(name: JobName, request: Request) -> Response:
        job = _existing(await store.status(owner_of(request), name))
        form = _format(request, job.count)
        if form is encode.JSON and job.count > settings.records:
            raise HTTPException(406, f"more than {settings.records} records come as NPZ or ZIP, not as JSON")
        found = await store.result(owner_of(request), name)
        if found is None:
            raise HTTPException(
                409, f"the job is {job.state}, {job.done} of {job.count} records {job.message}".strip()
            )
        return await _answer(backend.generator, form, *found)

    @router.delete(
        "/{name}", summary="Cancel a job and drop its records", responses=problems(401, 404, 422, 429)
    )
    async def cancel(name: JobName, request: Request) -> Job:
        return _existing(await store.cancel(owner_of(request), name))

    return router


def _quality(name: str, plan: Plan) -> Quality:
    return Quality(
        name=name,
        sampler=plan.sampling.sampler,
        steps=plan.steps,
        eta=_eta(plan.sampling),
        weights=plan.weights,
    )


def _eta(sampling: Sampling) -> float:
    """Return the eta of a sampling as the interface gives it: that of DDIM, 1 for DDPM, and 0 for all others."""
    return 1.0 if sampling.sampler == "ddpm" else sampling.eta or 0.0


# --- what the routes share --------------------------------------------------------------------------------


def _format(request: Request, count: int) -> encode.Format:
    """Return the format that the client prefers; 406 where there is none that can hold so many records."""
    accept = ",".join(request.headers.getlist("accept"))
    form = encode.choose(accept)
    if form is None:
        known = ", ".join(form.media_type for form in encode.FORMATS)
        raise HTTPException(406, f"Accept is {accept[:200]!r}: expected one of {known}")
    if count > 1 and not form.several:
        raise HTTPException(406, f"{form.media_type} holds one record, not {count}: accept JSON, NPZ or ZIP")
    return form


async def _work(backend: Backend, asked: GenerateRequest, records_max: int, what: str) -> Work:
    if asked.count > records_max:
        hint = ": POST larger sets to /v1/jobs" if what == "a request" else ""
        raise HTTPException(422, f"count is {asked.count}: {what} holds at most {records_max}{hint}")
    try:
        return await anyio.to_thread.run_sync(backend.generator.work, asked)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _check_time(backend: Backend, work: Work) -> None:
    try:
        backend.check(work)
    except TooLong as error:
        raise HTTPException(422, str(error)) from None


async def _while_connected(request: Request, awaitable: Awaitable[T]) -> T:
    """Return the result of the awaitable, which is cancelled as soon as the client disconnects."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = asyncio.ensure_future(awaitable), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            return tasks[0].result()
        raise HTTPException(499, "the client has disconnected")
    finally:
        for task in tasks:
            task.cancel()


async def _answer(
    generator: Generator,
    form: encode.Format,
    work: Work,
    signals: EightLeads,
    measured: bool = False,
    layout: str = "3x4",
) -> Response:
    def body() -> bytes:
        ecgs = generator.records(work, signals)
        return (
            encode.records_json(ecgs, measured=True)
            if form is encode.JSON and measured
            else form.encode(ecgs, layout)
        )

    name = f"ecg_{work.seed}_{work.request.numbers[0]}.{form.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    content = await anyio.to_thread.run_sync(body)
    return Response(content, media_type=form.media_type, headers={} if form is encode.JSON else headers)


def _unmeasured(what: str) -> HTTPException:
    return HTTPException(
        422, f"measure is true, and {what} has no place for measurements: POST to /v1/ecgs and accept JSON"
    )


def _existing(job: Job | None) -> Job:
    if job is None:
        text = "there is no such job; the service drops results when they are deleted or grow old"
        raise HTTPException(404, text)
    return job
