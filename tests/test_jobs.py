"""Jobs and streams without a server: order, errors, cancelling, full queues, results that grow old."""

import asyncio
import json
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi")


from sssd.record import Ecg
from sssd.request import Request
from sssd.sampling import Sampling
from sssd.server import jobs as module
from sssd.server import stream
from sssd.server.batching import QueueFull
from sssd.server.jobs import Jobs
from sssd.server.work import Plan, Work


def work(records, steps=3):
    vectors = np.zeros((records, 2), np.float32)
    return Work(Request(vectors, ("A",) * records), 7, Plan(Sampling("ddim", steps, 0.0, "uniform")))


def numbers(work):
    """Records (n, 8, 1) that hold their own number."""
    return np.array(work.request.numbers, np.float32)[:, None, None].repeat(8, axis=1)


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the condition never became true")


def kept(generate, **limits):
    return Jobs(generate, **{"piece": 4, "stored": 100, "kept_s": 60.0, **limits})


async def ended(jobs, job, owner="me"):
    """The state of a job once it has ended."""
    state = job.state
    while state in ("waiting", "running"):
        await asyncio.sleep(0.002)
        state = (await jobs.status(owner, job.id)).state
    return await jobs.status(owner, job.id)


# --- jobs -------------------------------------------------------------------------------------------------


def test_pieces_come_back_in_order():
    """Fails when pieces that end in another order are put together in that order, or count as their own cost."""
    costs = []

    async def generate(piece, cost):
        costs.append(cost)
        await asyncio.sleep(0.01 if piece.request.numbers[0] == 0 else 0)  # the first piece ends last
        return numbers(piece)

    async def run():
        jobs = kept(generate, at_once=3)
        job = await jobs.create("me", work(10))
        assert (await jobs.result("me", job.id)) is None
        assert (await ended(jobs, job)).state == "done"
        return (await jobs.result("me", job.id))[1]

    np.testing.assert_array_equal(asyncio.run(run())[:, 0, 0], np.arange(10))
    assert costs == [30, 30, 30]  # 10 records times 3 steps, so that no piece counts as a small request


def test_an_error_ends_the_job():
    """Fails when the client does not learn why its job failed, or a failed job has a result."""

    async def generate(piece, cost):
        if piece.request.numbers[0]:
            raise RuntimeError("out of memory")
        return numbers(piece)

    async def run():
        jobs = kept(generate, at_once=1)
        job = await ended(jobs, await jobs.create("me", work(10)))
        assert (job.state, job.message) == ("failed", "out of memory")
        assert await jobs.result("me", job.id) is None and not jobs.busy

    asyncio.run(run())


def test_a_full_queue_is_tried_again(monkeypatch):
    """Fails when a job fails because other requests fill the queue for a while."""
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    tries = []

    async def generate(piece, cost):
        tries.append(piece)
        if len(tries) < 4:
            raise QueueFull("no room", 1)
        return numbers(piece)

    async def run():
        jobs = kept(generate)
        assert (await ended(jobs, await jobs.create("me", work(1)))).state == "done"

    asyncio.run(run())
    assert len(tries) == 4


def test_cancelling_stops_the_pieces():
    """Fails when the pieces of a cancelled job go on in the queue."""
    stopped = []

    async def generate(piece, cost):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(piece.request.numbers[0])
            raise

    async def run():
        jobs = kept(generate)
        job = await jobs.create("me", work(10))
        await asyncio.sleep(0.01)
        assert jobs.busy and await jobs.cancel("you", job.id) is None
        assert (await jobs.cancel("me", job.id)).state == "cancelled" and not jobs.busy
        await until(lambda: sorted(stopped) == [0, 4])
        assert await jobs.status("me", job.id) is None

    asyncio.run(run())


def test_results_grow_old():
    """Fails when a result is dropped before its time, or kept for ever."""

    async def generate(piece, cost):
        return numbers(piece)

    async def run():
        jobs = kept(generate, kept_s=0.2)
        job = await ended(jobs, await jobs.create("me", work(3)))
        await asyncio.sleep(0.05)
        assert await jobs.result("me", job.id) is not None
        await asyncio.sleep(0.3)
        assert await jobs.status("me", job.id) is None

    asyncio.run(run())


# --- streams ----------------------------------------------------------------------------------------------


class Backend:
    """Hands out one ticket, whose steps and result the test sets."""

    def __init__(self):
        self.ticket, self.withdrawn = None, False
        self.generator = SimpleNamespace(records=lambda work, signals: [ecg(signals[0])])

    def submit(self, work, on_step):
        self.ticket = SimpleNamespace(work=work, result=Future(), on_step=on_step)
        return self.ticket

    async def wait(self, ticket):
        try:
            return await asyncio.wrap_future(ticket.result)
        except asyncio.CancelledError:
            self.withdrawn = True
            raise


def ecg(signal):
    provenance = {"seed": 7, "index": 0, "requested": "A"}
    return Ecg(np.zeros((12, signal.shape[1]), np.float32), statements=("A",), provenance=provenance)


class Client:
    """The request of a client, which may leave."""

    gone = False

    async def is_disconnected(self):
        return self.gone


async def next_event(events):
    """(name, data) of the next event; comments, which keep the connection alive, are skipped."""
    async for text in events:
        if not text.startswith(b":"):
            name, data = text.decode().strip().split("\n")
            return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))
    return None


def test_a_stream_shows_each_step_as_it_was():
    """Fails when steps are sent late or not at all, or show what the device has made of their memory since."""

    async def run():
        backend, x0 = Backend(), torch.zeros(1, 8, 5)
        events = stream.begin(Client(), backend, work(1), False, 60.0)
        for i in range(3):
            x0.fill_(i / 2)
            backend.ticket.on_step(i, x0)
            x0.fill_(9.0)
            name, data = await asyncio.wait_for(next_event(events), 5)
            assert (name, data["step"], data["steps"], data["signal"][0][0]) == ("step", i + 1, 3, i / 2)
        backend.ticket.result.set_result(np.zeros((1, 8, 5), np.float32))
        name, data = await asyncio.wait_for(next_event(events), 5)
        assert (name, data["provenance"]) == ("record", {"seed": 7, "requested": "A"})
        assert await next_event(events) is None

    asyncio.run(run())


def test_a_client_that_leaves_ends_its_stream(monkeypatch):
    """Fails when a stream goes on, or keeps its place in the queue, although nobody reads it."""
    monkeypatch.setattr(stream, "ALIVE_S", 0.01)

    async def run():
        backend, client = Backend(), Client()
        events = stream.begin(client, backend, work(1), False, 60.0)
        await anext_comment(events)
        client.gone = True
        assert await asyncio.wait_for(next_event(events), 5) is None
        await until(lambda: backend.withdrawn)

    asyncio.run(run())


async def anext_comment(events):
    async for text in events:
        assert text.startswith(b":")
        return


def test_an_error_is_the_last_event():
    """Fails when a client is not told why its stream ends."""

    async def run():
        backend = Backend()
        events = stream.begin(Client(), backend, work(1), False, 60.0)
        backend.ticket.result.set_exception(RuntimeError("out of memory"))
        assert await asyncio.wait_for(next_event(events), 5) == ("error", {"detail": "out of memory"})
        assert await next_event(events) is None

    asyncio.run(run())
