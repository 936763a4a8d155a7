"""Corpora on a Ray cluster: connecting to it, and sending the model to its workers (workers.py)."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import recipe
from .plan import Plan
from .recipe import Generate
from .run import Engine
from .schema import Corpus
from .workers import Notify, engine, nodes

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG
    from ..samplers import StepTable
    from .recordings import TakenRecordings

CORES = 4  # of a worker without a GPU, unless the user says otherwise
CONNECT_TIMEOUT_S = 10.0


def check(address: str | None = None) -> str:
    """Return the address of the cluster to use. ValueError if it cannot be used from here, or Ray is not installed."""
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
    """Connect to the cluster at `address`, or at RAY_ADDRESS, or start one on this machine.

    ValueError as for `check`; ConnectionError where no cluster answers.
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
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, RuntimeError, ValueError) as error:
        raise silent from error
    try:
        yield
    finally:
        ray.shutdown()


def describe(
    model: SSSDECG, plan: Plan, table: StepTable, *, device: str | None, threads: int | None, **settings: Any
) -> Corpus:
    """Return what `recipe.describe` returns, from a worker, which alone knows its device and what fits on it.

    device: "cuda" or "cpu"; without it, "cuda" if the cluster has a GPU. ValueError if it has none of this kind.
    """
    import ray

    kind = (device or ("cuda" if _gpus() else "cpu")).partition(":")[0]
    if kind == "cuda" and not _gpus():
        raise ValueError("the cluster has no GPU: choose --device cpu, or add machines that have one")
    if kind == "cpu":
        cores = min(node["Resources"].get("CPU", 0) for node in nodes())
        threads = threads or max(1, min(CORES, int(cores)))
    threads = threads or 1
    remote = ray.remote(num_cpus=threads, num_gpus=int(kind == "cuda"))(_describe)
    try:
        corpus: Corpus = ray.get(
            remote.remote(packed(model), kind, plan, table, {**settings, "threads": threads})
        )
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    # requests.npz is written here, where another zlib may give other bytes than on the worker
    return replace(corpus, parts=(replace(corpus.parts[0], requests=plan.sha256),))


def _describe(content: bytes, device: str, plan: Plan, table: StepTable, settings: dict[str, Any]) -> Corpus:
    return recipe.describe(unpacked(content, device), plan, table, **settings)


def with_model(
    corpus: Corpus,
    model: SSSDECG,
    recordings: TakenRecordings | None = None,
    *,
    workers: int | None = None,
    notify: Notify = print,
) -> Engine:
    """Return an engine that sends `model` to its workers. workers: by default as many as there is room for."""
    (part,) = corpus.parts
    set_up, gpus = partial(_set_up, packed(model), recordings), int(part.device == "cuda")
    return engine(set_up, gpus=gpus, cpus=part.threads, workers=workers, notify=notify)


def _set_up(content: bytes, recordings: TakenRecordings | None, corpus: Corpus) -> tuple[Generate, list[str]]:
    (part,) = corpus.parts
    model = unpacked(content, part.device)
    recipe.check_weights(part, model)
    recipe.check_device(part, model)
    return recipe.generator(part, model, recordings), recipe.differences(part, model)


def packed(model: SSSDECG) -> bytes:
    """Return the model as the bytes of a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        return model.save_checkpoint(Path(folder) / "model.safetensors").read_bytes()


def unpacked(content: bytes, device: str) -> SSSDECG:
    """Return the model of `packed`."""
    from ..model_wrapper import SSSDECG

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        return SSSDECG.from_pretrained(path, device=device)


def _gpus() -> int:
    return sum(int(node["Resources"].get("GPU", 0)) for node in nodes())
