"""Generation on this machine: the model behind its queue, as the routes and jobs use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from .batching import Batcher, Full, Ticket
from .generator import Generator
from .metrics import Metrics
from .settings import Settings
from .work import Eight, OnStep, Work


class TooLong(ValueError):
    """A request that would take longer than one may."""


class OutOfTime(Exception):
    """A request that took longer than one may."""


T = TypeVar("T")


async def in_time(awaitable: Awaitable[T], seconds: float) -> T:
    """The result; OutOfTime, and the awaitable cancelled, when it is not there by then."""
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except asyncio.TimeoutError:
        raise OutOfTime(f"not done within {seconds:g} s: ask for less, or POST it to /v1/jobs") from None


class Local:
    """A generator, its queue and what is counted of them."""

    def __init__(self, generator: Generator, settings: Settings) -> None:
        self.generator, self._settings = generator, settings
        self.metrics = Metrics(lambda: self.batcher.waiting)
        self.batcher = Batcher(
            generator.run,
            size=settings.batch_records or generator.batch_records,
            waiting=settings.waiting_records,
            waiting_s=settings.waiting_s,
            gather_s=settings.gather_s,
            observe=self.metrics.batch,
            prepare=generator.warm_up,
        )

    def check(self, work: Work) -> None:
        """TooLong where the request cannot be done in time, Full where it cannot be so now."""
        limit = self._settings.request_s
        alone = self.batcher.seconds(work.cost)
        if alone > limit:
            raise TooLong(
                f"this would take about {alone:.0f} s, and a request may take {limit:g} s: "
                "lower count or steps, or POST it to /v1/jobs"
            )
        if alone + self.batcher.expected_s > limit:
            raise Full(f"there is too much to do to answer within {limit:g} s: come again later", 30)

    def submit(self, work: Work, cost: int | None = None, on_step: OnStep | None = None) -> Ticket:
        """Queue it for `wait`; Full where there is no room. on_step is called from another thread."""
        return self.batcher.submit(work, cost=cost, on_step=on_step)

    async def wait(self, ticket: Ticket) -> Eight:
        """(n, 8, L) mV. Cancelling this gives its place in the queue up."""
        try:
            return await asyncio.wrap_future(ticket.result)
        except asyncio.CancelledError:
            self.batcher.withdraw(ticket)
            raise

    async def generate(self, work: Work, cost: int | None = None) -> Eight:
        return await self.wait(self.submit(work, cost))
