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
from .batching import Ticket
from .encode import record_json, signal_json, to_json
from .local import Local, in_time
from .measure import measure
from .work import Work

KEPT = 64  # steps that wait for a reader
ALIVE_S = 1.0  # at least so often something is sent, by which a client that has gone is noticed


class Steps:
    """Steps that the batches' thread told of, for the loop to pick up; a slow reader misses the oldest."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        self._kept: deque[tuple[int, np.ndarray]] = deque(maxlen=KEPT)

    def put(self, i: int, x0: Any) -> None:
        """From any thread: x0 (1, 8, L)."""
        self._kept.append((i, x0[0].cpu().numpy().copy()))
        self.wake()

    def wake(self) -> None:
        """From any thread: there is something to see."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody looks any more
            self._loop.call_soon_threadsafe(self._event.set)

    async def come(self) -> None:
        """Wait until there is something to see, but not for long."""
        try:
            await asyncio.wait_for(self._event.wait(), ALIVE_S)
        except asyncio.TimeoutError:
            pass
        self._event.clear()

    def take(self) -> tuple[int, np.ndarray] | None:
        """The next step and its signal (8, L), if there is one."""
        return self._kept.popleft() if self._kept else None


def begin(request: Request, local: Local, work: Work, measured: bool, seconds: float) -> AsyncIterator[bytes]:
    """Queue one record and give its events; Full where there is no room."""
    steps = Steps()
    ticket = local.submit(work, on_step=steps.put)
    ticket.result.add_done_callback(lambda _: steps.wake())
    return _events(request, local, ticket, steps, measured, seconds)


async def _events(
    request: Request, local: Local, ticket: Ticket, steps: Steps, measured: bool, seconds: float
) -> AsyncIterator[bytes]:
    """`step` events while the record forms, then one `record`, or one `error`; a client that goes gives it up."""
    task, work = asyncio.create_task(in_time(local.wait(ticket), seconds)), ticket.work
    try:
        done = False
        while not done:
            yield b": here\n\n"
            await steps.come()
            if await request.is_disconnected():
                return
            done = ticket.result.done()  # before the steps are taken, so that none comes after
            while step := steps.take():
                yield await anyio.to_thread.run_sync(_step, work, *step)
        yield await anyio.to_thread.run_sync(_last, local, work, await task, measured)
    except Exception as error:
        yield _event("error", {"detail": str(error)})
    finally:
        task.cancel()


def _step(work: Work, i: int, x0: np.ndarray) -> bytes:
    signal = signal_json(to_twelve(x0))
    return _event("step", {"step": i + 1, "steps": work.sampling.steps, "signal": signal})


def _last(local: Local, work: Work, eight: np.ndarray, measured: bool) -> bytes:
    ecg = local.generator.records(work, eight)[0]
    record = record_json(ecg, measure(ecg) if measured else None)
    return _event("record", {**record, "provenance": local.generator.provenance(work)})


def _event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + to_json(data) + b"\n\n"
