"""Corpora on a Ray cluster: workers make whole shards in a folder that all machines share.

A worker is an actor with one GPU, or with a few cores. It has one shard at a time and is given the next one when that
is in place, so that nothing queues anywhere. Where a worker dies, alone or with its machine, its shard goes to the next
free one, another worker is asked for, and what it left half-written counts for nothing: shards are renamed whole, and
noted by the process that gives them out.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import manifest, recipe
from .making import batches, write_shard
from .manifest import Corpus, Note
from .plan import Plan
from .recipe import Generate
from .run import Engine, Step

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG
    from ..samplers import StepTable

CORES = 4  # of a worker without a GPU, unless told otherwise
DEATHS = 10  # per worker, without a shard finished in between: then something is wrong that repeating does not mend
PATIENCE = 10.0  # seconds for a cluster to answer
EVERY = 1.0  # seconds between a worker's reports

Tell = Callable[[str], None]
Begin = Callable[
    [Corpus], tuple[Generate, list[str]]
]  # on a worker: how to generate there, what to say of it


def check(address: str | None = None) -> str:
    """The address of the cluster to use. ValueError where it is none to use from here, or Ray is not installed."""
    if find_spec("ray") is None:
        raise ValueError("--engine ray needs the package ray: pip install 'sssd-ecg[ray]'")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise ValueError(
            f"the address is {address!r}: the command has to run on a machine of the cluster, which shares the folder; "
            "log in there, or use `ray job submit`"
        )
    return address


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """A cluster to work on: the one at `address`, else that of RAY_ADDRESS, else one started on this machine.

    ValueError as for `check`, ConnectionError where no cluster answers.
    """
    address = check(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    silent = ConnectionError(
        f"no Ray cluster answers at {address!r} from this machine: `ray status` says whether one runs here; "
        "without an address, Ray is started on this machine alone"
    )
    host, _, port = address.rpartition(":")
    try:
        if port.isdecimal():  # Ray itself would wait for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, RuntimeError, ValueError) as error:
        raise silent from error
    try:
        yield
    finally:
        ray.shutdown()


def describe(
    model: SSSDECG, plan: Plan, table: StepTable, *, device: str | None, threads: int | None, **how: Any
) -> Corpus:
    """`recipe.describe`, asked of a worker: what fits on its device, and what that is, is known there.

    device: "cuda" or "cpu", by default what the cluster has. ValueError where it has none of the kind.
    """
    import ray

    kind = (device or ("cuda" if _gpus() else "cpu")).partition(":")[0]
    if kind == "cuda" and not _gpus():
        raise ValueError("the cluster has no GPU: choose --device cpu, or add machines that have one")
    if kind == "cpu":
        most = min(node["Resources"].get("CPU", 0) for node in _nodes())
        threads = threads or max(1, min(CORES, int(most)))
    threads = threads or 1
    there = ray.remote(num_cpus=threads, num_gpus=int(kind == "cuda"))(_describe)
    try:
        corpus: Corpus = ray.get(there.remote(packed(model), kind, plan, table, {**how, "threads": threads}))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    return corpus


def _describe(content: bytes, device: str, plan: Plan, table: StepTable, how: dict[str, Any]) -> Corpus:
    return recipe.describe(unpacked(content, device), plan, table, **how)


def with_model(corpus: Corpus, model: SSSDECG, *, workers: int | None = None, tell: Tell = print) -> Engine:
    """Shards of `corpus` by `model`, which is sent to the workers. workers: by default as many as the cluster holds."""
    (part,) = corpus.parts
    return engine(
        partial(_begin, packed(model)), gpus=int(part.device == "cuda"), cpus=part.threads, workers=workers, tell=tell
    )  # fmt: skip


def _begin(content: bytes, corpus: Corpus) -> tuple[Generate, list[str]]:
    (part,) = corpus.parts
    model = unpacked(content, part.device)
    recipe.check_weights(part, model)
    recipe.check_device(part, model)
    return recipe.generator(part, model), recipe.differences(part, model)


def packed(model: SSSDECG) -> bytes:
    """The model as the bytes of a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        return model.save_checkpoint(Path(folder) / "model.safetensors").read_bytes()


def unpacked(content: bytes, device: str) -> SSSDECG:
    """The model of `packed`."""
    from ..model_wrapper import SSSDECG

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        return SSSDECG.from_pretrained(path, device=device)


# --- on a worker --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Work:
    """What every worker is told at first."""

    folder: Path
    corpus: Corpus
    plan: Plan
    begin: Begin


class Worker:
    """Makes shards one at a time, in its own process on some machine of the cluster."""

    def begin(self, work: Work) -> list[str]:
        """Get ready; returns what is to be said. FileNotFoundError where this machine does not see the corpus."""
        check_shared(work.folder, work.corpus)
        self._work = work
        generate, said = work.begin(work.corpus)
        self._pieces = batches(work.corpus, work.plan, generate)
        return [f"{socket.gethostname()}: {text}" for text in said]

    def make(self, number: int) -> Iterator[int | Note]:
        """Make a shard: how many of its records there are, from time to time, and at last its note."""
        told = time.monotonic()
        for step in write_shard(self._work.folder, self._work.corpus, number, self._pieces):
            if isinstance(step, Note) or time.monotonic() - told >= EVERY:
                told = time.monotonic()
                yield step


