"""What all networks share: they are called like that of SSSD-ECG, and keep what is computed from their weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from ..config.names import Cauchy
from ..patient import Takes

T = TypeVar("T")


class Network(nn.Module, ABC):
    """A network. net((x, cond, steps)) predicts eps (B, 8, L) from x (B, 8, L), cond (B, K) and steps (B, 1).

    With `velocity`, a pair (alpha, sigma) of (T,) tables, the raw output is v = alpha eps - sigma x_0 (Salimans and Ho
    2022). It is turned into eps = sigma x + alpha v here, in float32; `predict` returns v itself.

    config: the size of the network. columns: K. cauchy: the convention of S4 kernels, for networks that have them
    (sssd.models.s4). takes: which of age, sex and heart rate the network takes, in columns behind the labels
    (sssd.patient).
    """

    config: Any
    columns: int
    cauchy: Cauchy

    def __init__(self, velocity: tuple[Sequence[float], Sequence[float]] | None, takes: Takes) -> None:
        super().__init__()
        self.velocity, self.takes = velocity is not None, takes
        if velocity is not None:
            for name, table in zip(("alpha", "sigma"), velocity, strict=True):
                self.register_buffer(
                    name, torch.tensor(table, dtype=torch.float32, device="cpu"), persistent=False
                )
        self._cache: dict[str, tuple[tuple[object, ...], object]] = {}

    @property
    @abstractmethod
    def untrained(self) -> bool:
        """Whether the last layer is zero, as it is after initialisation and never once trained or loaded."""

    def forward(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        x, cond, steps = inputs
        prediction = self.predict(x, cond, steps)
        if not self.velocity:
            return prediction
        index = steps.reshape(-1).long()
        alpha, sigma = (self.get_buffer(name)[index][:, None, None] for name in ("alpha", "sigma"))
        return sigma * x + alpha * prediction

    @abstractmethod
    def predict(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        """Return the raw output (B, 8, L), eps or v, for x (B, 8, L), cond (B, K) and steps (B, 1)."""

    def unconditional(self, cond: Tensor) -> Tensor:
        """Return conditions (B, K) that name no statement, age, sex or heart rate, as guidance needs them."""
        return torch.zeros_like(cond)

    @torch.no_grad()
    def kept(self, what: str, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return make(), which is kept until a parameter or buffer changes or another key is asked for.

        PyTorch counts the changes of a tensor, but not those through `parameter.data`: change weights under
        torch.no_grad() instead. It does not count those of fused optimizers either (see `forget`).
        """
        state = tuple((t.data_ptr(), t._version) for t in (*self.parameters(), *self.buffers()))
        key = (*key, self.cauchy, state)
        if what not in self._cache or self._cache[what][0] != key:
            self._cache.pop(what, None)  # before the new one takes its memory
            self._cache[what] = key, make()
        return cast("T", self._cache[what][1])

    def forget(self) -> None:
        """Drop what is kept. Call it where training begins: fused optimizers change weights without being counted."""
        self._cache.clear()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": {}}
