"""The denoiser of SSSD-ECG (Alcaraz and Strodthoff 2023, sec. 3) as a PyTorch module.

parameters (parameters.py) -> effective weights (weights.py) -> the pure function `denoise` (function.py)

Training computes the effective weights in each step, inference once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from .function import biases, denoise
from .parameters import Conv, DenoiserConfig, LastConv, ResidualBlock, ResidualGroup, WeightNormConv
from .s4 import CAUCHY, Cauchy
from .weights import Weights, effective_weights

T = TypeVar("T")


class Denoiser(nn.Module):
    """The network. net((x, cond, steps)) predicts eps (B, 8, L) from x (B, 8, L), cond (B, K) and steps (B, 1).

    With `velocity`, a pair (alpha, sigma) of (T,) tables, the raw output is v = alpha eps - sigma x_0 (Salimans and Ho
    2022). It is turned into eps = sigma x + alpha v here, in float32; `predict` returns v itself.

    With `patient`, the last 4 of the K columns are the patient's age and sex (sssd.patient). cond may leave them out,
    which means that both are unknown.
    """

    def __init__(
        self,
        config: DenoiserConfig,
        *,
        cauchy: Cauchy = "conjugate_pairs",
        velocity: tuple[Sequence[float], Sequence[float]] | None = None,
        patient: bool = False,
    ) -> None:
        super().__init__()
        if cauchy not in CAUCHY:
            raise ValueError(f"cauchy is {cauchy!r}: expected one of {', '.join(CAUCHY)}")
        self.config, self.cauchy = config, cauchy
        c, skip = config.res_channels, config.skip_channels
        self.init_conv = nn.ModuleList([Conv(WeightNormConv(config.in_channels * config.patch, c))])
        self.embedding = (
            nn.Embedding(config.label_embed_classes, config.label_embed_dim)
            if config.label_embed_classes
            else None
        )
        self.residual_layer = ResidualGroup(config)
        self.final_conv = nn.ModuleDict(
            {"0": Conv(WeightNormConv(skip, skip)), "2": LastConv(skip, config.out_channels * config.patch)}
        )
        self.velocity = velocity is not None
        self.patient = patient
        if velocity is not None:
            for name, table in zip(("alpha", "sigma"), velocity, strict=True):
                self.register_buffer(
                    name, torch.tensor(table, dtype=torch.float32, device="cpu"), persistent=False
                )
        self._cache: dict[str, tuple[tuple[object, ...], object]] = {}

    @property
    def blocks(self) -> list[ResidualBlock]:
        return cast("list[ResidualBlock]", list(self.residual_layer.residual_blocks))

    @property
    def outer_convs(self) -> tuple[WeightNormConv, WeightNormConv, nn.Conv1d]:
        """The first convolution and the two behind the skip connections; the last one is zero before training."""
        first, behind = cast(Conv, self.init_conv[0]), cast(Conv, self.final_conv["0"])
        return first.conv, behind.conv, cast(LastConv, self.final_conv["2"]).conv

    def forward(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        x, cond, steps = inputs
        prediction = self.predict(x, cond, steps)
        if not self.velocity:
            return prediction
        index = steps.reshape(-1).long()
        alpha, sigma = (self.get_buffer(name)[index][:, None, None] for name in ("alpha", "sigma"))
        return sigma * x + alpha * prediction

    def predict(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        """Return the raw output (B, 8, L), eps or v, for x (B, 8, L), cond (B, K) and steps (B, 1)."""
        if torch.is_grad_enabled():
            weights = effective_weights(self, x.shape[-1])
        else:
            weights = self.frozen_weights(x.shape[-1])
        return denoise(
            weights, x, biases(self, cond, steps), self.config.s4_dropout if self.training else 0.0
        )

    def frozen_weights(self, length: int, dtype: torch.dtype = torch.float32) -> Weights:
        """Return effective weights for signals of `length`; they are kept until a parameter or buffer changes."""
        return self.kept("weights", (length, dtype), lambda: effective_weights(self, length, dtype=dtype))

    @torch.no_grad()
    def kept(self, what: str, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return make(), which is kept until a parameter or buffer changes or another key is asked for."""
        state = tuple((t.data_ptr(), t._version) for t in (*self.parameters(), *self.buffers()))
        key = (*key, self.cauchy, state)
        if what not in self._cache or self._cache[what][0] != key:
            self._cache.pop(what, None)  # before the new one takes its memory
            self._cache[what] = key, make()
        return cast("T", self._cache[what][1])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": {}}
