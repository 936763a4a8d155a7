"""Chooses the device, the precision and the number of records in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch

from .checks import one_of
from .config.schema import TransformerConfig
from .models.memory import layer_bytes, layer_elements
from .models.parameters import DenoiserConfig

PRECISIONS = ("auto", "float32", "bf16")
CPU_BYTES = 256 * 2**20  # activations of one batch on a CPU
CPU_RECORDS = 32
GPU_SHARE = 0.6  # of the free memory
GPU_ELEMENTS = 2**27  # in a tensor of one layer; larger batches are no faster


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device that was asked for, else CUDA, MPS or the CPU, whichever comes first on this machine.

    ValueError if this machine does not have the device.
    """
    mps = torch.backends.mps.is_available()
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device is {device!r}: expected 'cuda', 'cuda:0', 'mps' or 'cpu'") from None
    there = {
        "cpu": True,
        "mps": mps,
        "cuda": torch.cuda.is_available() and (chosen.index or 0) < torch.cuda.device_count(),
    }
    if not there.get(chosen.type, False):
        found = ["cpu"] + ["mps"] * mps + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise ValueError(f"device is {str(device)!r}: this PyTorch has {', '.join(found)} only")
    return chosen


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of matrix products: "float32", "bf16", or "auto".

    "auto" means bf16 on a GPU that multiplies it natively, else float32. On CPUs bf16 saves 10 to 30 % of the time and
    moves distilled records by up to 2.7 mV (docs/samplers.md). ValueError for another precision.
    """
    if one_of("precision", precision, PRECISIONS) == "auto":
        return torch.bfloat16 if _has_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def precision_name(precision: str, device: torch.device) -> Literal["float32", "bf16"]:
    """Return the same choice by its name, as provenance records it."""
    return "bf16" if choose_precision(precision, device) == torch.bfloat16 else "float32"


def _has_bf16(device: torch.device) -> bool:
    """Return whether this is a GPU that multiplies bf16 natively."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def choose_batch_size(net: DenoiserConfig | TransformerConfig, length: int, device: torch.device) -> int:
    """Return how many records of `length` fill the device.

    On a GPU this follows from its free memory, on a CPU from the size of the network.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        fits = min(GPU_SHARE * free / layer_bytes(net, length), GPU_ELEMENTS / layer_elements(net, length))
    else:
        fits = min(CPU_BYTES / layer_bytes(net, length), CPU_RECORDS)
    return max(1, int(fits))


def batches(records: int, size: int) -> Iterator[range]:
    """Split record numbers into as few batches of at most `size` as possible, whose sizes differ by at most one."""
    count = -(-records // size)
    for i in range(count):
        yield range(i * records // count, (i + 1) * records // count)
