"""How fast this machine is: one network evaluation, and whole ECGs, for the published network and the built-in model.

The yardstick is the same network with its S4 kernels computed in each of its layers at each step, in float32 and
without any of the engine: what SSSD-ECG does.
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
from .models.weights import effective_weights
from .presets import BUILTIN

MODELS = (BUILTIN, "published")  # the second: SSSD-ECG's configuration with random weights
MANY = 256  # records of a batch on a GPU; on a CPU a few are as good
FEW = 4
LONGEST = 10.0  # seconds for one measurement


@dataclass(frozen=True)
class Row:
    """One measurement: seconds for one record, in which `evaluations` of the network are contained."""

    model: str
    case: str
    precision: str
    seconds: float
    evaluations: int
    times_faster: float  # than the yardstick with as many evaluations


def median_seconds(
    function: Callable[[], object], device: torch.device, repeats: int = 20, longest: float = LONGEST
) -> float:
    """Median wall time after a first call, of `repeats` calls or of those that fit into `longest` seconds."""

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
    """What the figures are of."""
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
    """The rows of the table, as they are measured: about two minutes on two CPU cores.

    ValueError for a device that is not here.
    """
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    name = "bf16" if dtype == torch.bfloat16 else "float32"
    many = MANY if where.type == "cuda" else FEW
    for which in models:
        model = SSSDECG.from_pretrained(device=where) if which == BUILTIN else random_published(where)
        yard = median_seconds(partial(unbound, model.model, *inputs(model, 1)), where, 3, longest)
        yield Row(which, "1 step, nothing kept between steps", "float32", yard, 1, 1.0)
        for records in (1, many):
            x, cond, _ = inputs(model, records)
            predict = bind(model.model, cond, [100], length=x.shape[-1], dtype=dtype)
            seconds = median_seconds(partial(predict, x, 0), where, longest=longest) / records
            yield Row(which, f"1 step, batch {records}", name, seconds, 1, yard / seconds)
        if which == "published" and where.type != "cuda":
            continue  # a minute each
        for records, steps in ((1, 20), (1, 50), (many, 20)):
            seconds = (
                median_seconds(partial(ecgs, model, records, steps, precision), where, 3, longest) / records
            )
            yield Row(which, f"DDIM {steps}, batch {records}", name, seconds, steps, yard * steps / seconds)


def ecgs(model: SSSDECG, records: int, steps: int, precision: str) -> Tensor:
    """Whole ECGs of random labels, through `generate`."""
    vectors = inputs(model, records)[1].cpu()
    how = {"use_ddim": True, "ddim_timesteps": steps, "seed": 0, "batch_size": records}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random labels are rare ones too
        return model.generate(vectors, precision=precision, progress=False, **how)  # type: ignore


def random_published(device: torch.device) -> SSSDECG:
    """The published network with random weights, the last layer too, which is zero before training."""
    torch.manual_seed(0)
    model = SSSDECG(read_config(PUBLISHED), device=device)
    torch.nn.init.normal_(model.model.outer_convs[2].weight, std=0.05)
    return model


def inputs(model: SSSDECG, records: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, 8, L), random labels (B, K), steps (B, 1) on the model's device."""
    torch.manual_seed(0)
    classes = len(model.label_names)
    x, cond = torch.randn(records, *model.shape), (torch.rand(records, classes) < 3 / classes).float()
    return x.to(model.device), cond.to(model.device), torch.full((records, 1), 100.0, device=model.device)


@torch.no_grad()
def unbound(net: Denoiser, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
    """The network with nothing kept between calls."""
    return denoise(effective_weights(net, x.shape[-1]), x, biases(net, cond, steps))
