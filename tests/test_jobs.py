"""Jobs and streams without a server: order, errors, cancelling, full queues, results that grow old."""

import asyncio
import json
import zlib
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
from sssd.server.jobs import Jobs, Origin, Repeated
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

    async def generate(piece, cost, client, on_progress):
        costs.append((cost, client))
        await asyncio.sleep(0.01 if piece.request.numbers[0] == 0 else 0)  # the first piece ends last
        return numbers(piece)

    async def run():
        jobs = kept(generate, at_once=3)
        job = await jobs.create(Origin("me", "here"), work(10))
        assert (await jobs.result("me", job.id)) is None
        assert (await ended(jobs, job)).state == "done"
        return (await jobs.result("me", job.id))[1]

    np.testing.assert_array_equal(asyncio.run(run())[:, 0, 0], np.arange(10))
    assert costs == [(30, "here")] * 3  # 10 records times 3 steps, so that no piece counts as a small request


def test_an_error_ends_the_job():
    """Fails when the client does not learn why its job failed, or a failed job has a result."""

    async def generate(piece, cost, client, on_progress):
        if piece.request.numbers[0]:
            raise RuntimeError("out of memory")
        return numbers(piece)

    async def run():
        jobs = kept(generate, at_once=1)
        job = await ended(jobs, await jobs.create(Origin("me"), work(10)))
        assert (job.state, job.message) == ("failed", "out of memory")
        assert await jobs.result("me", job.id) is None and not jobs.busy

    asyncio.run(run())


def test_a_full_queue_is_tried_again(monkeypatch):
    """Fails when a job fails because other requests fill the queue for a while."""
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    tries = []

    async def generate(piece, cost, client, on_progress):
        tries.append(piece)
        if len(tries) < 4:
            raise QueueFull("no room", 1)
        return numbers(piece)

    async def run():
        jobs = kept(generate)
        assert (await ended(jobs, await jobs.create(Origin("me"), work(1)))).state == "done"

    asyncio.run(run())
    assert len(tries) == 4


def test_cancelling_stops_the_pieces():
    """Fails when the pieces of a cancelled job go on in the queue."""
    stopped = []

    async def generate(piece, cost, client, on_progress):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(piece.request.numbers[0])
            raise

    async def run():
        jobs = kept(generate)
        job = await jobs.create(Origin("me"), work(10))
        await asyncio.sleep(0.01)
        assert jobs.busy and await jobs.cancel("you", job.id) is None
        assert (await jobs.cancel("me", job.id)).state == "cancelled" and not jobs.busy
        await until(lambda: sorted(stopped) == [0, 4])
        assert await jobs.status("me", job.id) is None

    asyncio.run(run())


def test_results_grow_old():
    """Fails when a result is dropped before its time, or kept for ever."""

    async def generate(piece, cost, client, on_progress):
        return numbers(piece)

    async def run():
        jobs = kept(generate, kept_s=0.2)
        job = await ended(jobs, await jobs.create(Origin("me"), work(3)))
        await asyncio.sleep(0.05)
        assert await jobs.result("me", job.id) is not None
        await asyncio.sleep(0.3)
        assert await jobs.status("me", job.id) is None

    asyncio.run(run())


def test_a_job_says_that_it_runs_and_how_far_it_is():
    """Fails when a job is called waiting until a whole piece is done, or its progress goes past its work."""

    async def run():
        reports, go = [], asyncio.Event()

        async def generate(piece, cost, client, on_progress):
            reports.append(on_progress)
            await go.wait()
            return numbers(piece)

        jobs = kept(generate, piece=4, at_once=1)
        job = await jobs.create(Origin("me"), work(10))  # 30 records times steps
        await until(lambda: reports)
        assert ((await jobs.status("me", job.id)).state, job.progress) == ("waiting", 0.0)
        reports[0](4)
        seen = await jobs.status("me", job.id)
        assert (seen.state, seen.done, seen.progress) == ("running", 0, round(4 / 30, 4))
        assert jobs.counts["running"] == 1
        go.set()
        seen = await ended(jobs, job)
        assert (seen.state, seen.done, seen.progress) == ("done", 10, 1.0)
        assert jobs.counts["unfetched"] == 1

    asyncio.run(run())


