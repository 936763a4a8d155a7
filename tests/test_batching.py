"""The queue: which records run together, who waits for whom, and what happens to clients that leave."""

import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

from sssd.request import Request
from sssd.sampling import Sampling
from sssd.server.batching import Batcher, QueueFull
from sssd.server.fairness import Ticket, Turns, deal, fair_shares, is_over_share, work_ahead
from sssd.server.work import Batch, Plan, Work


def steps(n):
    return Plan(Sampling("ddim", n, 0.0, "uniform"))


SLOW, OTHER = steps(8), steps(2)


def work(seed, records=1, plan=SLOW, first=0, **known):
    """A request whose records all have this age, sex and heart rate, or an unknown one."""
    known = {name: np.full(records, value) for name, value in known.items()}
    index = tuple(range(first, first + records))
    return Work(Request(np.zeros((records, 3), np.float32), ("A",) * records, index, **known), seed, plan)


class Device:
    """Runs batches step by step; each record holds its (seed, index). While `hold` is cleared, no step begins."""

    def __init__(self):
        self.batches, self.steps, self.hold = [], [], threading.Event()
        self.hold.set()
        self.broken, self.slow_s = None, 0.0

    def __call__(self, batch, on_step):
        self.batches.append(batch)
        for i in range(batch.plan.steps):
            assert self.hold.wait(10)
            time.sleep(self.slow_s)
            if self.broken is not None:
                raise self.broken
            self.steps.append((batch.seeds, i))
            on_step(i, np.array(list(zip(batch.seeds, batch.index, strict=True))))
        rows = np.array(list(zip(batch.seeds, batch.index, strict=True)), np.float32)
        return np.broadcast_to(rows[:, :, None], (len(rows), 2, 4)).copy()


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def batcher(device):
    made = []

    def make(**given):
        options = {"size": 4, "waiting": 100, "waiting_s": 1e9, "gather_s": 0.0, **given}
        made.append(Batcher(device, **options))
        return made[-1]

    yield make
    device.hold.set()
    for b in made:
        b.close()


def started(device, batches=1):
    """Wait until so many batches have begun."""
    until = time.monotonic() + 10
    while len(device.batches) < batches:
        assert time.monotonic() < until
        time.sleep(0.002)


def seeds(device):
    return [batch.seeds for batch in device.batches]


def test_places_are_dealt_in_turn():
    """Fails when a large request gets more than its share: shares differ by at most one, unless one wants less."""
    assert fair_shares(4, [100, 1, 1]) == [2, 1, 1]
    assert fair_shares(8, [3, 9, 1]) == [3, 4, 1]
    assert fair_shares(9, [2, 1]) == [2, 1]
    assert fair_shares(0, [2]) == [0]


def test_requests_that_wait_run_together(device, batcher):
    """Fails when different seeds do not share a batch, or different samplings do."""
    device.hold.clear()
    b = batcher()
    first = b.submit(work(0))
    started(device)
    tickets = [b.submit(work(1)), b.submit(work(2, plan=OTHER), cost=1000), b.submit(work(3, 2))]
    device.hold.set()
    for ticket, seed in zip([first, *tickets], range(4), strict=True):
        assert (ticket.result.result(10)[:, 0, 0] == seed).all()
    assert seeds(device) == [(0,), (1, 3, 3), (2,)]


def test_samplers_do_not_mix(device, batcher):
    """Fails when requests share a batch although their samplers differ."""
    device.hold.clear()
    b = batcher()
    b.submit(work(9))
    started(device)
    other = SLOW._replace(sampling=Sampling("ddim", SLOW.steps, 1.0, "uniform"))
    tickets = [b.submit(work(1)), b.submit(work(2, plan=other), cost=1000), b.submit(work(3))]
    device.hold.set()
    for ticket in tickets:
        ticket.result.result(10)
    assert [(batch.seeds, batch.plan) for batch in device.batches[1:]] == [
        ((1, 3), SLOW),
        ((2,), other),
    ]


