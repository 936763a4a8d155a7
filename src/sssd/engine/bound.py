"""A network bound to its labels and time steps: nothing is left to compute per step but what depends on x.

On a GPU the evaluation is recorded as a CUDA graph, and in bf16 it runs on the kernels of `fused`, where they fit;
everywhere else, and as the judge of both, it is the plain network.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from ..models.denoiser import Biases, Denoiser, DenoiserConfig, biases, denoise
from .graph import Evaluate, record


@torch.no_grad()
def bind(
    net: Denoiser, cond: Tensor, steps: Sequence[int], *, length: int, dtype: torch.dtype = torch.float32
) -> Callable[[Tensor, int], Tensor]:
    """The raw prediction (eps or v), float32, as a function of x (B, 8, length) and the row i of `steps`.

    cond (B, K). S4 kernels, folded weights, the embeddings of all steps and the label projections are computed once;
    matrix products run in `dtype`. In float32 convolutions and norms do too.
    """
    if cond.device.type != "cuda":
        return _plain(net, cond, steps, length, dtype)
    records, steps = len(cond), tuple(steps)
    _, label = biases(net, cond, cond.new_zeros(1, 1))
    label = None if label is None else label.transpose(1, 2).contiguous()  # (layers, B, 2 C)

    def recorded() -> Callable[[Tensor, int, Tensor | None], Tensor]:
        fits = dtype == torch.bfloat16 and kernels_fit(net.config, records, length, cond.device)
        make = _fused if fits else _unfused
        return record(make(net, records, steps, length, dtype), cond.new_zeros(records, 8, length), label)

    evaluate = net.kept("recording", (records, steps, length, dtype), recorded)
    return lambda x, i: evaluate(x, i, label)


def _plain(
    net: Denoiser, cond: Tensor, steps: Sequence[int], length: int, dtype: torch.dtype
) -> Callable[[Tensor, int], Tensor]:
    weights = net.frozen_weights(length, dtype)
    step, label = biases(net, cond, _column(steps, cond.device))  # (layers, C, S), (layers, 2 C, B)

    def predict(x: Tensor, i: int) -> Tensor:
        with torch.no_grad():
            return denoise(weights, x, Biases(step[..., i : i + 1], label))

    return predict


def _unfused(net: Denoiser, records: int, steps: Sequence[int], length: int, dtype: torch.dtype) -> Evaluate:
    weights = net.frozen_weights(length, dtype)
    device = weights.first[0].device
    no_label = torch.zeros(1, net.config.label_embed_classes, device=device)
    step = biases(net, no_label, _column(steps, device)).step

    def evaluate(x: Tensor, row: Tensor, label: Tensor | None) -> Tensor:
        at = step.index_select(-1, row[None])
        return denoise(weights, x, Biases(at, None if label is None else label.transpose(1, 2)))

    return evaluate


def _fused(net: Denoiser, records: int, steps: Sequence[int], length: int, dtype: torch.dtype) -> Evaluate:
    from . import fused

    packed = net.kept("packed", (length, dtype), lambda: fused.pack(net, length, dtype))
    return fused.evaluator(net, packed, records, steps, length)


def _column(steps: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor(list(steps), device=device, dtype=torch.float32)[:, None]


def kernels_fit(config: DenoiserConfig, records: int, length: int, device: torch.device) -> bool:
    """Whether the hand-written kernels can do this, on this machine."""
    channels, tokens = config.res_channels, -(-length // (8 * config.patch)) * 8
    if channels < 16 or channels & (channels - 1) or 2 * records * channels * tokens >= 2**31:
        return False
    return kernels_run(device)


@cache
def kernels_run(device: torch.device) -> bool:
    """Whether this GPU and this machine's Python can run the kernels; where not, says why, once."""
    lacking = []
    if importlib.util.find_spec("triton") is None:
        lacking.append("Triton is not installed")
    if torch.cuda.get_device_capability(device) < (8, 0):
        lacking.append(f"{torch.cuda.get_device_name(device)} does not multiply bf16")
    if lacking:
        warnings.warn(f"the fast kernels are not used, PyTorch's are: {', '.join(lacking)}", stacklevel=5)
    return not lacking