def check_shared(folder: Path, corpus: Corpus) -> None:
    """FileNotFoundError unless `corpus` lies in `folder` as this machine sees it."""
    try:
        if manifest.read(folder) == corpus:
            return
    except (OSError, ValueError):
        pass
    raise FileNotFoundError(
        f"the machine {socket.gethostname()} does not see the corpus in {str(folder)!r}: it has to lie in a folder "
        "that all machines of the cluster share, under one path"
    )


# --- where shards are given out -----------------------------------------------------------------------------------


def engine(
    begin: Begin, *, cpus: int, gpus: int = 0, workers: int | None = None, tell: Tell = print
) -> Engine:
    """Shards made by workers of the cluster that this process is connected to; each has so many cores and GPUs."""

    def make(folder: Path, corpus: Corpus, plan: Plan, todo: Iterator[int]) -> Generator[Step, None, None]:
        waiting = deque(
            islice(todo, 1)
        )  # what to give out next: the shards of workers that died, then those to do
        if not waiting:
            return
        wanted = min(workers or fitting(cpus, gpus), corpus.shards)
        crew = Crew(Work(folder.resolve(), corpus, plan, begin), cpus, gpus, wanted)
        deaths, said = 0, set[str]()
        try:
            while waiting or crew.at_work:
                while crew.free and waiting:
                    crew.give(waiting.popleft())
                    waiting.extend(islice(todo, 0 if waiting else 1))
                number, came = crew.wait()
                if isinstance(came, Exception):
                    deaths += 1
                    if deaths > DEATHS * wanted:
                        raise RuntimeError(
                            f"workers died {deaths} times without finishing a shard, the last one so: {_first(came)}; "
                            "the logs of Ray say more"
                        )
                    tell(f"a worker died ({_first(came)}); what it was at is made again")
                    if number is not None:
                        waiting.appendleft(number)
                        yield number, 0
                elif number is None:
                    for text in sorted(set(came) - said):
                        tell(text)
                    said.update(came)
                else:
                    deaths = 0 if isinstance(came, Note) else deaths
                    yield number, came
        finally:
            crew.dismiss()

    return make


class Crew:
    """Workers, those that are free and those from whom something is to come."""

    def __init__(self, work: Work, cpus: int, gpus: int, wanted: int) -> None:
        import ray

        self._class = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(Worker)
        self._work = ray.put(work)
        self._to_come: dict[Any, tuple[Any, int | None]] = {}  # from whom, for which shard (None: it begins)
        self.free: list[Any] = []
        for _ in range(wanted):
            self._hire()

    @property
    def at_work(self) -> bool:
        """Whether any of them has a shard."""
        return any(number is not None for _, number in self._to_come.values())

    def give(self, number: int) -> None:
        """Let a free worker make this shard."""
        worker = self.free.pop()
        self._to_come[worker.make.options(num_returns="streaming").remote(number)] = worker, number

    def wait(self) -> tuple[int | None, Any]:
        """What comes next, and for which shard: a step of it, or how its worker died, who is replaced.

        Without a number, a worker has begun: what it says. What fails on a worker, and would fail again, is raised.
        """
        import ray

        (coming,), _ = ray.wait(list(self._to_come), num_returns=1)
        worker, number = self._to_come.pop(coming)
        try:
            came = ray.get(coming if number is None else next(coming))
        except ray.exceptions.RayTaskError as error:
            self.free.append(worker)
            raise error.cause from None
        except (ray.exceptions.RayError, StopIteration) as error:
            ray.kill(worker)
            self._hire()
            return number, error
        if number is None or isinstance(came, Note):
            self.free.append(worker)
        else:
            self._to_come[coming] = worker, number  # behind the others
        return number, came

    def dismiss(self) -> None:
        """End them all."""
        import ray

        for worker in [*self.free, *(worker for worker, _ in self._to_come.values())]:
            ray.kill(worker)

    def _hire(self) -> None:
        worker = self._class.remote()
        self._to_come[worker.begin.remote(self._work)] = worker, None


def fitting(cpus: int, gpus: int) -> int:
    """How many workers of this size the cluster holds. ValueError where there is no room for one."""
    count = 0
    for node in _nodes():
        there = node["Resources"]
        count += int(
            min(there.get("CPU", 0) // cpus, there.get("GPU", 0) // gpus if gpus else there.get("CPU", 0))
        )
    if not count:
        raise ValueError(
            f"no machine of the cluster has the {cpus} cores and {gpus} GPUs of a worker: add one, or choose fewer "
            "--threads"
        )
    return count


def _nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _gpus() -> int:
    return sum(int(node["Resources"].get("GPU", 0)) for node in _nodes())


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__
