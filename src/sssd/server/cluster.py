"""The service on a Ray cluster: the number of replicas follows the load, and jobs are spread over all replicas.

    serve run sssd.server.cluster:build settings=server.json replicas_max=8 gpus=1

Every replica is the whole application with its own model and queue, so requests that reach it together are generated
together. One deployment keeps the jobs and sends their pieces to the replicas, as any client would.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.exceptions import RayTaskError

from ..config.names import Cauchy
from .answers import Job
from .app import create_app
from .generator import load_generator
from .jobs import Jobs, Origin
from .settings import Settings, read_settings
from .work import EightLeads, Work

NAME = "sssd-ecg"
PIECE = 32  # how many records of a job a replica generates at once
Count = Annotated[int, Field(ge=1)]


class Options(BaseModel):
    """Options of `serve run sssd.server.cluster:build`, given as name=value. Paths are those of the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: str | None = None
    checkpoint: str | None = None
    config: str | None = None
    cauchy: Cauchy | None = None
    replicas_min: Count = 1
    replicas_max: Count = 4
    requests: Annotated[
        Count, Field(description="How many requests one replica should have; past it, a replica is added")
    ] = 16
    cpus: Annotated[float, Field(gt=0, description="CPU cores of one replica")] = 1.0
    gpus: Annotated[float, Field(ge=0, description="GPUs of one replica")] = 0.0
    scale_up_s: Annotated[
        float, Field(gt=0, description="How many seconds the load must last before a replica is added")
    ] = 10.0
    allow_anyone_without_a_key: bool = False


class Service:
    """One replica."""

    def __init__(self, options: Options, settings: Settings, _keeper: Any) -> None:  # deploys the keeper too
        path, config = (Path(p) if p else None for p in (options.checkpoint, options.config))
        self._generator = load_generator(
            path,
            config=config,
            cauchy=options.cauchy,
            device="cuda" if options.gpus else None,
            precision=settings.precision,
        )
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        self._app = create_app(self._generator, self._settings, RemoteJobs())
        return self._app

    async def generate(self, work: Work, cost: int, client: str) -> EightLeads:
        """Generate a piece of a job."""
        return await self._app.state.backend.generate(work, cost, client)


class JobKeeper:
    """All jobs of the cluster."""

    def __init__(self, options: Options, settings: Settings) -> None:
        self._jobs = Jobs(
            self._generate,
            piece=settings.batch_records or PIECE,
            at_once=2 * options.replicas_max,
            stored=settings.stored_records,
            kept_s=settings.job_kept_s,
        )

    async def _generate(
        self, work: Work, cost: int, client: str, on_progress: Callable[[int], None]
    ) -> EightLeads:
        handle = serve.get_deployment_handle(Service.__name__, NAME)
        records = await _result(handle.generate.remote(work, cost, client))
        on_progress(work.cost)  # a replica does not tell how far it is within a piece
        return records

    async def create(self, origin: Origin, work: Work) -> Job:
        return await self._jobs.create(origin, work)

    async def listed(self, owner: str) -> list[Job]:
        return await self._jobs.listed(owner)

    async def status(self, owner: str, name: str) -> Job | None:
        return await self._jobs.status(owner, name)

    async def work(self, owner: str, name: str) -> Work | None:
        return await self._jobs.work(owner, name)

    async def result(self, owner: str, name: str) -> tuple[Work, EightLeads] | None:
        return await self._jobs.result(owner, name)

    async def cancel(self, owner: str, name: str) -> Job | None:
        return await self._jobs.cancel(owner, name)


class RemoteJobs:
    """The keeper's jobs, as the routes of a replica use them."""

    async def create(self, origin: Origin, work: Work) -> Job:
        return await self._call("create", origin, work)

    async def listed(self, owner: str) -> list[Job]:
        return await self._call("listed", owner)

    async def status(self, owner: str, name: str) -> Job | None:
        return await self._call("status", owner, name)

    async def work(self, owner: str, name: str) -> Work | None:
        return await self._call("work", owner, name)

    async def result(self, owner: str, name: str) -> tuple[Work, EightLeads] | None:
        return await self._call("result", owner, name)

    async def cancel(self, owner: str, name: str) -> Job | None:
        return await self._call("cancel", owner, name)

    async def _call(self, method: str, *arguments: Any) -> Any:
        handle = serve.get_deployment_handle(JobKeeper.__name__, NAME)
        return await _result(getattr(handle, method).remote(*arguments))


async def _result(response: Any) -> Any:
    """Return what a deployment returns. What it raises is raised as it was, without Ray's wrapper."""
    try:
        return await response
    except RayTaskError as error:
        raise error.cause from None


def build(options: Options) -> serve.Application:
    """Return the application, for `serve.run(build(Options(...)), name=NAME)` or `serve run`.

    Raises ValueError if there is no API key and allow_anyone_without_a_key is not set, since a cluster serves other
    machines.
    """
    settings = read_settings(options.settings)
    if not settings.key_sha256 and not options.allow_anyone_without_a_key:
        raise ValueError(
            "there is no API key: make one with `sssd-ecg serve --new-key` and put its hash into the settings, or "
            "give allow_anyone_without_a_key=true"
        )
    service: Any = serve.deployment(  # Any, because its type depends on its arguments
        serve.ingress()(Service),
        name=Service.__name__,
        max_ongoing_requests=8 * options.requests,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        graceful_shutdown_timeout_s=settings.drain_s,
        autoscaling_config={
            "min_replicas": options.replicas_min,
            "max_replicas": options.replicas_max,
            "target_ongoing_requests": options.requests,
            "upscale_delay_s": options.scale_up_s,
        },
    )
    keeper: Any = serve.deployment(
        JobKeeper,
        name=JobKeeper.__name__,
        num_replicas=1,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
    )
    return service.bind(options, settings, keeper.bind(options, settings))