def test_requests_gather(device, batcher):
    """Fails when the first request does not wait for others while the device is idle."""
    b = batcher(gather_s=5.0)
    tickets = [b.submit(work(seed)) for seed in range(4)]  # as many records as a batch holds
    for ticket in tickets:
        ticket.result.result(4)
    assert seeds(device) == [(0, 1, 2, 3)]


def test_a_large_request_comes_back_in_order(device, batcher):
    """Fails when records from several batches come back in another order, or a small request waits for all batches."""
    device.hold.clear()
    b = batcher()
    b.submit(work(9))
    started(device)
    large, small = b.submit(work(1, 10, first=5)), b.submit(work(2))
    device.hold.set()
    assert large.result.result(10)[:, 1, 0].tolist() == list(range(5, 15))
    small.result.result(10)
    assert [len(batch.seeds) for batch in device.batches] == [1, 4, 4, 3]
    assert 2 in device.batches[1].seeds


def test_samplings_take_turns(device, batcher):
    """Fails when an unfinished request stays at the head of the queue, so that another sampling waits for all of it."""
    device.hold.clear()
    b = batcher()
    b.submit(work(9))
    started(device)
    tickets = [b.submit(work(1, 12)), b.submit(work(2, plan=OTHER), cost=10**6)]
    device.hold.set()
    for ticket in tickets:
        ticket.result.result(10)
    assert seeds(device) == [(9,), (1,) * 4, (2,), (1,) * 4, (1,) * 4]


def test_a_draft_overtakes(device, batcher):
    """Fails when a request with a quarter of the work waits for the batch to end, or one with half of it does not."""
    device.hold.clear()
    b = batcher(size=2)
    long = b.submit(work(0, 2))  # 16 is its number of records times steps
    started(device)
    equal, draft = b.submit(work(1)), b.submit(work(2, plan=OTHER))  # theirs are 8 and 2
    device.hold.set()
    for ticket in (long, equal, draft):
        ticket.result.result(10)
    assert seeds(device) == [(0, 0), (2,), (1,)]
    assert device.steps.index(((2,), 1)) < device.steps.index(((0, 0), 7)) < device.steps.index(((1,), 0))


def test_drafts_leave_half_of_the_time(device, batcher):
    """Fails when a draft may overtake at every step: then 39 drafts of 10 steps would, instead of about 5."""
    device.slow_s = 0.002
    b = batcher(size=1)
    ended = threading.Event()
    long = b.submit(work(0, 1, steps(40)))
    long.result.add_done_callback(lambda _: ended.set())
    while not ended.is_set():
        b.submit(work(1, 1, steps(10))).result.result(10)
    before = [s for s, _ in device.steps[: device.steps.index(((0,), 39))]]
    assert 10 <= before.count((1,)) <= 120


def test_full(device, batcher):
    """Fails when the queue accepts more records than it may hold."""
    device.hold.clear()
    b = batcher(waiting=5)
    b.submit(work(0))
    started(device)
    b.submit(work(1, 5))
    with pytest.raises(QueueFull, match="5 records are waiting already") as full:
        b.submit(work(2))
    assert full.value.retry_s >= 1
    device.hold.set()


def test_full_in_seconds(device, batcher):
    """Fails when the expected time of the queue does not follow from the measured speed."""
    b = batcher(waiting_s=0.05)
    b.submit(work(0), on_step=lambda *_: time.sleep(0.02)).result.result(10)  # 20 ms for a record and step
    device.hold.clear()
    b.submit(work(1))
    started(device, 2)
    with pytest.raises(QueueFull, match="take about"):
        b.submit(work(2))
    device.hold.set()


