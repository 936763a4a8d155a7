"""Makes one step of training: loss, gradients, clipping, Adam. On one GPU it is recorded as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..loss import NoiseLevels, Predict, denoising_loss
from .balance import Balance
from .graph import stepping
from .optimizer import set_learning_rate
from .parallel import average_gradients

Step = Callable[[Sequence[Tensor], float], Tensor]


def make_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    levels: NoiseLevels,
    gradient_clip: float | None,
    teacher: Predict | None = None,
    balance: Balance | None = None,
) -> Step:
    """Return step(batch, learning_rate) -> loss, a scalar on the device, for batches of `training_batch`.

    Where several processes train, each gives its part of the batch. gradient_clip: the largest norm of all gradients
    together. teacher: its predictions are the target, in place of the noise or velocity. balance: weights of the noise
    levels; the batch is that of `transformer_batch` then.
    """

    def update(*batch: Tensor) -> Tensor:
        if balance is None:
            x, y, t, z = batch
            shown = loss = denoising_loss(model, x, y, t, z, levels, teacher)
        else:
            loss, shown = balance.loss(model, batch, levels, teacher)
        loss.backward()
        average_gradients(parameters)
        if gradient_clip is not None:
            nn.utils.clip_grad_norm_(parameters, gradient_clip)
        optimizer.step()
        return shown.detach()

    run = stepping(update, optimizer)

    def step(batch: Sequence[Tensor], learning_rate: float) -> Tensor:
        set_learning_rate(optimizer, learning_rate)
        return run(batch)

    return step
