"""The routes for jobs, which make sets that are too large for one answer."""

from __future__ import annotations

import hashlib
from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi import Path as PathParameter
from starlette.exceptions import HTTPException

from ...drawing import USUAL, Drawing
from .. import encode
from ..answers import Job
from ..asked import GenerateRequest, PictureQuery
from ..backend import Backend
from ..errors import headers, problems
from ..gate import Gate
from ..jobs import Origin, Repeated
from ..security import client_of, owner_of
from ..settings import Settings
from ..work import EightLeads, Work
from .shared import ECGS, GENERATING, answer, check_asked, check_place, chosen_format, unmeasured, work_of

JobName = Annotated[
    str, PathParameter(pattern="^[A-Za-z0-9_-]{1,40}$", description="The id that POST /v1/jobs returned")
]


class JobStore(Protocol):
    """Where jobs are kept: sssd.server.jobs.Jobs, or an object that forwards to one elsewhere.

    owner: the hash of the key that started the job. The jobs of other owners do not exist for a caller.
    """

    async def create(self, origin: Origin, work: Work) -> Job: ...
    async def listed(self, owner: str) -> list[Job]: ...
    async def status(self, owner: str, name: str) -> Job | None: ...
    async def work(self, owner: str, name: str) -> Work | None: ...
    async def result(self, owner: str, name: str) -> tuple[Work, EightLeads] | None: ...
    async def cancel(self, owner: str, name: str) -> Job | None: ...


def jobs(backend: Backend, gate: Gate, store: JobStore, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @router.post(
        "",
        summary="Start a job",
        status_code=202,
        responses={202: {"headers": headers("Location")}, **problems(*GENERATING)},
        dependencies=[Depends(gate.refuse_new_work)],
    )
    async def start(
        asked: GenerateRequest,
        request: Request,
        response: Response,
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=200,
                description="Any text; the same key with the same request gives the job that it has started before",
            ),
        ] = None,
    ) -> Job:
        if asked.measure:
            raise unmeasured("the result of a job")
        check_asked(backend.generator, encode.JSON, asked)
        if asked.drawing != USUAL:
            raise HTTPException(
                422,
                "layout, speed, gain and rhythm are for pictures: give them where the result is fetched, as in "
                "/v1/jobs/ID/result?layout=12x1",
            )
        work = await work_of(backend, asked, settings.job_records, "a job")
        said = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
        try:
            origin = Origin(owner_of(request), client_of(request), idempotency_key, said)
            job = await store.create(origin, work)
        except Repeated as error:
            raise HTTPException(422, str(error)) from None
        response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/jobs/{job.id}"
        return job

    @router.get("", summary="List your jobs", responses=problems(401, 429))
    async def listed(request: Request) -> list[Job]:
        return await store.listed(owner_of(request))

    @router.get("/{name}", summary="Ask how far a job is", responses=problems(401, 404, 422, 429))
    async def status(name: JobName, request: Request) -> Job:
        return existing(await store.status(owner_of(request), name))

    @router.get(
        "/{name}/result",
        summary="Fetch the records of a job",
        response_class=Response,
        responses={**ECGS, **problems(401, 404, 406, 409, 422, 429)},
    )
    async def result(name: JobName, drawn: Annotated[PictureQuery, Query()], request: Request) -> Response:
        try:
            drawing = Drawing(**drawn.model_dump())
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        job = existing(await store.status(owner_of(request), name))
        form = chosen_format(request, job.count)
        work = await store.work(owner_of(request), name)
        if work is not None:
            if form is encode.JSON and work.answered_room > settings.records:
                raise HTTPException(
                    406, f"more than {settings.records} records come as NPZ or ZIP, not as JSON"
                )
            check_place(
                backend.generator, form, bool(work.noise), work.annotated, work.plan.seconds, work.fine
            )
        found = await store.result(owner_of(request), name)  # it counts as fetched from here on
        if found is None:
            raise HTTPException(
                409, f"the job is {job.state}, {job.done} of {job.count} records {job.message}".strip()
            )
        return await answer(backend, form, *found, drawing=drawing)

    @router.delete(
        "/{name}", summary="Cancel a job and drop its records", responses=problems(401, 404, 422, 429)
    )
    async def cancel(name: JobName, request: Request) -> Job:
        return existing(await store.cancel(owner_of(request), name))

    return router


def existing(job: Job | None) -> Job:
    if job is None:
        text = "there is no such job; the service drops results when they are deleted or grow old"
        raise HTTPException(404, text)
    return job