def test_jobs_are_listed_by_owner_and_started_once_by_key():
    """Fails when an idempotency key starts a second job, is shared between owners, or hides another request."""

    async def generate(piece, cost, client, on_progress):
        return numbers(piece)

    async def run():
        jobs = kept(generate)
        mine = await jobs.create(Origin("me", key="k", request="a"), work(3))
        again = await jobs.create(Origin("me", key="k", request="a"), work(3))
        yours = await jobs.create(Origin("you", key="k", request="b"), work(3))
        assert mine.id == again.id != yours.id
        with pytest.raises(Repeated):
            await jobs.create(Origin("me", key="k", request="b"), work(4))
        other = await jobs.create(Origin("me"), work(3))
        assert [job.id for job in await jobs.listed("me")] == [mine.id, other.id]
        await jobs.cancel("me", mine.id)
        assert (await jobs.create(Origin("me", key="k", request="b"), work(4))).id != mine.id

    asyncio.run(run())


def test_no_client_holds_all_the_room_for_jobs():
    """Fails when one client's jobs keep another client from starting any."""

    async def generate(piece, cost, client, on_progress):
        return numbers(piece)

    async def run():
        jobs = kept(generate, stored=100)
        await jobs.create(Origin("", "greedy"), work(100))
        with pytest.raises(QueueFull, match="100 of 100"):
            await jobs.create(Origin("", "greedy"), work(1))
        await jobs.create(Origin("", "modest"), work(50))
        with pytest.raises(QueueFull):
            await jobs.create(Origin("", "modest"), work(1))

    asyncio.run(run())


# --- streams ----------------------------------------------------------------------------------------------


class Backend:
    """Hands out one ticket, whose steps and result the test sets."""

    def __init__(self):
        self.ticket, self.withdrawn = None, False

    def submit(self, work, client, on_step):
        self.ticket = SimpleNamespace(work=work, result=Future(), on_step=on_step)
        return self.ticket

    async def wait(self, ticket):
        try:
            return await asyncio.wrap_future(ticket.result)
        except asyncio.CancelledError:
            self.withdrawn = True
            raise

    async def encoded(self, work, signals, encode):
        return encode([ecg(signals[0])])


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


def test_a_slow_line_gets_the_newest_step(monkeypatch):
    """Fails when steps pile up behind a line that cannot take them, or a line that can misses one."""

    async def run(pause):
        backend = Backend()
        events = stream.begin(Client(), backend, work(1, 30), False, 60.0, compact=True)
        await anext_comment(events)
        for i in range(20):
            backend.ticket.on_step(i, torch.full((1, 8, 5), float(i)))
        seen = []
        for _ in range(20):
            name, data = await asyncio.wait_for(next_event(events), 5)
            seen.append(data["step"])
            if data["step"] == 20:
                break
            await asyncio.sleep(pause)
        return seen

    monkeypatch.setattr(stream, "SLOW_S", 0.02)
    assert asyncio.run(run(0.0)) == list(range(1, 21))
    assert asyncio.run(run(0.05)) == [1, 20]


def test_the_compact_signal_is_the_signal():
    """Two routes: differences of whole numbers, and mV. Fails when a difference overflows or the unit is wrong."""
    x0 = np.random.default_rng(0).normal(0, 1, (8, 50)).astype(np.float32)
    x0[0, 10], x0[1, 20] = 1000.0, -1000.0  # far outside of what the form can hold
    sent = json.loads(stream.to_json(stream.compact_signal(x0)))
    assert np.abs(sent["delta"]).max() < 2**15
    found = np.cumsum(sent["delta"], axis=1) * sent["unit_uv"] / 1000
    np.testing.assert_allclose(found, np.clip(x0, -81.92, 81.92), atol=0.0051)


def test_a_compressed_stream_can_be_read_as_it_arrives():
    """Fails when an event is held back until the next one comes."""

    async def run():
        backend, reader = Backend(), zlib.decompressobj(wbits=31)
        events = stream.begin(Client(), backend, work(1), False, 60.0, compressed=True)
        backend.ticket.on_step(0, torch.zeros(1, 8, 5))
        text = b""
        while b"\n\n" not in text.replace(b": waiting\n\n", b""):
            text += reader.decompress(await anext(events))
        assert b"event: step" in text
        backend.ticket.result.set_result(np.zeros((1, 8, 5), np.float32))
        async for part in events:
            text += reader.decompress(part)
        assert b"event: record" in text and reader.eof

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
