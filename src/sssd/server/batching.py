"""The queue that keeps the device full: records of different requests run in one batch.

One thread takes from the queue and runs. A batch holds records of one sampling: that of the request at the head, and
one record in turn of each request that shares it; requests that are not finished then go to the end. A request that
asks for a quarter or less of what each request of the running batch asks for is let in between its steps, so long as
the batch keeps half of the time: a single draft does not wait for a thousand records. What a record becomes depends
on none of this.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .work import Batch, Eight, OnStep, Work

FORGET = 0.7  # what an earlier batch counts, against the next, in the speed that is expected
OVERTAKE = 4  # how much less a request must ask for to be let in between the steps of a batch


class Full(Exception):
    """The queue holds as much as it may; retry_s: when to come again."""

    def __init__(self, message: str, retry_s: int) -> None:
        super().__init__(message, retry_s)  # both, so that it can be pickled
        self.message, self.retry_s = message, retry_s

    def __str__(self) -> str:
        return self.message


class Abandoned(Exception):
    """Nobody waits for this batch any more."""


@dataclass(eq=False)
class Ticket:
    """A request in the queue. cost: records times steps of all that its client asked for, a job's other parts too."""

    work: Work
    cost: int
    on_step: OnStep | None
    arrived: float
    result: Future[Eight] = field(default_factory=Future)
    taken: int = 0  # records handed to batches
    done: int = 0
    parts: dict[int, Eight] = field(default_factory=dict)  # by the record that they start with
    gone: bool = False  # its client has left

    @property
    def left(self) -> int:
        return self.work.records - self.taken


@dataclass(frozen=True, eq=False)
class Piece:
    """Records start .. stop of a ticket, in one batch."""

    ticket: Ticket
    start: int
    stop: int

    @property
    def work(self) -> Work:
        return self.ticket.work.part(self.start, self.stop)


def fair_shares(size: int, wanted: Sequence[int]) -> list[int]:
    """`size` places dealt one by one in turn to those that still want one."""
    shares = [0] * len(wanted)
    while size and sum(shares) < sum(wanted):
        for i, want in enumerate(wanted):
            if shares[i] < want and size:
                shares[i] += 1
                size -= 1
    return shares


