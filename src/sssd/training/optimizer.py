"""Adam, and the learning rate that it is given in each iteration."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def adam(
    parameters: Iterable[nn.Parameter], device: torch.device, *, momentum: float, graph: bool
) -> torch.optim.Adam:
    """Adam at rate 0, to be set by `set_learning_rate` before each step.

    graph: the step is recorded as a CUDA graph, so the rate is a tensor on the device.
    """
    rate = torch.tensor(0.0, device=device) if graph else 0.0
    return torch.optim.Adam(
        parameters, lr=rate, betas=(momentum, 0.99), fused=device.type == "cuda", capturable=graph
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters this rate; a rate on the device is changed in place, so that CUDA graphs see it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def learning_rate_factor(iteration: int, warmup: int, total: int, decay: bool) -> float:
    """A linear warm-up to 1, which is constant afterwards, or with `decay` falls to 0 along half a cosine."""
    factor = min(1.0, (iteration + 1) / warmup) if warmup else 1.0
    if decay:
        factor *= 0.5 * (1 + math.cos(math.pi * min(1.0, iteration / total)))
    return factor
