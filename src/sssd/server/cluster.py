"""The same application on a Ray cluster: replicas that come and go with the load, jobs spread over all of them.

    serve run sssd.server.cluster:build settings=server.json replicas_max=8 gpus=1

Every replica is the whole application, with a model and a queue of its own, so that requests that reach it together are
generated together. Jobs are kept in one place, which hands their pieces to the replicas as any client would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.exceptions import RayTaskError

from .app import create_app
from .generator import Generator
from .jobs import Jobs
from .schemas import Job
from .settings import Settings, read_settings
from .work import Eight, Work

NAME = "sssd-ecg"
PIECE = 32  # records of a job that a replica is asked for at once
Count = Annotated[int, Field(ge=1)]


class Options(BaseModel):
    """Options of `serve run sssd.server.cluster:build`, given as name=value. Paths are those of the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: str | None = None
    checkpoint: str | None = None
    config: str | None = None
    cauchy: Literal["conjugate_pairs", "half_spectrum"] | None = None
    replicas_min: Count = 1
    replicas_max: Count = 4
    requests: Annotated[
        Count, Field(description="that one replica should have at once; more, and one is added")
    ] = 16
    cpus: Annotated[float, Field(gt=0, description="of a replica")] = 1.0
    gpus: Annotated[float, Field(ge=0, description="of a replica")] = 0.0
    scale_up_s: Annotated[float, Field(gt=0, description="of load before a replica is added")] = 10.0
    allow_anyone_without_a_key: bool = False


class Service:
    """One replica."""

    def __init__(self, options: Options, settings: Settings, _keeper: Any) -> None:  # deployed with this
        from ..cli.generate import load_model

        path, config = (Path(p) if p else None for p in (options.checkpoint, options.config))
        model = load_model(path, config, options.cauchy, "cuda" if options.gpus else None)
        name = "built-in" if path is None else path.stem
        self._generator = Generator(model, name, settings.precision)
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        self._app = create_app(self._generator, self._settings, RemoteJobs())
        return self._app

    async def generate(self, work: Work, cost: int) -> Eight:
        """A piece of a job."""
        return await self._app.state.local.generate(work, cost)


class Keeper:
    """All jobs of the cluster."""

    def __init__(self, options: Options, settings: Settings) -> None:
        self._jobs = Jobs(
            self._generate,
            piece=settings.batch_records or PIECE,
            at_once=2 * options.replicas_max,
            stored=settings.stored_records,
            kept_s=settings.job_kept_s,
        )

    async def _generate(self, work: Work, cost: int) -> Eight:
        handle = serve.get_deployment_handle(Service.__name__, NAME)
        return await _unwrapped(handle.generate.remote(work, cost))

    async def create(self, work: Work) -> Job:
        return await self._jobs.create(work)

    async def status(self, name: str) -> Job | None:
        return await self._jobs.status(name)

    async def result(self, name: str) -> tuple[Work, Eight] | None:
        return await self._jobs.result(name)

    async def cancel(self, name: str) -> Job | None:
        return await self._jobs.cancel(name)


class RemoteJobs:
    """The jobs of the keeper, as the routes of a replica ask for them."""

    async def create(self, work: Work) -> Job:
        return await self._ask("create", work)

    async def status(self, name: str) -> Job | None:
        return await self._ask("status", name)

    async def result(self, name: str) -> tuple[Work, Eight] | None:
        return await self._ask("result", name)

    async def cancel(self, name: str) -> Job | None:
        return await self._ask("cancel", name)

    async def _ask(self, method: str, argument: Any) -> Any:
        handle = serve.get_deployment_handle(Keeper.__name__, NAME)
        return await _unwrapped(getattr(handle, method).remote(argument))


async def _unwrapped(response: Any) -> Any:
    """What a deployment answers; what it raises, as itself."""
    try:
        return await response
    except RayTaskError as error:
        raise error.cause from None


def build(options: Options) -> serve.Application:
    """The application for `serve.run(build(Options(...)), name=NAME)`, or `serve run`.

    ValueError without an API key, unless told so: a cluster serves other machines.
    """
    settings = read_settings(options.settings)
    if not settings.key_sha256 and not options.allow_anyone_without_a_key:
        raise ValueError(
            "there is no API key: make one with `sssd-ecg serve --new-key` and give its hash in settings, or say "
            "allow_anyone_without_a_key=true"
        )
    service: Any = serve.deployment(  # what it returns depends on its arguments
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
        Keeper,
        name=Keeper.__name__,
        num_replicas=1,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
    )
    return service.bind(options, settings, keeper.bind(options, settings))