class Batcher:
    """run(batch, on_step) -> (B, 8, L) is called from one thread, now and then from within its own on_step.

    size: records of a batch. waiting, waiting_s: bounds of the queue, in records and in the time that they are expected
    to take. gather_s: how long a request waits for others when the device is idle. observe(batch records, seconds that
    each waited, seconds it ran) is told of every batch. prepare() comes before the first batch, in the same thread, the
    only one that computes: OpenMP keeps threads for each that does, and where they are more than the cores, each sleeps
    whenever it waits, which makes batches of 8 on two cores a quarter slower. ready: what became of prepare.
    """

    def __init__(
        self,
        run: Callable[[Batch, OnStep], Eight],
        *,
        size: int,
        waiting: int,
        waiting_s: float,
        gather_s: float,
        observe: Callable[[int, list[float], float], None] = lambda *_: None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.size = size
        self.ready: Future[None] = Future()
        self._run, self._observe, self._prepare = run, observe, prepare
        self._waiting, self._waiting_s, self._gather_s = waiting, waiting_s, gather_s
        self._queue: list[Ticket] = []
        self._running = 0  # records times steps that the batches in progress have yet to do
        self._spent_s, self._did = 0.0, 0.0  # lately: seconds, records times steps
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="batches", daemon=True)
        self._thread.start()

    # --- from any thread ----------------------------------------------------------------------------------

    def submit(self, work: Work, *, on_step: OnStep | None = None, cost: int | None = None) -> Ticket:
        """Queue a request; its ticket's `result` becomes (n, 8, L).

        Full where there is no room; RuntimeError when the queue is closed.
        on_step is called from the batches' thread, for a single record only.
        """
        ticket = Ticket(work, work.cost if cost is None else cost, on_step, time.monotonic())
        with self._changed:
            if self._closed:
                raise RuntimeError("the queue is closed")
            self._admit(work)
            self._queue.append(ticket)
            self._changed.notify_all()
        return ticket

    def _admit(self, work: Work) -> None:
        waiting, expected = self.waiting, self.expected_s
        if waiting and waiting + work.records > self._waiting:
            text = f"{waiting} records wait already, and the queue holds {self._waiting}"
        elif expected > self._waiting_s:
            text = (
                f"what waits already takes about {expected:.0f} s, and the queue holds {self._waiting_s:g} s"
            )
        else:
            return
        raise Full(f"{text}: come again later", max(1, math.ceil(min(expected / 8, 15.0))))

    def withdraw(self, ticket: Ticket) -> None:
        """Its client has gone: what has not begun never will, and a batch for nobody else ends at its next step."""
        with self._changed:
            ticket.gone = True
            if ticket in self._queue:
                self._queue.remove(ticket)
        ticket.result.cancel()

    @property
    def waiting(self) -> int:
        """Records in the queue."""
        return sum(ticket.left for ticket in tuple(self._queue))

    @property
    def idle(self) -> bool:
        return not self._queue and not self._running

    def seconds(self, cost: int) -> float:
        """What `cost` records times steps should take; 0 before the first batch."""
        return cost * self._spent_s / self._did if self._did else 0.0

    @property
    def expected_s(self) -> float:
        """What all that waits and runs should still take."""
        queued = sum(ticket.left * ticket.work.sampling.steps for ticket in tuple(self._queue))
        return self.seconds(queued + self._running)

    def close(self) -> None:
        """Finish what is in the queue and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    # --- the thread ---------------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            self._prepare()
        except Exception as error:  # told to those who wait for ready
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
        """The next batch, of tickets that cost no more than `at_most`; the lock is held."""
        head = next((ticket for ticket in self._queue if ticket.cost <= at_most), None)
        if head is None:
            return []
        mates = [t for t in self._queue if t.cost <= at_most and t.work.sampling == head.work.sampling]
        pieces = []
        for ticket, share in zip(mates, fair_shares(self.size, [t.left for t in mates]), strict=True):
            if share:
                pieces.append(Piece(ticket, ticket.taken, ticket.taken + share))
                ticket.taken += share
                self._queue.remove(ticket)
                if ticket.left:
                    self._queue.append(ticket)
        self._running += sum(piece.stop - piece.start for piece in pieces) * head.work.sampling.steps
        return pieces

    def _serve(self, pieces: list[Piece], inner: bool = False) -> None:
        batch = Batch.of([piece.work for piece in pieces])
        records, left = len(batch.seeds), len(batch.seeds) * batch.sampling.steps
        shortest = min(piece.ticket.cost for piece in pieces)
        began = time.monotonic()
        lent = 0.0  # seconds given to others in between

        def on_step(i: int, x0: Any) -> None:
            nonlocal left, lent
            left -= records
            self._running -= records
            if all(piece.ticket.gone for piece in pieces):
                raise Abandoned
            row = 0
            for piece in pieces:
                if piece.ticket.on_step is not None:
                    piece.ticket.on_step(i, x0[row : row + piece.stop - piece.start])
                row += piece.stop - piece.start
            if not inner and left:
                asked = time.monotonic()
                if asked - began - lent >= lent:
                    with self._changed:
                        others = self._take(shortest / OVERTAKE)
                    if others:
                        self._serve(others, inner=True)
                        lent += time.monotonic() - asked

        try:
            eight = self._run(batch, on_step)
        except Abandoned:
            return
        except Exception as error:  # whatever it is, those who wait must hear of it, and the thread goes on
            self._fail(pieces, error)
            return
        finally:
            with self._changed:
                self._running -= left
        took = time.monotonic() - began - lent
        self._spent_s = FORGET * self._spent_s + took
        self._did = FORGET * self._did + records * batch.sampling.steps
        self._observe(records, [began - piece.ticket.arrived for piece in pieces], took)
        self._deliver(pieces, eight)

    def _deliver(self, pieces: list[Piece], eight: Eight) -> None:
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
                piece.ticket.gone = True
        for piece in pieces:
            if not piece.ticket.result.done() and piece.ticket.result.set_running_or_notify_cancel():
                piece.ticket.result.set_exception(error)
