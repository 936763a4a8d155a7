"""One step of training: loss, gradients, Adam, EMA; on one GPU recorded once as a CUDA graph and replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .loss import Levels, noisy, weighted_error

Step = Callable[[Sequence[Tensor], float, float], Tensor]

Guide = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_t (B, 8, L), y (B, K), t (B, 1)) -> (B, 8, L)

WARMUP_CALLS = 3  # before recording: kernels compile and Adam allocates its state


def make_step(
    model: nn.Module,
    backward: Callable[[Tensor], None],
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    average: list[Tensor],
    at: Levels,
    gradient_clip: float | None,
    guide: Guide | None = None,
) -> Step:
    """step((x, y, t, z), learning_rate, ema_decay) -> loss, a scalar on the device; see `training_batch`.

    guide: what the network is to say, in place of what was added to the record.
    """
    device = average[0].device
    ema_decay = torch.zeros((), device=device)

    def update(x: Tensor, y: Tensor, t: Tensor, z: Tensor) -> Tensor:
        x_t, target, weight = noisy(x, t, z, at)
        steps = t[:, None].float()
        if guide is not None:
            target = guide(x_t, y, steps)
        loss = weighted_error(model(x_t, y, steps), target, weight)
        backward(loss)
        if gradient_clip is not None:
            nn.utils.clip_grad_norm_(parameters, gradient_clip)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(average, ema_decay)
            torch._foreach_add_(
                average, list(torch._foreach_mul([p.detach() for p in parameters], 1 - ema_decay))
            )
        return loss.detach()

    def step(batch: Sequence[Tensor], learning_rate: float, decay: float) -> Tensor:
        ema_decay.fill_(decay)
        for group in optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(learning_rate)
            else:
                group["lr"] = learning_rate
        return run(batch)

    def eager(batch: Sequence[Tensor]) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        return update(*batch)

    on_device = isinstance(optimizer.param_groups[0]["lr"], Tensor)
    run = recorded(update, optimizer) if on_device else eager
    return step


def recorded(
    update: Callable[..., Tensor], optimizer: torch.optim.Optimizer
) -> Callable[[Sequence[Tensor]], Tensor]:
    """update(*inputs) from a CUDA graph, which spares the hundreds of launches that would take longer than the work.

    It is to take a step of `optimizer`, whose gradients are cleared before; learning rates are tensors on the device.
    """
    graph = torch.cuda.CUDAGraph()
    calls = 0
    inputs: list[Tensor] = []
    loss: Tensor | None = None

    def run(batch: Sequence[Tensor]) -> Tensor:
        nonlocal calls, inputs, loss
        calls += 1
        if calls <= WARMUP_CALLS:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                optimizer.zero_grad(set_to_none=True)
                result = update(*batch)
            torch.cuda.current_stream().wait_stream(side)
            return result
        if loss is None:
            inputs = [t.clone() for t in batch]
            optimizer.zero_grad(set_to_none=True)
            with torch.cuda.graph(graph):
                loss = update(*inputs)
        for static, new in zip(inputs, batch, strict=True):
            static.copy_(new)
        graph.replay()
        return loss.clone()

    return run
