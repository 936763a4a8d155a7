"""What processes that train together share: sums and averages over all of them.

Each process has a part of the batch, and takes the same step as the others. The messages are plain collectives, and not
PyTorch's DistributedDataParallel, so that a CUDA graph can record them with the rest of a step.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


def processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def summed(x: Tensor) -> Tensor:
    """Return the sum of x over all processes; x itself where there is one."""
    if processes() == 1:
        return x
    total = x.clone()
    dist.all_reduce(total)
    return total


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their mean over all processes, in one message."""
    if processes() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    mean = summed(torch.cat([g.reshape(-1) for g in gradients])) / processes()
    parts = mean.split([g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])
