"""Generation on this machine: the model behind its queue, as the routes and jobs use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio.to_thread

from ..record import Ecg
from ..version import __version__
from .batching import Batcher, QueueFull
from .fairness import OnProgress, Ticket
from .generator import Generator, in_own_thread
from .metrics import Metrics
from .settings import Settings
from .work import EightLeads, OnStep, Plan, Work


class TooLong(ValueError):
    """A request would take longer than the settings allow for one."""


class DeadlineExceeded(Exception):
    """A request has taken longer than the settings allow for one."""


class GivenUp(Exception):
    """The server has stopped before a request was done."""


T = TypeVar("T")


async def in_time(awaitable: Awaitable[T], seconds: float) -> T:
    """Return the result of the awaitable. After so many seconds it is cancelled, and DeadlineExceeded is raised."""
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except asyncio.TimeoutError:
        text = f"not done within {seconds:g} s: ask for less, or POST it to /v1/jobs"
        raise DeadlineExceeded(text) from None


class Backend:
    """A generator, its queue, and the metrics of both."""

    def __init__(self, generator: Generator, settings: Settings) -> None:
        self.generator, self._settings = generator, settings
        self._computing = asyncio.Lock()
        build = {"version": __version__, "model": generator.name, "hash": generator.hash}
        self.metrics = Metrics(lambda: self.batcher.waiting, build)
        qualities = {plan: name for name, plan in generator.qualities.items()}

        def observe(plan: Plan, records: int, waited_s: list[float], ran_s: float) -> None:
            self.metrics.observe_batch(records, waited_s, ran_s, qualities.get(plan, "other"))

        self.batcher = Batcher(
            generator.run,
            size=settings.batch_records or generator.batch_records,
            waiting=settings.waiting_records,
            waiting_s=settings.waiting_s,
            gather_s=settings.gather_s,
            observe=observe,
            prepare=generator.warm_up,
        )

    def check(self, work: Work, client: str) -> None:
        """Raise TooLong if the request would take too long even alone, and QueueFull if it would because of others."""
        limit = self._settings.request_s
        alone = self.batcher.seconds(work.cost)
        if alone > limit:
            raise TooLong(
                f"this would take about {alone:.0f} s, and a request may take {limit:g} s: "
                "lower count or steps, or POST it to /v1/jobs"
            )
        if alone + self.batcher.expected_s(client, work) > limit:
            raise QueueFull(f"the queue is too long to answer within {limit:g} s: come again later", 30)

    def submit(
        self,
        work: Work,
        client: str = "",
        *,
        cost: int | None = None,
        on_step: OnStep | None = None,
        on_progress: OnProgress | None = None,
    ) -> Ticket:
        """Put the request into the queue; `wait` gives its records. Raises QueueFull where there is no room.

        The arguments are those of `Batcher.submit`. on_step and on_progress are called from the batches' thread.
        """
        return self.batcher.submit(work, client=client, cost=cost, on_step=on_step, on_progress=on_progress)

    async def wait(self, ticket: Ticket) -> EightLeads:
        """Return the records (n, 8, L) in mV. If this is cancelled, the request leaves the queue.

        GivenUp if the queue was abandoned.
        """
        try:
            return await asyncio.wrap_future(ticket.result)
        except asyncio.CancelledError:
            if ticket.result.cancelled() and self.batcher.abandoned:
                raise GivenUp("the server has stopped: ask another server, or come again") from None
            self.batcher.withdraw(ticket)
            raise

    async def encoded(self, work: Work, signals: EightLeads, encode: Callable[[Sequence[Ecg]], T]) -> T:
        """Return what `encode` makes of the records, in a thread.

        Annotations and detail are computed there, for one request after the other, because each takes all cores.
        """

        def body() -> T:
            return encode(self.generator.records(work, signals))

        if not (work.annotated or work.fine):
            return await anyio.to_thread.run_sync(body)
        async with self._computing:
            return await anyio.to_thread.run_sync(in_own_thread, body)

    async def generate(
        self, work: Work, cost: int | None = None, client: str = "", on_progress: OnProgress | None = None
    ) -> EightLeads:
        return await self.wait(self.submit(work, client, cost=cost, on_progress=on_progress))
