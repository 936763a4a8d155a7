"""The routes. `create_app` gives the application that uvicorn serves here and Ray Serve on a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer
from fastapi_swagger import patch_fastapi
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from ..record import Ecg
from ..version import __version__
from . import encode, stream
from .batching import Full
from .generator import Generator
from .guard import Gate, Guard
from .jobs import Jobs
from .local import Local, OutOfTime, TooLong, in_time
from .measure import measure
from .schemas import Ask, Job, Label, Model, Problem, Quality, Records
from .settings import Settings
from .work import Eight, Work

STATIC = Path(__file__).parent / "static"
ABOUT = """12-lead ECGs from named statements. **Synthetic, not for diagnosis.**

Records are a function of model, statements, age, sex, sampler, steps, eta, seed and index; of nothing else, to 1 uV."""

UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second is nginx's
NO_JSON = "the body cannot be read as JSON"

T = TypeVar("T")
JobName = Annotated[
    str, PathParameter(pattern="^[A-Za-z0-9_-]{1,40}$", description="As POST /v1/jobs gave it")
]


class JobStore(Protocol):
    """Where jobs are kept: sssd.server.jobs.Jobs, or one elsewhere that answers in its name."""

    async def create(self, work: Work) -> Job: ...
    async def status(self, name: str) -> Job | None: ...
    async def result(self, name: str) -> tuple[Work, Eight] | None: ...
    async def cancel(self, name: str) -> Job | None: ...


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    said = {
        400: "The body is no JSON",
        401: "An API key is needed",
        404: "There is no such job",
        406: "None of the accepted forms can hold this",
        408: "The body came too slowly",
        409: "The job is not done",
        413: "The body is too large",
        415: "The body is not declared as JSON",
        422: "The request cannot be carried out as it stands",
        429: "Too much to do: come again after Retry-After seconds",
        503: "Stopping, or out of time",
    }
    return {code: {"model": Problem, "description": said[code]} for code in codes}


BINARY = {"schema": {"type": "string", "format": "binary"}}
EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["step", "record", "error"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}
ECGS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Records,
        "description": "Records; CSV and pictures hold one",
        "content": {form.media_type: BINARY for form in encode.FORMS if form is not encode.JSON},
    }
}
ASKING = (400, 401, 408, 413, 415, 422, 429, 503)


def create_app(generator: Generator, settings: Settings, jobs: JobStore | None = None) -> FastAPI:
    """The service of one model. jobs: where they are kept; by default in here.

    app.state: local (queue and metrics), jobs, gate.
    """
    local, gate = Local(generator, settings), Gate()
    store = jobs or Jobs(
        local.generate,
        piece=local.batcher.size,
        stored=settings.stored_records,
        kept_s=settings.job_kept_s,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def prepare() -> None:
            await asyncio.wrap_future(local.batcher.ready)
            gate.ready = True

        warm = asyncio.create_task(prepare())
        yield
        await warm
        await anyio.to_thread.run_sync(local.batcher.close)

    app = FastAPI(
        title="sssd-ecg",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.local, app.state.jobs, app.state.gate = local, store, gate
    patch_fastapi(app, redirect_from_root_to_docs=False, swagger_ui_parameters={"validatorUrl": None})
    app.include_router(_operation(local, gate))
    keys = [Depends(HTTPBearer(auto_error=False))] if settings.key_sha256 else []
    app.include_router(_about(generator, settings), dependencies=keys)
    app.include_router(_ecgs(local, settings), dependencies=keys)
    app.include_router(_jobs(local, store, settings), dependencies=keys)
    if STATIC.is_dir():
        app.router.default = StaticFiles(directory=STATIC, html=True)
    app.add_middleware(Guard, settings=settings, gate=gate, metrics=local.metrics)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Full, _full)
    app.add_exception_handler(OutOfTime, _late)
    return app


# --- routes -----------------------------------------------------------------------------------------------


def _operation(local: Local, gate: Gate) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Whether the process answers")
    async def healthz() -> dict[str, bool]:
        return {"alive": True}

    @router.get("/readyz", summary="Whether requests are taken", responses=_problems(503))
    async def readyz() -> dict[str, bool]:
        if gate.draining or not gate.ready:
            raise HTTPException(503, "stopping" if gate.draining else "the model is not ready yet")
        return {"ready": True}

    @router.get("/metrics", summary="For Prometheus", response_class=Response, include_in_schema=False)
    async def metrics() -> Response:
        return Response(local.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _about(generator: Generator, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["what there is"])

    @router.get("/labels", summary="The statements to ask for", responses=_problems(401))
    async def labels() -> list[Label]:
        return generator.labels

    @router.get("/models", summary="The models to ask", responses=_problems(401))
    async def models() -> list[Model]:
        model, default = generator.model, generator.default()
        return [
            Model(
                name=generator.name,
                hash=generator.hash,
                statements=len(model.label_names),
                age=model.takes_patient,
                sex=model.takes_patient,
                qualities=[Quality(name=name, **s._asdict()) for name, s in generator.qualities.items()],
                samplers=generator.samplers,
                steps_max=model.schedule.T,
                fitted_steps=[len(fit.steps) for fit in model.config.ddim_config.fits],
                default={"sampler": default.sampler, "steps": default.steps, "eta": default.eta},
                fs_hz=model.config.trainset_config.sampling_rate,
                samples=model.shape[1],
                device=model.device.type,
                precision=generator.precision,
                records_max=settings.records,
                job_records_max=settings.job_records,
            )
        ]

    return router


def _ecgs(local: Local, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["generate"])

    @router.post(
        "/ecgs",
        summary="Generate records",
        response_class=Response,
        responses={**ECGS, **_problems(406, *ASKING)},
    )
    async def ecgs(ask: Ask, request: Request) -> Response:
        form = _form(request, ask.count)
        work = await _work(local, ask, settings.records, "a request")
        _now(local, work)
        eight = await in_time(_while_connected(request, local.generate(work)), settings.request_s)
        return await _answer(local.generator, form, work, eight, ask.measure)

    @router.post(
        "/ecgs/stream",
        summary="Watch one record form",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Events `step` {step, steps, signal}, then `record`, or `error`",
                "content": {"text/event-stream": {"schema": EVENT}},
            },
            **_problems(*ASKING),
        },
    )
    async def ecgs_stream(ask: Ask, request: Request) -> StreamingResponse:
        if ask.count != 1:
            raise HTTPException(422, f"count is {ask.count}: a stream shows one record")
        work = await _work(local, ask, 1, "a stream")
        _now(local, work)
        shown = stream.begin(request, local, work, ask.measure, settings.request_s)
        return StreamingResponse(shown, media_type="text/event-stream", headers=UNBUFFERED)

    return router


def _jobs(local: Local, store: JobStore, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @router.post("", summary="Start a job", status_code=202, responses=_problems(*ASKING))
    async def start(ask: Ask, response: Response) -> Job:
        work = await _work(local, ask, settings.job_records, "a job")
        job = await store.create(work)
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return job

    @router.get("/{name}", summary="How far it is", responses=_problems(401, 404, 422))
    async def status(name: JobName) -> Job:
        return _there(await store.status(name))

    @router.get(
        "/{name}/result",
        summary="What it made",
        response_class=Response,
        responses={**ECGS, **_problems(401, 404, 406, 409, 422)},
    )
    async def result(name: JobName, request: Request) -> Response:
        job = _there(await store.status(name))
        form = _form(request, job.count)
        if form is encode.JSON and job.count > settings.records:
            raise HTTPException(406, f"more than {settings.records} records come as NPZ or ZIP, not as JSON")
        made = await store.result(name)
        if made is None:
            raise HTTPException(
                409, f"the job is {job.state}, {job.done} of {job.count} records {job.message}".strip()
            )
        return await _answer(local.generator, form, *made, False)

    @router.delete("/{name}", summary="Cancel it and drop its records", responses=_problems(401, 404, 422))
    async def cancel(name: JobName) -> Job:
        return _there(await store.cancel(name))

    return router


# --- between them -----------------------------------------------------------------------------------------


def _form(request: Request, count: int) -> encode.Form:
    accept = ",".join(request.headers.getlist("accept"))
    form = encode.choose(accept)
    if form is None:
        known = ", ".join(form.media_type for form in encode.FORMS)
        raise HTTPException(406, f"accepted is {accept[:200]!r}: the forms are {known}")
    if count > 1 and not form.several:
        raise HTTPException(406, f"{form.media_type} holds one record, not {count}: accept JSON, NPZ or ZIP")
    return form


async def _work(local: Local, ask: Ask, most: int, what: str) -> Work:
    if ask.count > most:
        hint = ": larger ones go to /v1/jobs" if what == "a request" else ""
        raise HTTPException(422, f"count is {ask.count}: {what} holds at most {most}{hint}")
    try:
        return await anyio.to_thread.run_sync(local.generator.work, ask)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _now(local: Local, work: Work) -> None:
    try:
        local.check(work)
    except TooLong as error:
        raise HTTPException(422, str(error)) from None


async def _while_connected(request: Request, awaitable: Awaitable[T]) -> T:
    """The result, given up as soon as the client has gone."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = asyncio.ensure_future(awaitable), asyncio.ensure_future(gone())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            return tasks[0].result()
        raise HTTPException(499, "the client has gone")
    finally:
        for task in tasks:
            task.cancel()


