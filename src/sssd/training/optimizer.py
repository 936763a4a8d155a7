"""Chooses the optimizer of a network, and its learning rate in each iteration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..models.network import Network
from ..models.transformer import Transformer
from .muon import Muon


def optimizer_for(net: Network, device: torch.device, *, graph: bool) -> torch.optim.Adam:
    """Return Adam for SSSD-ECG's network, and Muon with Adam for a transformer. See `adam`."""
    if not isinstance(net, Transformer):
        return adam(net.parameters(), device, graph=graph)
    hidden = {id(p) for p in net.hidden}
    others = [p for p in net.parameters() if id(p) not in hidden]
    return Muon(net.hidden, others, **_settings(device, graph))


def adam(parameters: Iterable[nn.Parameter], device: torch.device, *, graph: bool) -> torch.optim.Adam:
    """Return Adam at rate 0; `set_learning_rate` has to set the rate before each step.

    graph: the step is recorded as a CUDA graph, so the rate is a tensor on the device.
    """
    return torch.optim.Adam(parameters, **_settings(device, graph))


def _settings(device: torch.device, graph: bool) -> dict[str, Any]:
    rate = torch.tensor(0.0, device=device) if graph else 0.0
    return {"lr": rate, "betas": (0.9, 0.99), "fused": device.type == "cuda", "capturable": graph}


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters this rate; a rate on the device is changed in place, so that CUDA graphs see it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


@torch.no_grad()
def round_moments(optimizer: torch.optim.Optimizer) -> None:
    """Round momenta and second moments to bf16, in which checkpoints hold them.

    A run that goes on has the same moments as one that is resumed, so both end with the same weights.
    """
    for state in optimizer.state.values():
        for name, value in state.items():
            if name != "step":
                value.copy_(value.bfloat16())


def learning_rate_factor(iteration: int, warmup: int, total: int, decay: bool) -> float:
    """Return the factor of the rate: a linear warm-up to 1, then constant, or with `decay` half a cosine down to 0."""
    factor = min(1.0, (iteration + 1) / warmup) if warmup else 1.0
    if decay:
        factor *= 0.5 * (1 + math.cos(math.pi * min(1.0, iteration / total)))
    return factor
