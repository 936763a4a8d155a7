"""Jobs: sets too large for one request. They are generated in pieces, and their results are kept for a while."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

from .batching import QueueFull
from .schemas import Job
from .work import EightLeads, Work

Generate = Callable[[Work, int], Awaitable[EightLeads]]  # (work, cost of the whole job)
RETRY_S = 0.5  # how long a piece waits before it tries a full queue again


@dataclass(eq=False)
class _StoredJob:
    """A job and the records that exist so far."""

    work: Work
    state: Job
    parts: dict[int, EightLeads] = field(default_factory=dict)  # keyed by the number of their first record
    task: asyncio.Task[None] | None = None
    fetched: bool = False
    ended: float | None = None  # monotonic seconds


class Jobs:
    """All jobs of a service, in memory. A job is found by its owner and its name.

    piece: how many records are generated at once. at_once: how many pieces are in the queue at a time; with more than
    one, the device need not wait for the next. stored: how many records all jobs may hold together. kept_s: how long a
    result is kept after the job has ended.
    """

    def __init__(
        self, generate: Generate, *, piece: int, at_once: int = 2, stored: int, kept_s: float
    ) -> None:
        self._generate, self._piece, self._at_once = generate, piece, at_once
        self._stored, self._kept_s = stored, kept_s
        self._jobs: dict[tuple[str, str], _StoredJob] = {}

    async def create(self, owner: str, work: Work) -> Job:
        """Start a job. Raises QueueFull where the existing jobs leave no room for its records."""
        self._drop_old()
        held = sum(job.work.records for job in self._jobs.values())
        if held + work.records > self._stored:
            raise QueueFull(
                f"the existing jobs hold {held} of {self._stored} records: come again when one of them has "
                "been fetched and deleted",
                30,
            )
        name = secrets.token_urlsafe(12)
        job = _StoredJob(work, Job(id=name, state="waiting", done=0, count=work.records))
        self._jobs[owner, name] = job
        job.task = asyncio.create_task(self._run(job))
        return job.state

    async def status(self, owner: str, name: str) -> Job | None:
        """Return the state of a job; None if there is no such job."""
        self._drop_old()
        job = self._jobs.get((owner, name))
        return None if job is None else job.state

    async def result(self, owner: str, name: str) -> tuple[Work, EightLeads] | None:
        """Return all records (n, 8, L) of a job that is done, else None."""
        job = self._jobs.get((owner, name))
        if job is None or job.state.state != "done":
            return None
        job.fetched = True
        return job.work, np.concatenate([job.parts[start] for start in sorted(job.parts)])

    async def cancel(self, owner: str, name: str) -> Job | None:
        """Stop a job and drop its records; None if there is no such job."""
        job = self._jobs.pop((owner, name), None)
        if job is None:
            return None
        if job.task is not None and not job.task.done():
            job.task.cancel()
        return job.state.model_copy(update={"state": "cancelled"})

    @property
    def busy(self) -> bool:
        """Whether a job is not done yet, or is done and nobody has fetched its result."""
        self._drop_old()
        states = [(job.state.state, job.fetched) for job in self._jobs.values()]
        return any(state in ("waiting", "running") or (state == "done" and not f) for state, f in states)

    async def _run(self, job: _StoredJob) -> None:
        starts = iter(range(0, job.work.records, self._piece))

        async def run_pieces() -> None:
            for start in starts:
                job.parts[start] = await self._generate_piece(job, start)
                done = sum(len(part) for part in job.parts.values())
                job.state = job.state.model_copy(update={"done": done, "state": "running"})

        tasks = [asyncio.create_task(run_pieces()) for _ in range(self._at_once)]
        try:
            await asyncio.gather(*tasks)
            job.state = job.state.model_copy(update={"state": "done"})
        except Exception as error:  # whatever it is, the job's state must tell its client
            job.parts.clear()
            job.state = job.state.model_copy(update={"state": "failed", "message": str(error)})
        finally:
            for task in tasks:
                task.cancel()
            job.ended = time.monotonic()

    async def _generate_piece(self, job: _StoredJob, start: int) -> EightLeads:
        piece = job.work.part(start, min(start + self._piece, job.work.records))
        while True:
            try:
                return await self._generate(piece, job.work.cost)
            except QueueFull:
                await asyncio.sleep(RETRY_S)

    def _drop_old(self) -> None:
        """Forget the jobs that ended more than `kept_s` ago."""
        now = time.monotonic()
        for key, job in list(self._jobs.items()):
            if job.ended is not None and now - job.ended > self._kept_s:
                del self._jobs[key]
