"""A record as it forms: server-sent events (WHATWG HTML, 9.2) of the clean signal predicted at each step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
import numpy as np

from ..leads import to_twelve
from .encode import record_json, signal_json, to_json
from .local import Local
from .measure import measure
from .work import Work

ALIVE_S = 1.0  # at least so often something is sent, by which a client that has gone is noticed


class Latest:
    """The last step that the batches' thread told of, for the loop to pick up; a slow reader misses some."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        self._value: tuple[int, np.ndarray] | None = None

    def put(self, i: int, x0: Any) -> None:
        """From any thread: x0 (1, 8, L)."""
        self._value = i, np.array(x0.cpu()[0])
        self._loop.call_soon_threadsafe(self._event.set)

    def wake(self) -> None:
        self._event.set()

    async def get(self) -> tuple[int, np.ndarray] | None:
        """The step and its signal (8, L), or None where none comes for a while."""
        try:
            await asyncio.wait_for(self._event.wait(), ALIVE_S)
        except asyncio.TimeoutError:
            return None
        self._event.clear()
        return self._value


async def events(local: Local, work: Work, measured: bool) -> AsyncIterator[bytes]:
    """`step` events while the record forms, then one `record`, or one `error`. Closing it gives up the record."""
    latest = Latest()
    task = asyncio.create_task(local.generate(work, on_step=latest.put))
    task.add_done_callback(lambda _: latest.wake())
    shown = -1
    try:
        yield b": waiting\n\n"
        while not task.done():
            step = await latest.get()
            if step is None:
                yield b": waiting\n\n"
            elif step[0] > shown:
                shown = step[0]
                yield await anyio.to_thread.run_sync(_step, shown, work.sampling.steps, step[1])
        yield await anyio.to_thread.run_sync(_last, local, work, task.result(), measured)
    except Exception as error:
        yield _event("error", {"detail": str(error)})
    finally:
        task.cancel()


def _step(i: int, steps: int, x0: np.ndarray) -> bytes:
    return _event("step", {"step": i + 1, "steps": steps, "signal": signal_json(to_twelve(x0))})


def _last(local: Local, work: Work, eight: np.ndarray, measured: bool) -> bytes:
    ecg = local.generator.records(work, eight)[0]
    record = record_json(ecg, measure(ecg) if measured else None)
    return _event("record", {**record, "provenance": local.generator.provenance(work)})


def _event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + to_json(data) + b"\n\n"
