"""Measures this machine: one network evaluation, and whole ECGs, for the published network and the built-in model.

The baseline is the same network as SSSD-ECG runs it: in float32, without the engine, with the S4 kernels of every layer
computed at every step.
"""

from __future__ import annotations

import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .config.schema import PUBLISHED, read_config
from .device import choose_device, choose_precision
from .engine.bound import bind
from .model_wrapper import SSSDECG
from .models.denoiser import Denoiser
from .models.function import biases, denoise
from .models.network import Network
from .models.weights import effective_weights
from .presets import BUILTIN

MODELS = (BUILTIN, "published")  # the second: SSSD-ECG's configuration with random weights
MANY = 256  # records of a batch on a GPU; on a CPU a few are as fast per record
FEW = 4
LONGEST = 10.0  # seconds for one measurement


@dataclass(frozen=True)
class Row:
    """One measurement: the seconds for one record, which takes `evaluations` of the network."""

    model: str
    case: str
    precision: str
    seconds: float
    evaluations: int
    times_faster: float  # than the baseline with as many evaluations


def median_seconds(
    function: Callable[[], object], device: torch.device, repeats: int = 20, longest: float = LONGEST
) -> float:
    """Return the median wall time of `repeats` calls, or of as many as fit into `longest` seconds.

    A first call is not counted.
    """

    def once() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    once()
    times = [once()]
    while len(times) < repeats and sum(times) < longest:
        times.append(once())
    return statistics.median(times)


def machine(device: torch.device) -> str:
    """Return the name of the machine that was measured."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device.type}, {torch.get_num_threads()} threads"


def measure(
    device: str | torch.device | None = None,
    precision: str = "auto",
    *,
    models: Sequence[str] = MODELS,
    longest: float = LONGEST,
) -> Iterator[Row]:
    """Yield the rows of the table as they are measured, which takes about two minutes on two CPU cores.

    ValueError if this machine does not have the device.
    """
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    name = "bf16" if dtype == torch.bfloat16 else "float32"
    many = MANY if where.type == "cuda" else FEW
    for which in models:
        model = SSSDECG.from_pretrained(device=where) if which == BUILTIN else random_published(where)
        baseline = median_seconds(partial(unbound, model.model, *inputs(model, 1)), where, 3, longest)
        yield Row(which, "1 step, nothing kept between steps", "float32", baseline, 1, 1.0)
        for records in (1, many):
            x, cond, _ = inputs(model, records)
            predict = bind(model.model, cond, [100], length=x.shape[-1], dtype=dtype)
            seconds = median_seconds(partial(predict, x, 0), where, longest=longest) / records
            yield Row(which, f"1 step, batch {records}", name, seconds, 1, baseline / seconds)
        if which == "published" and where.type != "cuda":
            continue  # a minute each
        for records, steps in ((1, 20), (1, 50), (many, 20)):
            seconds = (
                median_seconds(partial(ecgs, model, records, steps, precision), where, 3, longest) / records
            )
            yield Row(
                which, f"DDIM {steps}, batch {records}", name, seconds, steps, baseline * steps / seconds
            )


def ecgs(model: SSSDECG, records: int, steps: int, precision: str) -> Tensor:
    """Generate whole ECGs of random labels."""
    vectors = inputs(model, records)[1].cpu()
    how = {"use_ddim": True, "ddim_timesteps": steps, "seed": 0, "batch_size": records}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the random labels are rare
        return model.generate(vectors, precision=precision, progress=False, **how)  # type: ignore


def random_published(device: torch.device) -> SSSDECG:
    """Return the published network with random weights, even in the last layer, which is zero before training."""
    torch.manual_seed(0)
    model = SSSDECG(read_config(PUBLISHED), device=device)
    assert isinstance(model.model, Denoiser)
    torch.nn.init.normal_(model.model.outer_convs[2].weight, std=0.05)
    return model


def inputs(model: SSSDECG, records: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x (B, 8, L), random labels (B, K) and steps (B, 1) on the model's device."""
    torch.manual_seed(0)
    classes = len(model.label_names)
    x, cond = torch.randn(records, *model.shape), (torch.rand(records, classes) < 3 / classes).float()
    return x.to(model.device), cond.to(model.device), torch.full((records, 1), 100.0, device=model.device)


@torch.no_grad()
def unbound(net: Network, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
    """Evaluate the network without keeping anything between calls."""
    if not isinstance(net, Denoiser):
        return net.predict(x, cond, steps)
    return denoise(effective_weights(net, x.shape[-1]), x, biases(net, cond, steps))
