"""Training batches as a function of (seed, iteration): what makes a resumed run equal to one never stopped."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LIMIT_MV = 6.0  # beyond it a sample is an electrode artefact


def seed_of(seed: int, iteration: int, stream: int) -> int:
    """A seed of its own for each iteration and purpose."""
    key = np.random.SeedSequence((seed, iteration, stream)).generate_state(2, np.uint32)
    return int(key[0]) << 31 ^ int(key[1])


def generator(seed: int, iteration: int, stream: int, device: torch.device) -> torch.Generator:
    """A generator on that seed."""
    return torch.Generator(device).manual_seed(seed_of(seed, iteration, stream))


def chosen_records(records: int, batch: int, seed: int, iteration: int) -> Tensor:
    """The records of one batch, (batch,) int64 on the CPU: each epoch is a new shuffle of all of them."""
    cpu = torch.device("cpu")
    position = iteration * batch + torch.arange(batch)
    chosen = torch.empty(batch, dtype=torch.long)
    for epoch in range(int(position[0]) // records, int(position[-1]) // records + 1):
        order = torch.randperm(records, generator=generator(seed, epoch, 0, cpu))
        inside = position // records == epoch
        chosen[inside] = order[position[inside] % records]
    return chosen


def augmented(x: Tensor, random: torch.Generator) -> Tensor:
    """Half of the records (B, C, L) slowed by 1 to 8 % and moved in time, all of them scaled by about 8 %.

    Both stay within what one heart does; the last 1 % of PTB-XL's records is a resampling artefact and is left out
    where a record is moved. Cubic interpolation (four-point Lagrange) keeps the QRS complex.
    """
    b, c, length = x.shape
    u = torch.rand(3, b, 1, device=x.device, generator=random)
    rate = 0.92 + 0.07 * u[0]
    start = 1 + u[1] * (0.99 * length - 4 - rate * (length - 1)).clamp(min=0)
    moved = u[2] < 0.5
    position = start + rate * torch.arange(length, device=x.device)  # (B, L)
    left = position.floor()
    f = (position - left)[:, None]
    index = left.long()[:, None].expand(b, c, length)
    points = [x.gather(-1, (index + k).clamp(0, length - 1)) for k in (-1, 0, 1, 2)]
    weights = (
        -f * (f - 1) * (f - 2) / 6,
        (f + 1) * (f - 1) * (f - 2) / 2,
        -(f + 1) * f * (f - 2) / 2,
        (f + 1) * f * (f - 1) / 6,
    )
    slowed = sum((w * p for w, p in zip(weights, points, strict=True)), torch.zeros_like(x))
    gain = torch.exp(0.08 * torch.randn(b, 1, 1, device=x.device, generator=random))
    return gain * torch.where(moved[..., None], slowed, x)


def to_model_scale(signal_mv: np.ndarray, lead_scale_mv: list[float] | None) -> np.ndarray:
    """(n, 8, L) in mV -> what the network works on: clipped at electrode artefacts, each lead over its scale."""
    x = np.clip(signal_mv, -LIMIT_MV, LIMIT_MV)
    if lead_scale_mv is not None:
        x = x / np.asarray(lead_scale_mv, dtype=np.float32)[:, None]
    return x.astype(np.float32)


def learning_rate_factor(iteration: int, warmup: int, total: int, decay: bool) -> float:
    """Linear warm-up, then constant, or with `decay` half a cosine down to zero."""
    factor = min(1.0, (iteration + 1) / warmup) if warmup else 1.0
    if decay:
        factor *= 0.5 * (1 + math.cos(math.pi * min(1.0, iteration / total)))
    return factor
