"""Every error is answered as {"detail": one message}."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from .answers import Problem
from .backend import DeadlineExceeded, GivenUp
from .batching import QueueFull

NO_JSON = "the body cannot be read as JSON"
MEANINGS = {
    400: "The body is not JSON",
    401: "An API key is needed",
    404: "There is no such job",
    406: "None of the accepted formats can hold the answer",
    408: "The body arrived too slowly",
    409: "The job is not done",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "The request cannot be carried out as it stands",
    429: "The server is busy: come again after Retry-After seconds",
    503: "The server is stopping, or the request took too long",
}


HEADERS = {  # of answers: what OpenAPI says of them, a description and a type
    "Retry-After": ("After how many seconds to come again", "integer"),
    "X-Request-ID": ("Names the request in the log; yours, if you sent one", "string"),
    "Content-Disposition": ("A name for the file", "string"),
    "ETag": ("Changes with the request, the weights and the version", "string"),
    "Cache-Control": ("How long browsers and proxies may keep the answer", "string"),
    "Location": ("The address of the job", "string"),
}


def headers(*names: str) -> dict[str, Any]:
    """Return the OpenAPI description of these headers and of those that every answer has."""
    return {
        name: {"description": HEADERS[name][0], "schema": {"type": HEADERS[name][1]}}
        for name in (*names, "X-Request-ID")
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of these error answers."""
    return {
        status: {
            "model": Problem,
            "description": MEANINGS[status],
            "headers": headers("Retry-After") if status in (429, 503) else headers(),
        }
        for status in statuses
    }


def add_handlers(app: FastAPI) -> None:
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(QueueFull, _full)
    app.add_exception_handler(DeadlineExceeded, _late)
    app.add_exception_handler(GivenUp, _late)
    app.add_exception_handler(Exception, _failed)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error answer. It is ASCII, so that nothing a client sent can fail to be encoded."""
    content = json.dumps({"detail": detail}, separators=(",", ":")).encode("ascii")
    return Response(content, status, media_type="application/json", headers=headers)


async def _refused(_: Request, error: Any) -> Response:
    unreadable = error.status_code == 400 and error.__cause__  # FastAPI's: broken encodings, endless brackets
    return problem(error.status_code, NO_JSON if unreadable else error.detail, error.headers)


async def _full(_: Request, error: Any) -> Response:
    return problem(429, str(error), {"Retry-After": str(error.retry_s)})


async def _late(_: Request, error: Any) -> Response:
    return problem(503, str(error), {"Retry-After": "30"})


async def _failed(_: Request, error: Any) -> Response:
    """Say nothing of the error, which the server has logged."""
    return problem(500, "an error in the server has ended this request; the server's log has the details")


async def _invalid(request: Request, error: Any) -> Response:
    """Name the first thing that is wrong, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "json_invalid":
        return problem(400, f"{NO_JSON}: {first.get('ctx', {}).get('error', first['msg'])}")
    if first["loc"] == ("body",) and first["type"] in ("model_attributes_type", "dict_type", "model_type"):
        return problem(422, "the body is not a JSON object sent as Content-Type: application/json")
    if first["type"] == "extra_forbidden":
        known = ", ".join(_keys(request, first["loc"]))
        return problem(422, f"unknown key {where[:80]!r}; the known keys are {known}")
    large = isinstance(first["input"], list | dict)  # of which no text is made
    given = "" if large or first["type"] == "missing" else f" is {ascii(first['input'])[:80]}"
    said = first["msg"].removeprefix("Value error, ")
    return problem(422, f"{where[:80] or 'the body'}{given}: {said}")


def _keys(request: Request, where: Sequence[str | int]) -> Sequence[str]:
    """Return the keys that may stand beside an unknown one at this place of a request's body."""
    asked: Any = get_type_hints(request.scope["endpoint"])["asked"]
    for part in where[1:-1]:
        found = asked.model_fields[part].annotation
        asked = next((one for one in get_args(found) if hasattr(one, "model_fields")), found)  # without None
    return tuple(asked.model_fields)
