"""Jobs: sets too large for one request, made piece by piece, kept for a while, cancelled on request."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

from .batching import Full
from .schemas import Job
from .work import Eight, Work

Generate = Callable[[Work, int], Awaitable[Eight]]  # (work, cost of all that its client asked for)
RETRY_S = 0.5  # where the queue is full


@dataclass(eq=False)
class _Kept:
    """A job and what there is of it."""

    work: Work
    state: Job
    parts: dict[int, Eight] = field(default_factory=dict)  # by the record that they start with
    task: asyncio.Task[None] | None = None
    fetched: bool = False
    ended: float | None = None  # monotonic seconds


class Jobs:
    """All jobs of a service, in memory.

    piece: records asked for at once, in at_once places so that the device need not wait for the next. stored: records
    that all jobs may hold together; kept_s: how long a result waits.
    """

    def __init__(
        self, generate: Generate, *, piece: int, at_once: int = 2, stored: int, kept_s: float
    ) -> None:
        self._generate, self._piece, self._at_once = generate, piece, at_once
        self._stored, self._kept_s = stored, kept_s
        self._jobs: dict[str, _Kept] = {}

    async def create(self, work: Work) -> Job:
        """Start a job. Full where the jobs there are leave no room for its records."""
        self._forget()
        held = sum(kept.work.records for kept in self._jobs.values())
        if held + work.records > self._stored:
            raise Full(
                f"the jobs there are hold {held} of {self._stored} records: come again when one of them has "
                "been fetched and deleted",
                30,
            )
        name = secrets.token_urlsafe(12)
        kept = _Kept(work, Job(id=name, state="waiting", done=0, count=work.records))
        self._jobs[name] = kept
        kept.task = asyncio.create_task(self._make(kept))
        return kept.state

    async def status(self, name: str) -> Job | None:
        """None: there is no such job."""
        self._forget()
        return self._jobs[name].state if name in self._jobs else None

    async def result(self, name: str) -> tuple[Work, Eight] | None:
        """All records (n, 8, L) of a job that is done, else None."""
        kept = self._jobs.get(name)
        if kept is None or kept.state.state != "done":
            return None
        kept.fetched = True
        return kept.work, np.concatenate([kept.parts[start] for start in sorted(kept.parts)])

    async def cancel(self, name: str) -> Job | None:
        """Stop a job and drop what there is of it."""
        kept = self._jobs.pop(name, None)
        if kept is None:
            return None
        if kept.task is not None and not kept.task.done():
            kept.task.cancel()
        return kept.state.model_copy(update={"state": "cancelled"})

    @property
    def busy(self) -> bool:
        """Whether one is not done, or done and nobody has fetched it."""
        self._forget()
        states = [(kept.state.state, kept.fetched) for kept in self._jobs.values()]
        return any(state in ("waiting", "running") or (state == "done" and not f) for state, f in states)

    async def _make(self, kept: _Kept) -> None:
        starts = iter(range(0, kept.work.records, self._piece))

        async def some() -> None:
            for start in starts:
                kept.parts[start] = await self._part(kept, start)
                done = sum(len(part) for part in kept.parts.values())
                kept.state = kept.state.model_copy(update={"done": done, "state": "running"})

        tasks = [asyncio.create_task(some()) for _ in range(self._at_once)]
        try:
            await asyncio.gather(*tasks)
            kept.state = kept.state.model_copy(update={"state": "done"})
        except Exception as error:  # whatever it is, its client must hear of it
            kept.parts.clear()
            kept.state = kept.state.model_copy(update={"state": "failed", "message": str(error)})
        finally:
            for task in tasks:
                task.cancel()
            kept.ended = time.monotonic()

    async def _part(self, kept: _Kept, start: int) -> Eight:
        part = kept.work.part(start, min(start + self._piece, kept.work.records))
        while True:
            try:
                return await self._generate(part, kept.work.cost)
            except Full:
                await asyncio.sleep(RETRY_S)

    def _forget(self) -> None:
        """Drop the jobs that ended long ago."""
        now = time.monotonic()
        for name, kept in list(self._jobs.items()):
            if kept.ended is not None and now - kept.ended > self._kept_s:
                del self._jobs[name]
