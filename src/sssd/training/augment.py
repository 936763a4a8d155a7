"""Augmentation: records are continued, and read from any place, a little slower or faster, smaller or larger.

Shapes: n or B records, C leads, L samples at 100 Hz.
"""

from __future__ import annotations

import torch
from torch import Tensor

USED = 0.99  # the share of a record that is used; the rest of PTB-XL's records is a resampling artefact
EXTRA = 290  # samples that a record is continued for: 2.9 s, longer than any interval between beats
MATCHED = 200  # samples that decide where in itself a record continues
FADE = 8  # samples over which the record passes into its continuation
SPEED = 0.08  # a record is played slower or faster by this share at most
GAIN_STD = 0.08  # standard deviation of the logarithm of the gain


def lengthened(x: Tensor) -> Tensor:
    """Records (n, C, L) continued by a part of themselves: (n, C, 0.99 L + EXTRA).

    A record is cut at 0.99 L. It continues from the place in itself whose last 2 s resemble the record's last 2 s most,
    so that its rhythm goes on. Records too short for that are only cut.
    """
    end = int(USED * x.shape[-1])
    if end < 2 * MATCHED + EXTRA:
        return x[..., :end]
    ending = x[..., end - MATCHED : end]
    ending = ending - ending.mean(-1, keepdim=True)
    likeness = []
    places = range(MATCHED, end - EXTRA + 1)
    for k in places:
        window = x[..., k - MATCHED : k]
        window = window - window.mean(-1, keepdim=True)
        likeness.append((ending * window).sum((1, 2)) / window.square().sum((1, 2)).sqrt().clamp_min(1e-6))
    place = torch.stack(likeness).argmax(0) + places.start  # (n,)
    index = place[:, None] + torch.arange(-FADE, EXTRA, device=x.device)
    more = x.gather(-1, index[:, None].expand(-1, x.shape[1], -1))
    share = torch.linspace(0, 1, FADE, device=x.device)
    faded = torch.lerp(x[..., end - FADE : end], more[..., :FADE], share)
    return torch.cat((x[..., : end - FADE], faded, more[..., FADE:]), dim=-1)


def augmented(x: Tensor, length: int, random: torch.Generator) -> Tensor:
    """`length` samples of lengthened records (B, C, L'): (B, C, length).

    They are read from any place, up to 8 % slower or faster, and scaled by about 8 %. Beats can then be anywhere, so a
    network cannot learn their places, only their rhythm. Cubic interpolation (four-point Lagrange) keeps QRS complexes.
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
    gain = torch.exp(GAIN_STD * torch.randn(b, 1, 1, device=x.device, generator=random))
    return gain * moved
