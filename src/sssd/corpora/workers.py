"""Ray workers that make shards in a folder that all machines share.

A worker is an actor with one GPU, or with a few cores. It has one shard at a time and is given the next one when that
shard is in place, so that nothing queues anywhere. Where a worker dies, alone or with its machine, its shard goes to
the next free worker and a new worker is started. What the dead worker left half-written does not count: shards are
renamed when they are whole, and their notes are written by the process that gives them out.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..checks import counted
from . import manifest
from .generation import batches, write_shard
from .plan import Plan
from .recipe import Generate
from .run import Engine, Step
from .schema import Corpus, Note

MAX_DEATHS = 10  # per worker, without a finished shard in between: trying again does not help then
REPORT_INTERVAL_S = 1.0  # between the reports of a worker

Notify = Callable[[str], None]
SetUp = Callable[
    [Corpus], tuple[Generate, list[str]]
]  # on a worker: how to generate there, and remarks for the user


@dataclass(frozen=True, eq=False)
class Work:
    """What every worker is given when it starts."""

    folder: Path
    corpus: Corpus
    plan: Plan
    set_up: SetUp


class Worker:
    """Makes shards, one at a time, in its own process on some machine of the cluster."""

    def begin(self, work: Work) -> list[str]:
        """Get ready; returns remarks for the user. FileNotFoundError if this machine does not see the corpus."""
        check_shared(work.folder, work.corpus)
        self._work = work
        generate, remarks = work.set_up(work.corpus)
        self._pieces = batches(work.corpus, work.plan, generate)
        return [f"{socket.gethostname()}: {text}" for text in remarks]

    def make(self, number: int) -> Iterator[int | Note]:
        """Make a shard: yields the number of its records from time to time and, in the end, its note."""
        reported = time.monotonic()
        for made in write_shard(self._work.folder, self._work.corpus, number, self._pieces):
            step = made.result() if isinstance(made, Future) else made
            if isinstance(step, Note) or time.monotonic() - reported >= REPORT_INTERVAL_S:
                reported = time.monotonic()
                yield step


def check_shared(folder: Path, corpus: Corpus) -> None:
    """Raise FileNotFoundError unless this machine sees `corpus` in `folder`."""
    try:
        if manifest.read(folder) == corpus:
            return
    except (OSError, ValueError):
        pass
    raise FileNotFoundError(
        f"the machine {socket.gethostname()} does not see the corpus in {str(folder)!r}: it has to lie in a folder "
        "that all machines of the cluster share, under one path"
    )


def engine(
    set_up: SetUp, *, cpus: int, gpus: int = 0, workers: int | None = None, notify: Notify = print
) -> Engine:
    """Return an engine that makes shards on workers of the connected cluster; each has `cpus` cores and `gpus` GPUs."""

    def make(folder: Path, corpus: Corpus, plan: Plan, todo: Iterator[int]) -> Generator[Step, None, None]:
        waiting = deque(islice(todo, 1))  # the next shards: first those of dead workers, then those to do
        if not waiting:
            return
        wanted = min(workers or room(cpus, gpus), corpus.shards)
        pool = Pool(Work(folder.resolve(), corpus, plan, set_up), cpus, gpus, wanted)
        deaths, known = 0, set[str]()
        try:
            while waiting or pool.busy:
                while pool.free and waiting:
                    pool.assign(waiting.popleft())
                    waiting.extend(islice(todo, 0 if waiting else 1))
                number, result = pool.wait()
                if isinstance(result, Exception):
                    deaths += 1
                    if deaths > MAX_DEATHS * wanted:
                        raise RuntimeError(
                            f"workers died {counted(deaths, 'time')} without finishing a shard, the last time "
                            f"with this error: {_first_line(result)}; the logs of Ray say more"
                        )
                    notify(f"a worker died ({_first_line(result)}); its shard is made again")
                    if number is not None:
                        waiting.appendleft(number)
                        yield number, 0
                elif number is None:
                    for text in sorted(set(result) - known):
                        notify(text)
                    known.update(result)
                else:
                    deaths = 0 if isinstance(result, Note) else deaths
                    yield number, result
        finally:
            pool.stop()

    return make


class Pool:
    """The workers: those that are free, and those from which a result is expected."""

    def __init__(self, work: Work, cpus: int, gpus: int, wanted: int) -> None:
        import ray

        self._class = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(Worker)
        self._work = ray.put(work)
        # a result that is expected -> the worker, and its shard or, while the worker starts, None
        self._expected: dict[Any, tuple[Any, int | None]] = {}
        self.free: list[Any] = []
        for _ in range(wanted):
            self._start()

    @property
    def busy(self) -> bool:
        """Whether any worker has a shard."""
        return any(number is not None for _, number in self._expected.values())

    def assign(self, number: int) -> None:
        """Let a free worker make this shard."""
        worker = self.free.pop()
        self._expected[worker.make.options(num_returns="streaming").remote(number)] = worker, number

    def wait(self) -> tuple[int | None, Any]:
        """Return the next result: a shard's number, and a step of it or the error with which its worker died.

        A dead worker is replaced. Without a number, a worker has started and the result is its remarks. An error that
        would occur again on another worker is raised.
        """
        import ray

        (coming,), _ = ray.wait(list(self._expected), num_returns=1)
        worker, number = self._expected.pop(coming)
        try:
            result = ray.get(coming if number is None else next(coming))
        except ray.exceptions.RayTaskError as error:
            self.free.append(worker)
            raise error.cause from None
        except (ray.exceptions.RayError, StopIteration) as error:
            ray.kill(worker)
            self._start()
            return number, error
        if number is None or isinstance(result, Note):
            self.free.append(worker)
        else:
            self._expected[coming] = worker, number  # at the end, so that the other workers come first
        return number, result

    def stop(self) -> None:
        """End all workers."""
        import ray

        for worker in [*self.free, *(worker for worker, _ in self._expected.values())]:
            ray.kill(worker)

    def _start(self) -> None:
        worker = self._class.remote()
        self._expected[worker.begin.remote(self._work)] = worker, None


def room(cpus: int, gpus: int) -> int:
    """Return the number of workers of this size that fit into the cluster. ValueError if not even one does."""
    count = 0
    for node in nodes():
        has = node["Resources"]
        by_gpus = has.get("GPU", 0) // gpus if gpus else has.get("CPU", 0)
        count += int(min(has.get("CPU", 0) // cpus, by_gpus))
    if not count:
        raise ValueError(
            f"no machine of the cluster has the {cpus} cores and {gpus} GPUs of a worker: add one, or choose fewer "
            "--threads"
        )
    return count


def nodes() -> list[dict[str, Any]]:
    """Return the machines of the connected cluster that answer."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__
