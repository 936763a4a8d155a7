"""What the routes share: the format that a client prefers, its work, the time it may take, and the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio.to_thread
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from ...drawing import USUAL, Drawing
from ...io import dicom
from ...models.detail import FACTOR
from ...plot import LONGEST_S
from ...record import Ecg
from .. import encode
from ..answers import Records
from ..asked import GenerateRequest
from ..backend import Backend, TooLong, in_time
from ..errors import headers
from ..generator import Generator
from ..recordings import ChangeRequest
from ..security import client_of
from ..settings import Settings
from ..work import EightLeads, Work

BINARY = {"schema": {"type": "string", "format": "binary"}}
ECGS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Records,
        "description": "The records; CSV and pictures hold one record",
        "headers": headers("Content-Disposition"),
        "content": {form.media_type: BINARY for form in encode.FORMATS if form is not encode.JSON},
    }
}
GENERATING = (400, 401, 408, 413, 415, 422, 429, 503)

T = TypeVar("T")


def chosen_format(request: Request, count: int) -> encode.Format:
    """Return the format that the client prefers; 406 where there is none that can hold so many records."""
    accept = ",".join(request.headers.getlist("accept"))
    form = encode.choose(accept)
    if form is None:
        known = ", ".join(form.media_type for form in encode.FORMATS)
        raise HTTPException(406, f"Accept is {accept[:200]!r}: expected one of {known}")
    if count > 1 and not form.several:
        raise HTTPException(406, f"{form.media_type} holds one record, not {count}: accept JSON, NPZ or ZIP")
    check_package(form)
    return form


def check_package(form: encode.Format) -> None:
    """Raise 406 if the package is not installed that writes a format."""
    if form.package and find_spec(form.package) is None:
        text = f"{form.media_type} needs the module {form.package}, which the service does not have"
        raise HTTPException(406, f"{text}: its operator installs it with pip install 'sssd-ecg[clinical]'")


async def work_of(
    backend: Backend, asked: GenerateRequest | ChangeRequest, records_max: int, what: str
) -> Work:
    larger = what == "a request" and isinstance(asked, GenerateRequest)
    hint = ": POST larger sets to /v1/jobs" if larger else ""
    if asked.records > records_max:
        raise HTTPException(422, f"count is {asked.records}: {what} holds at most {records_max}{hint}")
    try:
        seconds = asked.parts[1] if isinstance(asked, GenerateRequest) else ()
        windows = await anyio.to_thread.run_sync(backend.generator.windows, seconds)
        finer = FACTOR if backend.generator.fine(asked.fs) else 1
        if windows * finer > 1 and asked.records * windows * finer > records_max:
            strip = [f"a strip of {sum(seconds):g} s counts as its {windows} windows"] if windows > 1 else []
            fine = [f"a record at {asked.fs:g} Hz counts as {finer}"] if finer > 1 else []
            raise HTTPException(
                422,
                f"count is {asked.records}, and {' and '.join(strip + fine)}: {what} holds at most {records_max}{hint}",
            )
        if isinstance(asked, ChangeRequest):
            return await anyio.to_thread.run_sync(backend.generator.changed, asked)
        return await anyio.to_thread.run_sync(backend.generator.work, asked)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def check_place(
    generator: Generator,
    form: encode.Format,
    noise: bool,
    annotated: bool,
    seconds: Sequence[float],
    fine: bool,
) -> None:
    """Raise 406 if a format has no place for what was asked for; seconds: of the parts of records; fine: see `Work`."""
    given = [name for name, on in (("noise", noise), ("annotate", annotated)) if on]
    if given and not form.beside:
        raise HTTPException(
            406,
            f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} given, and {form.media_type} has no place for "
            "what that adds: accept JSON, NPZ, ZIP or a picture",
        )
    if form.picture and sum(seconds) > LONGEST_S:
        raise HTTPException(
            406,
            f"records of more than {LONGEST_S:g} s have no pictures, and {sum(seconds):g} s are asked for",
        )
    if form.suffix == "dcm":
        try:
            finer = FACTOR if fine else 1
            dicom.factor_of(finer * generator.length(seconds), finer * generator.fs_hz)
        except ValueError as error:
            raise HTTPException(406, str(error)) from None


def check_asked(generator: Generator, form: encode.Format, asked: GenerateRequest | ChangeRequest) -> None:
    """Raise 406 or 422 if a format has no place for what is asked for, or measurements make no sense."""
    if asked.measure and form is not encode.JSON:
        raise unmeasured(form.media_type)
    if not isinstance(asked, GenerateRequest):
        return
    try:
        _, seconds = asked.parts
        fine = generator.fine(asked.fs)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    if asked.measure and len(seconds) > 1:
        raise HTTPException(
            422, "measure is true, and its checks judge records whose statements stay the same"
        )
    check_place(generator, form, asked.noise is not None, asked.annotate, seconds, fine)


def check_time(backend: Backend, work: Work, client: str) -> None:
    try:
        backend.check(work, client)
    except TooLong as error:
        raise HTTPException(422, str(error)) from None


async def while_connected(request: Request, awaitable: Awaitable[T]) -> T:
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


async def answer(
    backend: Backend,
    form: encode.Format,
    work: Work,
    signals: EightLeads,
    measured: bool = False,
    drawing: Drawing = USUAL,
) -> Response:
    """Return records in a format, as a file that is called after what was asked for."""

    def body(ecgs: Sequence[Ecg]) -> bytes:
        return (
            encode.records_json(ecgs, measured=True)
            if form is encode.JSON and measured
            else form.encode(ecgs, drawing, work.called)
        )

    name = f"{work.called}_{work.seed}_{work.request.numbers[0]}.{form.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    try:
        content = await backend.encoded(work, signals, body)
    except ValueError as error:  # a signal that 16 bits cannot hold, or a length that EDF cannot say
        raise HTTPException(422, f"the records cannot be written as {form.media_type}: {error}") from None
    return Response(content, media_type=form.media_type, headers={} if form is encode.JSON else headers)


async def respond(
    backend: Backend, settings: Settings, asked: GenerateRequest | ChangeRequest, request: Request
) -> Response:
    """Make the records of a request in the format that the client prefers, within the time of a request."""
    form = chosen_format(request, asked.records)
    check_asked(backend.generator, form, asked)
    work, client = await work_of(backend, asked, settings.records, "a request"), client_of(request)
    check_time(backend, work, client)
    generating = backend.generate(work, client=client)
    signals = await in_time(while_connected(request, generating), settings.request_s)
    return await answer(backend, form, work, signals, asked.measure, asked.drawing)


def unmeasured(what: str) -> HTTPException:
    return HTTPException(
        422, f"measure is true, and {what} has no place for measurements: POST to /v1/ecgs and accept JSON"
    )