async def _answer(
    generator: Generator, form: encode.Form, work: Work, eight: Eight, measured: bool
) -> Response:
    def body() -> bytes:
        ecgs: list[Ecg] = generator.records(work, eight)
        how = generator.provenance(work)
        if form is encode.JSON and measured:
            records = [encode.record_json(ecg, measure(ecg)) for ecg in ecgs]
            return encode.to_json({"records": records, "provenance": how})
        return form.encode(ecgs, how)

    headers = {"Content-Disposition": f'attachment; filename="ecg_{work.seed}_{work.first}.{form.suffix}"'}
    content = await anyio.to_thread.run_sync(body)
    return Response(content, media_type=form.media_type, headers={} if form is encode.JSON else headers)


def _there(job: Job | None) -> Job:
    if job is None:
        raise HTTPException(
            404, "there is no such job; results are dropped when they are deleted or grow old"
        )
    return job


# --- errors: {"detail": one message} ----------------------------------------------------------------------


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    content = encode.problem_json(detail)
    return Response(content, status, media_type="application/json", headers=headers)


async def _refused(_: Request, error: Any) -> Response:
    unreadable = error.status_code == 400  # FastAPI's own: broken encodings, brackets without end
    return _problem(error.status_code, NO_JSON if unreadable else error.detail, error.headers)


async def _full(_: Request, error: Any) -> Response:
    return _problem(429, str(error), {"Retry-After": str(error.retry_s)})


async def _late(_: Request, error: Any) -> Response:
    return _problem(503, str(error), {"Retry-After": "30"})


async def _invalid(_: Request, error: Any) -> Response:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "json_invalid":
        return _problem(400, f"{NO_JSON}: {first.get('ctx', {}).get('error', first['msg'])}")
    if first["loc"] == ("body",) and first["type"] in ("model_attributes_type", "dict_type", "model_type"):
        return _problem(422, "the body is no JSON object sent as Content-Type: application/json")
    if first["type"] == "extra_forbidden":
        return _problem(422, f"unknown key {where[:80]!r}; known: {', '.join(Ask.model_fields)}")
    given = "" if first["type"] == "missing" else f" is {ascii(first['input'])[:80]}"
    return _problem(422, f"{where[:80] or 'the body'}{given}: {first['msg']}")
