"""The denoiser of SSSD-ECG (Alcaraz and Strodthoff 2023, sec. 3) as a PyTorch module.

parameters (parameters.py) -> effective weights (weights.py) -> the pure function `denoise` (function.py)

Training computes the effective weights in each step, and sampling once per checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..checks import one_of
from ..config.names import Cauchy
from ..patient import LABELS_ONLY, Takes
from .function import biases, denoise
from .network import Network
from .parameters import Conv, DenoiserConfig, LastConv, ResidualBlock, ResidualGroup, WeightNormConv
from .s4 import CAUCHY
from .weights import Weights, effective_weights


class Denoiser(Network):
    """The network of SSSD-ECG; see `Network`.

    Age, sex and heart rate, if the network takes them, are the last of the K columns (sssd.patient). Where cond leaves
    these columns out, all three are unknown.
    """

    config: DenoiserConfig

    def __init__(
        self,
        config: DenoiserConfig,
        *,
        cauchy: Cauchy = "conjugate_pairs",
        velocity: tuple[Sequence[float], Sequence[float]] | None = None,
        takes: Takes = LABELS_ONLY,
    ) -> None:
        super().__init__(velocity, takes)
        one_of("cauchy", cauchy, CAUCHY)
        self.config, self.cauchy, self.columns = config, cauchy, config.label_embed_classes
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

    @property
    def blocks(self) -> list[ResidualBlock]:
        return cast("list[ResidualBlock]", list(self.residual_layer.residual_blocks))

    @property
    def outer_convs(self) -> tuple[WeightNormConv, WeightNormConv, nn.Conv1d]:
        """The first convolution and the two behind the skip connections; the last one is zero before training."""
        first, behind = cast(Conv, self.init_conv[0]), cast(Conv, self.final_conv["0"])
        return first.conv, behind.conv, cast(LastConv, self.final_conv["2"]).conv

    @property
    def untrained(self) -> bool:
        return not self.outer_convs[2].weight.any()

    def predict(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.forget()
            weights = effective_weights(self, x.shape[-1])
        else:
            weights = self.frozen_weights(x.shape[-1])
        return denoise(
            weights, x, biases(self, cond, steps), self.config.s4_dropout if self.training else 0.0
        )

    def frozen_weights(self, length: int, dtype: torch.dtype = torch.float32) -> Weights:
        """Return effective weights for signals of `length`; they are kept until a parameter or buffer changes."""
        return self.kept("weights", (length, dtype), lambda: effective_weights(self, length, dtype=dtype))