def test_a_client_that_leaves_frees_its_place(device, batcher):
    """Fails when the records of a client that has left stay in the queue, or a batch for nobody goes on."""
    device.hold.clear()
    b = batcher(waiting=5)
    running, waiting = b.submit(work(0)), None
    started(device)
    waiting = b.submit(work(1, 5))
    b.withdraw(waiting)
    assert b.waiting == 0
    with pytest.raises(CancelledError):
        waiting.result.result(10)
    b.withdraw(running)
    next_one = b.submit(work(2))
    device.hold.set()
    next_one.result.result(10)
    assert seeds(device) == [(0,), (2,)]
    assert len([1 for s, _ in device.steps if s == (0,)]) == 1  # the batch ended at its next step
    assert b.idle


def test_the_batch_goes_on_for_other_clients(device, batcher):
    """Fails when a client that leaves ends the batch for the other clients."""
    device.hold.clear()
    b = batcher(gather_s=0.05)
    tickets = [b.submit(work(0)), b.submit(work(1))]
    started(device)
    b.withdraw(tickets[0])
    device.hold.set()
    assert (tickets[1].result.result(10)[:, 0, 0] == 1).all()


def test_a_batch_that_fails(device, batcher):
    """Fails when clients do not get the error of their batch, or the error ends the thread."""
    b = batcher()
    device.broken = RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        b.submit(work(0, 9)).result.result(10)
    device.broken = None
    b.submit(work(1)).result.result(10)
    assert b.idle


def test_closing_finishes(device, batcher):
    """Fails when a closing queue drops requests that it has accepted, or accepts more."""
    device.hold.clear()
    b = batcher()
    tickets = [b.submit(work(seed, 3)) for seed in range(4)]
    closing = threading.Thread(target=b.close)
    closing.start()
    device.hold.set()
    closing.join(10)
    assert all(ticket.result.done() for ticket in tickets)
    with pytest.raises(RuntimeError, match="closed"):
        b.submit(work(9))


def test_abandoning_ends_everything(device, batcher):
    """Fails when a service that is told to end now waits for its queue or for a long batch."""
    device.hold.clear()
    b = batcher(size=2)
    running = b.submit(work(0, 2, steps(1000)))
    started(device)
    waiting = b.submit(work(1, 9))
    b.abandon()
    device.hold.set()
    b.close()
    assert len(device.steps) == 1 and b.waiting == 0
    for ticket in (running, waiting):
        with pytest.raises(CancelledError):
            ticket.result.result(10)


# --- fairness between clients -------------------------------------------------------------------------------


def test_clients_take_turns_whatever_they_ask_for(device, batcher):
    """Fails when a client with many large requests gets more than half of the time, or one that came back more."""
    device.hold.clear()
    b = batcher(size=2)
    first = b.submit(work(0), client="a")
    started(device)
    tickets = [b.submit(work(seed, 2), client="a") for seed in range(1, 5)]
    tickets += [b.submit(work(seed, 2, steps(9)), client="b") for seed in (11, 12)]
    device.hold.set()
    for ticket in (first, *tickets):
        ticket.result.result(10)
    served = {"a": 0, "b": 0}
    for batch in device.batches[1:-1]:
        for seed in batch.seeds:
            served["a" if seed < 10 else "b"] += batch.plan.steps
        if served["b"] < 36:
            assert abs(served["a"] - served["b"]) <= 2 * 9, seeds(device)
    assert served["b"] == 36


def test_places_are_dealt_to_clients_first():
    """Fails when a client with more requests gets more places of a batch."""
    tickets = [Ticket(work(seed, 4), 32, None, 0.0, "a") for seed in range(3)]
    tickets.append(Ticket(work(9, 8), 64, None, 0.0, "b"))
    pieces = deal(8, tickets)
    places = {piece.ticket.work.seed: piece.stop - piece.start for piece in pieces}
    assert places == {0: 2, 1: 1, 2: 1, 9: 4}


