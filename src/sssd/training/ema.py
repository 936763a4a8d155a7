"""Keeps the exponential moving average (EMA) of a network's weights, which training validates and ships.

The update is PyTorch's (torch.optim.swa_utils). Its class `AveragedModel` is not used, because it reads a counter on
the host in each update: the host would have to wait for the GPU in every step, and a CUDA graph cannot record that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Holds the EMA of the parameters of `net`, which starts at the weights that the network has now."""

    def __init__(self, net: nn.Module) -> None:
        self._weights = [p.detach() for p in net.parameters()]  # they share the network's memory
        self.average = [p.clone() for p in self._weights]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Set average <- decay * average + (1 - decay) * weights, after a step of the optimizer."""
        get_ema_multi_avg_fn(decay)(self.average, self._weights, 0)

    @torch.no_grad()
    def copy_to_network(self) -> None:
        """Give the network the averaged weights."""
        torch._foreach_copy_(self._weights, self.average)

    @contextmanager
    def in_network(self) -> Iterator[None]:
        """Give the network the averaged weights within the block, and its own again after it."""
        trained = [p.clone() for p in self._weights]
        self.copy_to_network()
        try:
            yield
        finally:
            torch._foreach_copy_(self._weights, trained)

    def load(self, average: Iterable[Tensor]) -> None:
        """Take over the `average` of an earlier run."""
        for p, saved in zip(self.average, average, strict=True):
            p.copy_(saved)


def warmed_up_decay(decay: float, iteration: int) -> float:
    """Return the decay at an iteration. It is smaller at first, so that the random first weights are soon forgotten."""
    return min(decay, (1 + iteration) / (10 + iteration))
