"""A network bound to its labels and time steps: nothing is left to compute per step but what depends on x."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..models.denoiser import Biases, Denoiser, biases, denoise


@torch.no_grad()
def bind(
    net: Denoiser, cond: Tensor, steps: Sequence[int], *, length: int, dtype: torch.dtype = torch.float32
) -> Callable[[Tensor, int], Tensor]:
    """The raw prediction (eps or v) as a function of x (B, 8, length) and the row i of `steps`.

    cond (B, K). S4 kernels, folded weights, the embeddings of all steps and the label projections are computed here,
    once; matrix products run in `dtype`, convolutions and norms in float32.
    """
    weights = net.frozen_weights(length, dtype)
    table = torch.tensor(list(steps), device=cond.device, dtype=torch.float32)[:, None]
    step, label = biases(net, cond, table)  # (layers, C, S), (layers, 2 C, B)

    def predict(x: Tensor, i: int) -> Tensor:
        with torch.no_grad():
            return denoise(weights, x, Biases(step[..., i : i + 1], label))

    return predict