def test_a_client_that_was_away_has_saved_up_nothing():
    """Fails when a client that has asked for nothing for an hour then has the device for itself."""
    turns, a, b = Turns(), Ticket(work(0), 8, None, 0.0, "a"), Ticket(work(1), 8, None, 0.0, "b")
    turns.arrived("a", [])
    for _ in range(100):
        turns.serve(deal(1, [a]))
    turns.arrived("b", [a])
    assert turns._served == {"a": 800.0, "b": 800.0}
    turns.serve(deal(1, [b]))
    assert turns.next([b, a]) is a


def test_what_comes_before_a_request():
    """Fails when the large jobs of others, which a draft overtakes, count as work before it."""
    jobs = [Ticket(work(0, 8, steps(200)), 1024 * 200, None, 0.0, "jobs") for _ in range(6)]
    running = 8 * 200
    draft, best = work(1, 1, steps(1)), work(1, 1, steps(50))
    for one in (draft, best):
        assert work_ahead("me", one, one.cost, jobs, running, 1024 * 200) == (0.0, 2.0)
    equal = work(1, 1024, steps(200))
    assert work_ahead("me", equal, equal.cost, jobs, running, 1024 * 200) == (6 * 1600.0 + 1600, 1.0)
    small = work(1, 2, steps(200))  # the others together cannot be served more than once as much
    some = [Ticket(work(0, 8, steps(100)), 800, None, 0.0, name) for name in ("x", "x", "y")]
    assert work_ahead("me", small, small.cost, some, 0, 0.0) == (800.0, 1.0)
    assert work_ahead("x", small, small.cost, some, 0, 0.0) == (1600.0 + 800.0, 1.0)
    assert work_ahead("me", draft, 1, [], 8, 8.0) == (0.0, 2.0)
    assert work_ahead("me", draft, 1, [], 3, 3.0) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("own", "others", "over"),
    [
        (5, [], False),
        (6, [], True),
        (2, [5], False),
        (3, [5], True),
        (1, [5, 3, 2], False),
        (2, [5, 3, 2], True),
    ],
)
def test_the_room_of_the_queue(own, others, over):
    """Fails when one client can fill the queue, or a client within its share is refused."""
    assert is_over_share(own, others, 5) is over


def test_padding():
    """Fails when padding moves a row, or a batch does not get 1, 2, 4, 8, ... rows."""
    for records, rows in ((1, 1), (2, 2), (3, 4), (5, 8), (8, 8)):
        young = work(8, records - 1, first=3, age=20.0, sex=1.0, heart_rate=60.0)
        batch = Batch.of([work(7, 1), young][: 1 + (records > 1)])
        padded = batch.padded()
        assert len(padded.vectors) == len(padded.seeds) == len(padded.index) == rows
        for values, known in ((padded.age, 20.0), (padded.sex, 1.0), (padded.heart_rate, 60.0)):
            np.testing.assert_array_equal(values, [np.nan] + [known] * (rows - 1))
        assert padded.seeds[:records] == batch.seeds and padded.index[:records] == batch.index
        assert (padded.seeds[-1], padded.index[-1]) == (batch.seeds[-1], batch.index[-1])


def test_a_strip_takes_the_room_of_its_windows(device, batcher):
    """Fails where a batch holds as many strips as records, or the queue counts them as such."""
    strips = SLOW._replace(seconds=(20.0,), windows=2)
    progress = []
    b = batcher(waiting=12)
    ticket = b.submit(work(1, 5, strips), on_progress=progress.append)
    assert ticket.result.result(10).shape[0] == 5
    assert [len(batch) for batch in device.batches] == [2, 2, 1]
    assert sum(progress) == ticket.work.cost == 5 * 8 * 2
    device.hold.clear()
    b.submit(work(2, 1, strips))
    started(device, 4)
    b.submit(work(3, 5, strips))
    assert b.waiting == 10
    with pytest.raises(QueueFull):
        b.submit(work(4, 2, strips))
