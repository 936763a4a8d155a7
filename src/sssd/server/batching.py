"""The queue that keeps the device busy: records of different requests run in one batch.

One thread takes records from the queue and generates them. All records of a batch have the same plan, which is that of
the first request of the client whose turn it is (`fairness`). The places of a batch are dealt in turn, one record at a
time, to the requests with that plan. Requests that still have records left then go to the end of the queue.

A small request may overtake a large one. If it costs at most a quarter of each request in the running batch, it runs
between two steps of that batch, as long as the batch keeps half of the time. So a single draft does not wait for a
thousand records. None of this changes what a record looks like.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from .fairness import OVERTAKE, OnProgress, Piece, Ticket, Turns, deal, is_over_share, work_ahead
from .work import Batch, EightLeads, OnStep, Plan, Work

DECAY = 0.7  # weight of an earlier batch, relative to the next one, in the measured speed


class QueueFull(Exception):
    """The queue has no room. retry_s: after how many seconds it makes sense to ask again."""

    def __init__(self, message: str, retry_s: int) -> None:
        super().__init__(message, retry_s)  # both arguments, so that pickling keeps them
        self.message, self.retry_s = message, retry_s

    def __str__(self) -> str:
        return self.message


class Abandoned(Exception):
    """All clients of the running batch have left."""


class Batcher:
    """The queue and the thread that runs its batches.

    run(batch, on_step) -> (B, 8, L) generates a batch. It is always called from the same thread, and sometimes from
    within the on_step of another batch.
    size: how many records a batch may hold. waiting: how many records the queue may hold, see `is_over_share`.
    waiting_s: how many seconds of work may come before a request. gather_s: how long a request waits for others to
    share its batch when the device is idle.
    observe(plan, records, seconds that each request waited, seconds that the batch ran) is called after each batch.
    prepare() is called before the first batch; `ready` is a future of its outcome.

    Everything is computed in this one thread. OpenMP keeps a pool of threads for each thread that computes, and when
    they outnumber the cores they sleep instead of spinning, which makes batches of 8 on two cores a quarter slower.
    """

    def __init__(
        self,
        run: Callable[[Batch, OnStep], EightLeads],
        *,
        size: int,
        waiting: int,
        waiting_s: float,
        gather_s: float,
        observe: Callable[[Plan, int, list[float], float], None] = lambda *_: None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.size = size
        self.ready: Future[None] = Future()
        self._run, self._observe, self._prepare = run, observe, prepare
        self._waiting, self._waiting_s, self._gather_s = waiting, waiting_s, gather_s
        self._queue: list[Ticket] = []
        self._turns = Turns()
        self._running = 0  # evaluations of the network that running batches still have to do
        self._shortest = 0.0  # the least cost of a request in the running batch that others may overtake
        self._spent_s, self._did = 0.0, 0.0  # seconds, and evaluations of the network, of recent batches
        self._closed = self._abandoned = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="batches", daemon=True)
        self._thread.start()

    # --- from any thread ----------------------------------------------------------------------------------

    def submit(
        self,
        work: Work,
        *,
        client: str = "",
        on_step: OnStep | None = None,
        cost: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Ticket:
        """Put a request into the queue. Its ticket's `result` is a future of the records (n, 8, L).

        cost: of the job of which this is a piece. Pieces are not refused, because jobs have limits of their own and
        wait for their turn. on_step(i, x0) is called from the batches' thread; only requests for a single record may
        have it. on_progress(evaluations of the network that were just done) is called from there too. Raises QueueFull
        where there is no room, and RuntimeError when the queue is closed.
        """
        whole = work.cost if cost is None else cost
        ticket = Ticket(work, whole, on_step, time.monotonic(), client, cost is not None, on_progress)
        with self._changed:
            if self._closed:
                raise RuntimeError("the queue is closed")
            if not ticket.of_job:
                self._admit(ticket)
            self._turns.arrived(client, self._queue)
            self._queue.append(ticket)
            self._changed.notify_all()
        return ticket

    def _admit(self, ticket: Ticket) -> None:
        held: dict[str, int] = {}
        for other in (ticket for ticket in self._queue if not ticket.of_job):
            held[other.client] = held.get(other.client, 0) + other.room_left
        own, others = held.pop(ticket.client, 0) + ticket.work.room, list(held.values())
        expected = self.expected_s(ticket.client, ticket.work, ticket.cost)
        if (own > ticket.work.room or others) and is_over_share(own, others, self._waiting):
            text = f"{self.waiting} records are waiting already, and the queue may hold {self._waiting}"
        elif expected > self._waiting_s:
            text = f"the requests before this one take about {expected:.0f} s, and {self._waiting_s:g} s may wait"
        else:
            return
        raise QueueFull(f"{text}: come again later", max(1, math.ceil(min(expected / 8, 15.0))))

    def withdraw(self, ticket: Ticket) -> None:
        """Drop a request whose client has left. A batch that is for nobody else ends at its next step."""
        with self._changed:
            ticket.withdrawn = True
            if ticket in self._queue:
                self._queue.remove(ticket)
        ticket.result.cancel()

    @property
    def waiting(self) -> int:
        """Records in the queue; a strip counts as its windows."""
        return sum(ticket.room_left for ticket in tuple(self._queue))

    @property
    def abandoned(self) -> bool:
        """Whether everything was given up."""
        return self._abandoned

    @property
    def idle(self) -> bool:
        return not self._queue and not self._running

    def seconds(self, cost: float) -> float:
        """Return the expected seconds of this many evaluations of the network; 0 before the first batch."""
        return cost * self._spent_s / self._did if self._did else 0.0

    def expected_s(self, client: str, work: Work, cost: int | None = None) -> float:
        """Return the expected seconds until a request that is put into the queue now begins its last part."""
        waiting, cost = tuple(self._queue), work.cost if cost is None else cost
        ahead, slower = work_ahead(client, work, cost, waiting, self._running, self._shortest)
        return self.seconds(slower * ahead + (slower - 1.0) * work.cost)

    def abandon(self) -> None:
        """Give up everything: running batches end at their next step, and requests in the queue are dropped."""
        with self._changed:
            self._closed = self._abandoned = True
            tickets, self._queue = self._queue, []
            self._changed.notify_all()
        for ticket in tickets:
            ticket.result.cancel()

    def wait(self, seconds: float) -> None:
        """Wait so long at most for the thread to end, after `abandon`: a running batch ends at its next step."""
        self._thread.join(seconds)

    def close(self) -> None:
        """Finish the requests in the queue, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    # --- the thread ---------------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            self._prepare()
        except Exception as error:  # for those who wait for `ready`
            self.ready.set_exception(error)
        else:
            self.ready.set_result(None)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                self._changed.wait_for(
                    lambda: self._closed or self.waiting >= self.size,
                    timeout=self._queue[0].arrived + self._gather_s - time.monotonic()
                    if self._queue
                    else 0.0,
                )
                pieces = self._take()
            if pieces:
                self._serve(pieces)

    def _take(self, at_most: float = math.inf) -> list[Piece]:
        """Take the next batch from tickets that cost no more than `at_most`. The caller holds the lock."""
        open_to_it = [ticket for ticket in self._queue if ticket.cost <= at_most]
        head = self._turns.next(open_to_it)
        if head is None:
            return []
        size = max(1, self.size // head.work.plan.windows)
        pieces = deal(size, [ticket for ticket in open_to_it if ticket.work.plan == head.work.plan])
        for piece in pieces:
            ticket = piece.ticket
            ticket.taken = piece.stop
            self._queue.remove(ticket)
            if ticket.left:
                self._queue.append(ticket)
        self._turns.serve(pieces)
        self._running += sum(piece.stop - piece.start for piece in pieces) * head.work.plan.cost
        return pieces

    def _serve(self, pieces: list[Piece], inner: bool = False) -> None:
        batch = Batch.of([piece.work for piece in pieces])
        records, left, of_step = len(batch), len(batch) * batch.plan.cost, batch.plan.step_cost
        shortest = min(piece.ticket.cost for piece in pieces)
        if not inner:
            self._shortest = shortest
        began = time.monotonic()
        overtaken_s = 0.0  # seconds that requests which overtook this batch have taken

        def on_step(i: int, x0: Any) -> None:
            nonlocal left, overtaken_s
            left -= records * of_step
            self._running -= records * of_step
            if self._abandoned or all(piece.ticket.withdrawn for piece in pieces):
                raise Abandoned
            row = 0
            for piece in pieces:
                if piece.ticket.on_progress is not None:
                    piece.ticket.on_progress((piece.stop - piece.start) * of_step)
                if piece.ticket.on_step is not None:
                    piece.ticket.on_step(i, x0[row : row + piece.stop - piece.start])
                row += piece.stop - piece.start
            if not inner and left:
                paused = time.monotonic()
                if paused - began - overtaken_s >= overtaken_s:
                    with self._changed:
                        others = self._take(shortest / OVERTAKE)
                    if others:
                        self._serve(others, inner=True)
                        overtaken_s += time.monotonic() - paused

        try:
            eight = self._run(batch, on_step)
        except Abandoned:
            for piece in pieces:
                piece.ticket.result.cancel()
            return
        except Exception as error:  # whatever it is, its clients must be told and the thread must go on
            self._fail(pieces, error)
            return
        finally:
            with self._changed:
                self._running -= left
                if not inner:
                    self._shortest = 0.0
        took = time.monotonic() - began - overtaken_s
        self._spent_s = DECAY * self._spent_s + took
        self._did = DECAY * self._did + records * batch.plan.cost
        self._observe(batch.plan, records, [began - piece.ticket.arrived for piece in pieces], took)
        self._deliver(pieces, eight)

    def _deliver(self, pieces: list[Piece], eight: EightLeads) -> None:
        row = 0
        for piece in pieces:
            ticket, count = piece.ticket, piece.stop - piece.start
            ticket.parts[piece.start] = eight[row : row + count]
            ticket.done += count
            row += count
            if ticket.done == ticket.work.records and ticket.result.set_running_or_notify_cancel():
                ticket.result.set_result(
                    np.concatenate([ticket.parts[start] for start in sorted(ticket.parts)])
                )

    def _fail(self, pieces: list[Piece], error: Exception) -> None:
        with self._changed:
            for piece in pieces:
                if piece.ticket in self._queue:
                    self._queue.remove(piece.ticket)
                piece.ticket.withdrawn = True
        for piece in pieces:
            if not piece.ticket.result.done() and piece.ticket.result.set_running_or_notify_cancel():
                piece.ticket.result.set_exception(error)
