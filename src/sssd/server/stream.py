"""A record as it forms: server-sent events (WHATWG HTML, 9.2) of the clean signal predicted at each step."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
import numpy as np
from starlette.requests import Request

from ..leads import to_twelve
from .backend import Backend, in_time
from .batching import Ticket
from .encode import record_json, shared_provenance, signal_json, to_json
from .work import Work

KEPT = 64  # how many steps wait for a slow reader
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

    def take(self) -> tuple[int, np.ndarray] | None:
        """Return the next step and its signal (8, L), or None."""
        return self._kept.popleft() if self._kept else None


def begin(
    request: Request, backend: Backend, work: Work, measured: bool, seconds: float
) -> AsyncIterator[bytes]:
    """Put one record into the queue and return its events. Raises QueueFull where there is no room."""
    steps = Steps()
    ticket = backend.submit(work, on_step=steps.put)
    ticket.result.add_done_callback(lambda _: steps.wake())
    return _events(request, backend, ticket, steps, measured, seconds)


async def _events(
    request: Request, backend: Backend, ticket: Ticket, steps: Steps, measured: bool, seconds: float
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
            while step := steps.take():
                yield await anyio.to_thread.run_sync(_step, work, *step)
        yield await anyio.to_thread.run_sync(_record, backend, work, await task, measured)
    except Exception as error:
        yield _event("error", {"detail": str(error)})
    finally:
        task.cancel()


def _step(work: Work, i: int, x0: np.ndarray) -> bytes:
    signal = signal_json(to_twelve(x0))
    return _event("step", {"step": i + 1, "steps": work.plan.steps, "signal": signal})


def _record(backend: Backend, work: Work, signals: np.ndarray, measured: bool) -> bytes:
    ecg = backend.generator.records(work, signals)[0]
    record = record_json(ecg, measured)
    return _event("record", {**record, "provenance": shared_provenance([ecg])})


def _event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + to_json(data) + b"\n\n"
