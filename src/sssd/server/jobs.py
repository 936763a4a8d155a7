"""Jobs: sets too large for one request. They are generated in pieces, and their results are kept for a while."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .answers import Job
from .batching import QueueFull
from .fairness import OnProgress, is_over_share
from .work import EightLeads, Work

RETRY_S = 0.5  # how long a piece waits before it tries a full queue again


class Generate(Protocol):
    """Generates a piece of a job. cost: of the whole job. client: who asked. on_progress: see `Batcher.submit`."""

    def __call__(
        self, work: Work, cost: int, client: str, on_progress: OnProgress
    ) -> Awaitable[EightLeads]: ...


class Repeated(ValueError):
    """An idempotency key comes with another request than before."""


@dataclass(frozen=True)
class Origin:
    """Who starts a job, and with which request.

    owner: the hash of the key; jobs of other owners do not exist for a caller. client: between whom the queue is fair.
    key: the idempotency key, if there is one, and request: a hash of the request that came with it.
    """

    owner: str
    client: str = ""
    key: str | None = None
    request: str = ""


@dataclass(eq=False)
class _StoredJob:
    """A job and the records that exist so far. ran: evaluations of the network that are done."""

    name: str
    origin: Origin
    work: Work
    state: str = "running"  # as long as it has not ended
    message: str = ""
    ran: int = 0
    parts: dict[int, EightLeads] = field(default_factory=dict)  # keyed by the number of their first record
    task: asyncio.Task[None] | None = None
    fetched: bool = False
    ended: float | None = None  # monotonic seconds

    def advance(self, ran: int) -> None:
        self.ran += ran

    def seen(self, state: str | None = None) -> Job:
        """Return the job as clients see it."""
        done = sum(len(part) for part in self.parts.values())
        waits = self.state == "running" and not self.ran
        ran = 1.0 if self.state == "done" else min(1.0, self.ran / self.work.cost)
        return Job.model_validate(
            {
                "id": self.name,
                "state": state or ("waiting" if waits else self.state),
                "done": done,
                "count": self.work.records,
                "progress": round(ran, 4),
                "message": self.message,
            }
        )


class Jobs:
    """All jobs of a service, in memory. A job is found by its owner and its name.

    piece: how many records are generated at once. at_once: how many pieces are in the queue at a time; with more than
    one, the device need not wait for the next. stored: how many records all jobs may hold together, see
    `is_over_share`. A strip counts as its windows for both. kept_s: how long a result is kept after the job has ended.
    """

    def __init__(
        self, generate: Generate, *, piece: int, at_once: int = 2, stored: int, kept_s: float
    ) -> None:
        self._generate, self._piece, self._at_once = generate, piece, at_once
        self._stored, self._kept_s = stored, kept_s
        self._jobs: dict[tuple[str, str], _StoredJob] = {}

    async def create(self, origin: Origin, work: Work) -> Job:
        """Start a job, or return the one that the same owner has started with this idempotency key.

        Raises QueueFull where the existing jobs leave no room for its records, and Repeated where the key came with
        another request.
        """
        self._drop_old()
        for job in self._jobs.values():
            if origin.key is not None and (job.origin.owner, job.origin.key) == (origin.owner, origin.key):
                if job.origin.request != origin.request:
                    raise Repeated("this Idempotency-Key came with another request before: take a new one")
                return job.seen()
        held: dict[str, int] = {}
        for job in self._jobs.values():
            held[job.origin.client] = held.get(job.origin.client, 0) + job.work.room
        total = sum(held.values())
        own = held.pop(origin.client, 0) + work.room
        if is_over_share(own, list(held.values()), self._stored):
            raise QueueFull(
                f"the existing jobs hold {total} of {self._stored} records: come again when one of them has "
                "been fetched and deleted",
                30,
            )
        job = _StoredJob(secrets.token_urlsafe(12), origin, work)
        self._jobs[origin.owner, job.name] = job
        job.task = asyncio.create_task(self._run(job))
        return job.seen()

    async def status(self, owner: str, name: str) -> Job | None:
        """Return the state of a job; None if there is no such job."""
        self._drop_old()
        job = self._jobs.get((owner, name))
        return None if job is None else job.seen()

    async def listed(self, owner: str) -> list[Job]:
        """Return the states of all jobs of an owner, the oldest first."""
        self._drop_old()
        return [job.seen() for (of, _), job in self._jobs.items() if of == owner]

    async def work(self, owner: str, name: str) -> Work | None:
        """Return what a job makes; None if there is no such job."""
        job = self._jobs.get((owner, name))
        return None if job is None else job.work

    async def result(self, owner: str, name: str) -> tuple[Work, EightLeads] | None:
        """Return all records (n, 8, L) of a job that is done, else None."""
        job = self._jobs.get((owner, name))
        if job is None or job.state != "done":
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
        return job.seen("cancelled")

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state; those that are done and not fetched count as unfetched."""
        self._drop_old()
        found = dict.fromkeys(("waiting", "running", "unfetched", "done", "failed"), 0)
        for job in self._jobs.values():
            state = job.seen().state
            found["unfetched" if state == "done" and not job.fetched else state] += 1
        return found

    @property
    def busy(self) -> bool:
        """Whether a job is not done yet, or is done and nobody has fetched its result."""
        counts = self.counts
        return counts["waiting"] + counts["running"] + counts["unfetched"] > 0

    async def _run(self, job: _StoredJob) -> None:
        size = max(1, self._piece // job.work.plan.windows)
        starts = iter(range(0, job.work.records, size))

        async def run_pieces() -> None:
            for start in starts:
                job.parts[start] = await self._generate_piece(job, start, size)

        tasks = [asyncio.create_task(run_pieces()) for _ in range(self._at_once)]
        try:
            await asyncio.gather(*tasks)
            job.state = "done"
        except Exception as error:  # whatever it is, the job's state must tell its client
            job.parts.clear()
            job.state, job.message = "failed", str(error)
        finally:
            for task in tasks:
                task.cancel()
            job.ended = time.monotonic()

    async def _generate_piece(self, job: _StoredJob, start: int, size: int) -> EightLeads:
        piece = job.work.part(start, min(start + size, job.work.records))
        while True:
            try:
                return await self._generate(piece, job.work.cost, job.origin.client, job.advance)
            except QueueFull:
                await asyncio.sleep(RETRY_S)

    def _drop_old(self) -> None:
        """Forget the jobs that ended more than `kept_s` ago."""
        now = time.monotonic()
        for key, job in list(self._jobs.items()):
            if job.ended is not None and now - job.ended > self._kept_s:
                del self._jobs[key]
