"""Computes the validation loss, always at the same noise levels and with the same noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loss import NoiseLevels, denoising_loss
from .batches import generator
from .ema import WeightAverage

DRAWS = 4  # noise levels and noises for each record


@torch.no_grad()
def validation_loss(
    model: nn.Module,
    average: WeightAverage,
    x: Tensor,
    y: Tensor,
    levels: NoiseLevels,
    *,
    seed: int,
    batch_size: int,
) -> float | None:
    """Return the mean loss of records x (n, 8, L) with label columns y (n, K), or None without records."""
    if not len(x):
        return None
    total = 0.0
    model.eval()
    with average.in_network():
        for draw in range(DRAWS):
            random = generator(seed, draw, 2, x.device)
            t = torch.randint(len(levels.alpha), (len(x),), device=x.device, generator=random)
            for i in range(0, len(x), batch_size):
                part = slice(i, i + batch_size)
                z = torch.randn(x[part].shape, device=x.device, generator=random)
                total += float(denoising_loss(model, x[part], y[part], t[part], z, levels)) * len(z)
    model.train()
    return total / (DRAWS * len(x))
