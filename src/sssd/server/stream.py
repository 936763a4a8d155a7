"""A record as it forms: server-sent events (WHATWG HTML, 9.2) of the clean signal predicted at each step.

A connection that is too slow for all steps gets the newest ones: steps that grew old while an event was sent are left
out.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import anyio.to_thread
import numpy as np
from starlette.requests import Request

from ..leads import EIGHT, to_twelve
from ..record import Ecg
from .backend import Backend, in_time
from .encode import record_json, shared_provenance, signal_json, to_json
from .fairness import Ticket
from .work import Work

KEPT = 64  # how many steps wait for a reader
SLOW_S = 0.1  # a line is slow if it takes longer than this for an event; then only the newest step follows
UNIT_UV = 5  # resolution of the compact form
ALIVE_S = 1.0  # something is sent at least this often, which shows whether the client is still there


class Steps:
    """Steps that the batches' thread hands to the event loop. A slow reader misses the oldest ones."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        self._kept: deque[tuple[int, np.ndarray]] = deque(maxlen=KEPT)

    def put(self, i: int, x0: Any) -> None:
        """Add step i with its predicted record x0 (1, 8, L). May be called from any thread."""
        self._kept.append((i, x0[0].cpu().numpy().copy()))
        self.wake()

    def wake(self) -> None:
        """End the current `wait`. May be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """Wait for `put` or `wake`, but no longer than ALIVE_S."""
        try:
            await asyncio.wait_for(self._event.wait(), ALIVE_S)
        except asyncio.TimeoutError:
            pass
        self._event.clear()

    def take(self, newest: bool = False) -> tuple[int, np.ndarray] | None:
        """Return the next step and its signal (8, L), or None. newest: drop all steps but the last one."""
        while newest and len(self._kept) > 1:
            self._kept.popleft()
        return self._kept.popleft() if self._kept else None


def begin(
    request: Request,
    backend: Backend,
    work: Work,
    measured: bool,
    seconds: float,
    client: str = "",
    *,
    compact: bool = False,
    compressed: bool = False,
) -> AsyncIterator[bytes]:
    """Put one record into the queue and return its events. Raises QueueFull where there is no room.

    compact: whether steps have the form of `compact_signal`. compressed: whether the events are in one gzip stream.
    """
    steps = Steps()
    ticket = backend.submit(work, client, on_step=steps.put)
    ticket.result.add_done_callback(lambda _: steps.wake())
    events = _events(request, backend, ticket, steps, measured, seconds, compact)
    return _gzip(events) if compressed else events


async def _events(
    request: Request,
    backend: Backend,
    ticket: Ticket,
    steps: Steps,
    measured: bool,
    seconds: float,
    compact: bool,
) -> AsyncIterator[bytes]:
    """`step` events while the record forms, then one `record` or one `error`. A client that leaves cancels it."""
    task, work = asyncio.create_task(in_time(backend.wait(ticket), seconds)), ticket.work
    try:
        done = False
        while not done:
            yield b": waiting\n\n"  # a comment, which clients ignore
            await steps.wait()
            if await request.is_disconnected():
                return
            done = ticket.result.done()  # read before the steps are taken, so that none is left behind
            slow = False
            while step := steps.take(newest=slow):
                event = await anyio.to_thread.run_sync(_step, work, *step, compact)
                began = time.monotonic()
                yield event  # this takes as long as the line is busy
                slow = time.monotonic() - began > SLOW_S
        yield await backend.encoded(work, await task, partial(_record, measured))
    except Exception as error:
        yield _event("error", {"detail": str(error)})
    finally:
        task.cancel()


def _step(work: Work, i: int, x0: np.ndarray, compact: bool) -> bytes:
    signal = compact_signal(x0) if compact else {"signal": signal_json(to_twelve(x0))}
    return _event("step", {"step": i + 1, "steps": work.plan.steps, **signal})


def compact_signal(x0: np.ndarray) -> dict[str, Any]:
    """Return a signal (8, L) in mV in a form that takes a tenth of the bytes once it is compressed.

    delta: (8, L) int16, the first sample of each lead and the differences of each sample to the one before, in units of
    `unit_uv`; leads: their names. The other four leads follow from these (`sssd.leads.to_twelve`).
    """
    limits = np.iinfo(np.int16)
    units = np.round(np.clip(1000.0 / UNIT_UV * x0, limits.min // 2, limits.max // 2)).astype(np.int32)
    delta = np.diff(units, axis=1, prepend=0).astype(np.int16)
    return {"unit_uv": UNIT_UV, "leads": list(EIGHT), "delta": delta}


async def _gzip(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Compress events (RFC 1952), each to the end, so that it can be read when it arrives."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    async with contextlib.aclosing(events) as source:  # type: ignore[type-var]
        async for event in source:
            yield packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def _record(measured: bool, ecgs: Sequence[Ecg]) -> bytes:
    ecg = ecgs[0]
    record = record_json(ecg, measured)
    return _event("record", {**record, "provenance": shared_provenance([ecg])})


def _event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + to_json(data) + b"\n\n"
