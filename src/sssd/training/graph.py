"""Records a training step as a CUDA graph, which is replayed for every batch that follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Update = Callable[..., Tensor]

WARMUP_CALLS = 3  # before recording, while kernels compile and Adam allocates its state


def stepping(update: Update, optimizer: torch.optim.Optimizer) -> Callable[[Sequence[Tensor]], Tensor]:
    """Return update(*inputs) -> loss, before which gradients are cleared. Tensors as learning rates: see `recorded`."""
    if isinstance(optimizer.param_groups[0]["lr"], Tensor):
        return recorded(update, optimizer)

    def run(batch: Sequence[Tensor]) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        return update(*batch)

    return run


def recorded(update: Update, optimizer: torch.optim.Optimizer) -> Callable[[Sequence[Tensor]], Tensor]:
    """Return update(*inputs) -> loss as a CUDA graph, which saves hundreds of launches that take longer than the work.

    `update` takes one step of `optimizer`; the gradients are cleared before it. Learning rates must be tensors on the
    device. The inputs have the same shapes in every call.
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
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # NCCL has a thread of its own
                loss = update(*inputs)
        for static, new in zip(inputs, batch, strict=True):
            static.copy_(new)
        graph.replay()
        return loss.clone()

    return run
