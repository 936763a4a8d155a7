"""A network that learns: as training calls it, with its optimizer and its averaged weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..step import recorded
from .school import School


class Learner:
    """A network that learns. call: as it is called in training, which for a `Denoiser` is `school.wrapped`."""

    def __init__(
        self, net: nn.Module, call: Callable[..., Tensor], school: School, *, momentum: float
    ) -> None:
        self.device, self.call = school.device, call
        self.parameters = list(net.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        cuda = self.device.type == "cuda"
        rate: Any = torch.tensor(0.0, device=self.device) if cuda else 0.0
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=rate, betas=(momentum, 0.99), fused=cuda, capturable=cuda
        )
        self.decay = school.todo.ema_decay

    def rate(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = value

    def learn(self, loss: Tensor) -> Tensor:
        """One step of Adam and of the average."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - self.decay)
        return loss.detach()

    def settle(self) -> None:
        """The averaged weights become the network's."""
        with torch.no_grad():
            torch._foreach_copy_([p.detach() for p in self.parameters], self.average)

    def repeatedly(self, update: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """`update`, which calls `learn`: on a GPU as a graph."""
        if self.device.type == "cuda":
            graph = recorded(update, self.optimizer)
            return lambda *inputs: graph(inputs)

        def eager(*inputs: Tensor) -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            return update(*inputs)

        return eager
