"""Trains a network in a stage, with an optimizer and averaged weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..ema import WeightAverage
from ..graph import recorded
from ..optimizer import adam, set_learning_rate
from ..parallel import average_gradients
from .context import Distillation

GRADIENT_CLIP = 1.0  # the largest norm of all gradients together


class Trainer:
    """Trains `net`. predict: the function that calls it; for a network this is `Distillation.wrapped`.

    ema_decay: the decay of the averaged weights, by default that of the configuration.
    """

    def __init__(
        self,
        net: nn.Module,
        predict: Callable[..., Tensor],
        run: Distillation,
        *,
        momentum: float,
        ema_decay: float | None = None,
    ) -> None:
        self.predict = predict
        self.parameters = list(net.parameters())
        self.on_gpu = run.device.type == "cuda"
        self.optimizer = adam(self.parameters, run.device, momentum=momentum, graph=self.on_gpu)
        self.average = WeightAverage(net)
        self.ema_decay = run.todo.ema_decay if ema_decay is None else ema_decay

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the steps that follow."""
        set_learning_rate(self.optimizer, rate)

    def step(self, loss: Tensor) -> Tensor:
        """Take one step of Adam and one of the average; return the loss without its gradient."""
        loss.backward()
        average_gradients(self.parameters)
        torch.nn.utils.clip_grad_norm_(self.parameters, GRADIENT_CLIP)
        self.optimizer.step()
        self.average.update(self.ema_decay)
        return loss.detach()

    def repeated(self, update: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return `update`, which calls `step` once, for repeated calls; on a GPU it is recorded as a CUDA graph."""
        if self.on_gpu:
            graph = recorded(update, self.optimizer)
            return lambda *inputs: graph(inputs)

        def eager(*inputs: Tensor) -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            return update(*inputs)

        return eager
