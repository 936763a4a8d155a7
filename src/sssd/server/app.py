"""The application that uvicorn serves on one machine and Ray Serve on a cluster: routes, keys, middleware, the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi_swagger import patch_fastapi

from ..version import __version__
from . import errors, routes
from .backend import Backend
from .gate import Gate
from .generator import Generator
from .jobs import Jobs
from .middleware import DOCS, BodyLimits, LocalNames, RequestMetrics, SecurityHeaders
from .page import Page
from .security import BEARER, key_required
from .settings import Settings
from .transfer import Gzip, Heads, RequestIds

DESCRIPTION = """12-lead ECGs from named statements. **Synthetic, not for diagnosis.**

A record depends on the model, its statements, age, sex and heart rate, the sampler, steps and eta, the seed and the
index, and on nothing else, to 1 uV."""


OPERATIONS = {  # routes whose names in generated clients are not those of their functions
    "POST /v1/ecgs": "generateEcgs",
    "POST /v1/ecgs/stream": "streamEcg",
    "GET /v1/ecgs/{name:path}": "getEcg",
    "POST /v1/recordings": "readRecording",
    "POST /v1/jobs": "startJob",
    "GET /v1/jobs": "listJobs",
    "GET /v1/jobs/{name}": "getJob",
    "GET /v1/jobs/{name}/result": "getJobResult",
    "DELETE /v1/jobs/{name}": "cancelJob",
    "GET /v1/labels": "listLabels",
    "GET /v1/labels/hints": "getHints",
    "GET /v1/understand": "understand",
    "GET /v1/models": "listModels",
    "GET /healthz": "isAlive",
    "GET /readyz": "isReady",
    "GET /metrics": "getMetrics",
}


def operation_id(route: APIRoute) -> str:
    """Return the operationId of a route in the OpenAPI description."""
    (method,) = route.methods or {""}
    return OPERATIONS.get(f"{method} {route.path}", route.name)


def create_app(
    generator: Generator, settings: Settings, jobs: routes.JobStore | None = None, *, only_here: bool = False
) -> FastAPI:
    """Return the service of one model. jobs: where jobs are kept, in this process unless given.

    only_here: answer only where the Host header names this machine, see `middleware.LocalNames`.
    Public are the page, /docs with its files, /openapi.json, /healthz and /readyz. Everything else needs an API key
    where the settings have one. app.state holds backend, jobs and gate.
    """
    backend, gate = Backend(generator, settings), Gate(settings.connections)
    store = jobs or Jobs(
        backend.generate,
        piece=backend.batcher.size,
        stored=settings.stored_records,
        kept_s=settings.job_kept_s,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def warm_up() -> None:
            await asyncio.wrap_future(backend.batcher.ready)
            gate.ready = True

        warming = asyncio.create_task(warm_up())
        yield
        await warming
        await anyio.to_thread.run_sync(backend.batcher.close)

    app = FastAPI(
        title="sssd-ecg",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        generate_unique_id_function=operation_id,
    )
    app.state.backend, app.state.jobs, app.state.gate = backend, store, gate
    patch_fastapi(app, DOCS, redirect_from_root_to_docs=False, swagger_ui_parameters={"validatorUrl": None})
    app.include_router(routes.health(gate))
    changes = routes.changes(backend, gate, settings)
    protected = (
        changes,
        routes.metrics(backend, store),
        routes.catalogue(generator, settings),
        routes.generation(backend, gate, settings),
        routes.jobs(backend, gate, store, settings),
    )
    require_key = key_required(settings.key_sha256)
    needed = [Depends(gate.refuse_crowds), *([Depends(require_key)] if settings.key_sha256 else [])]
    for router in protected:
        app.include_router(router, dependencies=needed)
    endpoints = {getattr(route, "endpoint", None) for router in protected for route in router.routes}
    uploads = {getattr(route, "endpoint", None) for route in changes.routes}

    async def before_body(request: Request) -> None:
        """Ask for the key before a body is read: FastAPI reads it before it comes to the dependencies."""
        await gate.refuse_crowds()
        if settings.key_sha256 and request.scope.get("endpoint") in endpoints:
            await require_key(request, await BEARER(request))

    def body_bytes(request: Request) -> int:
        """Return how large the body of a request may be, once its route has been found."""
        upload = request.scope.get("endpoint") in uploads
        return settings.recording_bytes if upload else settings.body_bytes

    app.router.default = Page()
    errors.add_handlers(app)
    # The last one that is added comes first.
    app.add_middleware(
        BodyLimits,
        size=body_bytes,
        seconds=settings.body_s,
        check=before_body,
        together=settings.bodies_bytes,
    )
    if only_here:
        app.add_middleware(LocalNames)
    app.add_middleware(Gzip)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Heads)
    app.add_middleware(RequestMetrics, metrics=backend.metrics)
    app.add_middleware(RequestIds, log=settings.access_log)
    return app
