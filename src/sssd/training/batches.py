"""Training batches as a function of (seed, iteration): what makes a resumed run equal to one never stopped."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LIMIT_MV = 6.0  # beyond it a sample is an electrode artefact
FADE = 8  # samples over which a continued record passes into itself
SPEED = 0.08  # a record is played so much slower or faster at most


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


EXTRA = 290  # samples by which a record is lengthened: 2.9 s, more than any interval between beats
MATCH = 200  # samples that decide where a record goes on in itself
USED = 0.99  # of a record; the rest of PTB-XL's is a resampling artefact


def lengthened(x: Tensor) -> Tensor:
    """Records (n, C, L) that go on for `EXTRA` samples more as they did earlier: (n, C, 0.99 L + EXTRA).

    A record is cut at 0.99 L and continued by itself from the place whose last 2 s resemble the record's last 2 s most,
    so that its rhythm goes on. Records too short for that stay as they are, cut.
    """
    end = int(USED * x.shape[-1])
    if end < 2 * MATCH + EXTRA:
        return x[..., :end]
    ending = x[..., end - MATCH : end]
    ending = ending - ending.mean(-1, keepdim=True)
    likeness = []
    places = range(MATCH, end - EXTRA + 1)
    for k in places:
        window = x[..., k - MATCH : k]
        window = window - window.mean(-1, keepdim=True)
        likeness.append((ending * window).sum((1, 2)) / window.square().sum((1, 2)).sqrt().clamp_min(1e-6))
    place = torch.stack(likeness).argmax(0) + places.start  # (n,)
    index = place[:, None] + torch.arange(-FADE, EXTRA, device=x.device)
    more = x.gather(-1, index[:, None].expand(-1, x.shape[1], -1))
    share = torch.linspace(0, 1, FADE, device=x.device)
    faded = torch.lerp(x[..., end - FADE : end], more[..., :FADE], share)
    return torch.cat((x[..., : end - FADE], faded, more[..., FADE:]), dim=-1)


def augmented(x: Tensor, length: int, random: torch.Generator) -> Tensor:
    """`length` samples of lengthened records (B, C, L'), from any place, 8 % slower to 8 % faster: (B, C, length).

    All of it is scaled by about 8 %. So a record's beats fall anywhere: a network cannot learn places, only rhythms.
    Cubic interpolation (four-point Lagrange) keeps the QRS complex.
    """
    b, c, available = x.shape
    u = torch.rand(2, b, 1, device=x.device, generator=random)
    fastest = min(1 + SPEED, (available - 4) / (length - 1))
    rate = 1 - SPEED + (fastest - 1 + SPEED) * u[0]
    start = 1 + u[1] * (available - 4 - rate * (length - 1)).clamp(min=0)
    position = start + rate * torch.arange(length, device=x.device)  # (B, length)
    left = position.floor()
    f = (position - left)[:, None]
    index = left.long()[:, None].expand(b, c, length)
    points = [x.gather(-1, (index + k).clamp(0, available - 1)) for k in (-1, 0, 1, 2)]
    weights = (
        -f * (f - 1) * (f - 2) / 6,
        (f + 1) * (f - 1) * (f - 2) / 2,
        -(f + 1) * f * (f - 2) / 2,
        (f + 1) * f * (f - 1) / 6,
    )
    moved = sum((w * p for w, p in zip(weights, points, strict=True)), torch.zeros_like(points[0]))
    gain = torch.exp(0.08 * torch.randn(b, 1, 1, device=x.device, generator=random))
    return gain * moved


def hidden(y: Tensor, random: torch.Generator) -> Tensor:
    """Age and sex, the last four columns of y (B, K), each unknown in half of the records."""
    keep = torch.rand(len(y), 2, device=y.device, generator=random) >= 0.5
    return torch.cat((y[:, :-4], y[:, -4:] * keep.repeat_interleave(2, dim=1)), dim=1)


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
