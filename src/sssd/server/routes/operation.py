"""The routes for operators: whether the service answers, whether it takes requests, and its counters."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from ..backend import Backend
from ..errors import problems
from ..gate import Gate

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TEXT = {"schema": {"type": "string"}}


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


def metrics(backend: Backend, store: object) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get(
        "/metrics",
        summary="Counters and times for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": TEXT}}, **problems(401, 429)},
    )
    async def metrics() -> Response:
        backend.metrics.observe_jobs(getattr(store, "counts", {}))  # a cluster keeps its jobs elsewhere
        return Response(backend.metrics.text(), media_type=METRICS_TYPE)

    return router
