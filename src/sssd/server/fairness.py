"""Requests in the queue, and fairness between their clients: whose turn it is, and how long a new request would wait.

The client that has been served least is next (start-time fair queueing, Goyal, Vin and Cheng 1997, with records times
steps as the cost). A request of another client therefore waits for as much work of each client as it brings itself,
not for all the work of a client with large jobs. Requests of one client take turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from .work import EightLeads, OnStep, Work

OVERTAKE = 4  # a request may overtake those that cost at least this many times as much
OnProgress = Callable[[int], None]  # how many evaluations of the network more are done


@dataclass(eq=False)
class Ticket:
    """A request in the queue.

    cost: evaluations of the network for everything that its client asked for; for a piece of a job, that of the whole
    job. client: who asked, as any text. of_job: whether it is a piece of a job; the room for jobs limits these.
    """

    work: Work
    cost: int
    on_step: OnStep | None
    arrived: float
    client: str = ""
    of_job: bool = False
    on_progress: OnProgress | None = None
    result: Future[EightLeads] = field(default_factory=Future)
    taken: int = 0  # records that are in batches already
    done: int = 0
    parts: dict[int, EightLeads] = field(default_factory=dict)  # keyed by the number of their first record
    withdrawn: bool = False  # its client has left

    @property
    def left(self) -> int:
        return self.work.records - self.taken

    @property
    def room_left(self) -> int:
        """The room that these take, in records of one window."""
        return self.left * self.work.plan.windows

    @property
    def cost_left(self) -> int:
        """Evaluations of the network that no batch has taken yet."""
        return self.left * self.work.plan.cost


@dataclass(frozen=True, eq=False)
class Piece:
    """Records start to stop - 1 of a ticket, as part of one batch."""

    ticket: Ticket
    start: int
    stop: int

    @property
    def work(self) -> Work:
        return self.ticket.work.part(self.start, self.stop)


def fair_shares(size: int, wanted: Sequence[int]) -> list[int]:
    """Return how many of `size` places each request gets, when they are dealt in turn to those that still want one."""
    shares = [0] * len(wanted)
    while size and sum(shares) < sum(wanted):
        for i, want in enumerate(wanted):
            if shares[i] < want and size:
                shares[i] += 1
                size -= 1
    return shares


def deal(size: int, tickets: Sequence[Ticket]) -> list[Piece]:
    """Return the pieces of a batch: its places are dealt to the clients in turn, and for each to its requests."""
    by_client: dict[str, list[Ticket]] = {}
    for ticket in tickets:
        by_client.setdefault(ticket.client, []).append(ticket)
    groups = list(by_client.values())
    pieces = []
    shares = fair_shares(size, [sum(ticket.left for ticket in group) for group in groups])
    for share, group in zip(shares, groups, strict=True):
        for ticket, places in zip(group, fair_shares(share, [t.left for t in group]), strict=True):
            if places:
                pieces.append(Piece(ticket, ticket.taken, ticket.taken + places))
    return pieces


class Turns:
    """How much each client has been served, in evaluations of the network.

    A client that comes back after a pause is not owed anything for it.
    """

    def __init__(self) -> None:
        self._served: dict[str, float] = {}

    def arrived(self, client: str, waiting: Iterable[Ticket]) -> None:
        """Take note of a request. waiting: the requests that are in the queue already."""
        clients = {ticket.client for ticket in waiting}
        least = min((self._served.get(one, 0.0) for one in clients), default=0.0)
        mine = max(self._served.get(client, 0.0), least) if clients else 0.0
        self._served = {one: self._served.get(one, 0.0) for one in clients} | {client: mine}

    def next(self, tickets: Iterable[Ticket]) -> Ticket | None:
        """Return the first request of the client that has been served least; None if there is none."""
        return min(tickets, key=lambda ticket: self._served.get(ticket.client, 0.0), default=None)

    def serve(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            cost = (piece.stop - piece.start) * piece.ticket.work.plan.cost
            self._served[piece.ticket.client] = self._served.get(piece.ticket.client, 0.0) + cost


def work_ahead(
    client: str, work: Work, cost: int, waiting: Sequence[Ticket], running: int, shortest: float
) -> tuple[float, float]:
    """Return the evaluations of the network that come before a new request, and the factor by which all take longer.

    cost: of the new request with everything that its client asked for. waiting: the queue. running: what running
    batches still have to do. shortest: the least cost of a request in the running batch, 0 if none runs.
    Requests that the new one may overtake do not come before it, but take half of the time.
    """
    overtakes = [shortest >= OVERTAKE * cost > 0] if running else []
    blocking: dict[str, float] = {}
    for ticket in waiting:
        overtakes.append(ticket.cost >= OVERTAKE * cost)
        if not overtakes[-1]:
            blocking[ticket.client] = blocking.get(ticket.client, 0.0) + ticket.cost_left
    own = blocking.pop(client, 0.0)
    ahead = own + sum(min(other, own + work.cost) for other in blocking.values())
    if running and not overtakes[0]:
        ahead += running
    return ahead, 2.0 if any(overtakes) else 1.0


def is_over_share(own: float, others: Sequence[float], limit: float) -> bool:
    """Return whether a client that would hold `own` of `limit` holds too much, beside what each of the others holds.

    Together they may hold the limit. Where they would hold more, only a client with more than its equal share is
    refused, so no client can keep the others out. All together then hold at most 1 + 1/2 + ... + 1/n limits.
    """
    return own + math.fsum(others) > limit and own > limit / (1 + len(others))
