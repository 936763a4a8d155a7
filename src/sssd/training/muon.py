"""Trains hidden matrices by Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/) and all else by Adam.

PyTorch's torch.optim.Muon (2.11 to 2.13) is not used: it reads a learning rate that is on the device back to the host,
which a CUDA graph cannot record, and orthogonalises matrices one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
RATE = 20.0  # Muon's rate over Adam's: 0.02 where that is 0.001
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration
ITERATIONS = 5


class Muon(torch.optim.Adam):
    """An Adam whose first parameter group, the hidden matrices (outputs, inputs), is trained by Muon."""

    def __init__(self, hidden: Iterable[nn.Parameter], others: Iterable[nn.Parameter], **adam: Any) -> None:
        super().__init__([{"params": list(hidden)}, {"params": list(others)}], **adam)
        for p in self.param_groups[0]["params"]:  # Adam expects a step in every state that it loads
            self.state[p] = {"step": torch.zeros(()), "momentum": torch.zeros_like(p)}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step, which overwrites the gradients of the hidden matrices."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        group = self.param_groups[0]
        for matrices in _by_shape(group["params"]):
            self._update(matrices, group["lr"])
        super().step()
        return loss

    def _update(self, matrices: list[nn.Parameter], rate: float | Tensor) -> None:
        """Move matrices of one shape along their orthogonalised momentum (Nesterov's)."""
        gradients = [p.grad for p in matrices if p.grad is not None]
        momenta = [self.state[p]["momentum"] for p in matrices]
        torch._foreach_mul_(momenta, MOMENTUM)
        torch._foreach_add_(momenta, gradients)
        direction = torch.stack(torch._foreach_add(gradients, momenta, alpha=MOMENTUM))
        outputs, inputs = matrices[0].shape
        scale = RATE * max(1.0, outputs / inputs) ** 0.5
        move = orthogonalised(direction).to(matrices[0].dtype) * (-scale * rate)
        torch._foreach_add_(list[Tensor](matrices), list(move.unbind(0)))
        for p in matrices:
            p.grad = None  # so that Adam leaves it alone


def orthogonalised(x: Tensor) -> Tensor:
    """Bring the singular values of matrices x (n, rows, columns) to about 1 (0.7 to 1.2), without their directions.

    This is the Newton-Schulz iteration (Jordan 2024). On a GPU it runs in bf16, which is precise enough.
    """
    a, b, c = COEFFICIENTS
    tall = x.shape[-2] > x.shape[-1]
    x = x.bfloat16() if x.is_cuda else x
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def _by_shape(matrices: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return the matrices that have a gradient, in one list for each shape."""
    lists: dict[torch.Size, list[nn.Parameter]] = {}
    for p in matrices:
        if p.grad is not None:
            lists.setdefault(p.shape, []).append(p)
    return list(lists.values())
