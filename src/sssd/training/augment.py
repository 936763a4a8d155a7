"""Augmentation continues records and reads them from any place, a little slower or faster, smaller or larger.

Shapes: n or B records, C leads, L samples at 100 Hz.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..scale import cosine_filter
from ..signals.recorded import FADE, used, wander

FS_HZ = 100.0  # of the records
EXTRA = 290  # samples that a record is continued for: 2.9 s, longer than any interval between beats
MATCHED = 200  # samples that decide where in itself a record continues
SPEED = 0.08  # a record is played slower or faster by this share at most
GAIN_STD = 0.08  # standard deviation of the logarithm of the gain
EXCHANGED = 0.5  # share of records that get the baseline wander of another one


def lengthened(x: Tensor) -> Tensor:
    """Continue records (n, C, L) by a part of themselves, and return (n, C, 0.99 L + EXTRA).

    A record is cut at 0.99 L. It continues from the place in itself whose last 2 s resemble the record's last 2 s most,
    so that its rhythm goes on. Records too short for that are only cut.
    """
    end = used(x.shape[-1])
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


def augmented(x: Tensor, length: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Read `length` samples of each lengthened record (B, C, L'); return (B, C, length) and how fast each is read (B,).

    Records are read from any place, up to 8 % slower or faster, and scaled by about 8 %. Beats can be anywhere then, so
    a network cannot learn their places, only their rhythm. Cubic interpolation (four-point Lagrange) keeps QRS
    complexes.
    """
    b, available = len(x), x.shape[-1]
    u = torch.rand(2, b, 1, device=x.device, generator=random)
    rate, start = _rate_and_start(u, available, length)
    moved = _played(x, rate, start, length)
    gain = torch.exp(GAIN_STD * torch.randn(b, 1, 1, device=x.device, generator=random))
    return gain * moved, rate[:, 0]


def augmented_under_noise(
    x: Tensor, length: int, hidden: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Augment records where noise hides what that breaks, and only shift the others.

    Interpolation breaks the band limit of recordings, and a continued record is not the recording. Under little noise a
    network would learn both. So where `hidden` (B,) is false, half of the records are read from their start, and the
    others from up to a tenth of their length later, by whole samples. What is read gets the mean of the recording: a
    recorder's filter takes the mean of 10 s out, and not that of parts. Returns records (B, C, length), a mask
    (B, 1, length) that is 0 where such a record is past what was recorded and 1 elsewhere, and how fast each record is
    read (B,).
    """
    b, available = len(x), x.shape[-1]
    u = torch.rand(2, b, 1, device=x.device, generator=random)
    rate, start = _rate_and_start(u, available, length)
    shift = torch.where(u[0] < 0.5, 0.0, (u[1] * (length // 10 + 1)).floor())
    hidden = hidden[:, None]
    rate, start = torch.where(hidden, rate, 1.0), torch.where(hidden, start, shift)
    gain = torch.exp(GAIN_STD * torch.randn(b, 1, 1, device=x.device, generator=random))
    moved = _played(x, rate, start, length)
    count = used(length)
    moved = moved + (x[..., :count].mean(-1) - moved[..., :count].mean(-1))[..., None]
    moved = torch.where(hidden[..., None], gain, 1.0) * moved
    position = start + torch.arange(length, device=x.device)
    return moved, (hidden | (position < used(length)))[:, None].float(), rate[:, 0]


def with_exchanged_wander(x: Tensor, allowed: Tensor, random: torch.Generator) -> Tensor:
    """Give some of the records x (B, C, L) the baseline wander of another: all that is below 0.5 Hz.

    allowed (B,): which records may give theirs and take another's. Wander comes from breathing and electrodes, hardly
    from the heart, so any two records may be combined, and a network cannot know a record by it.
    """
    b = len(x)
    other = torch.randperm(b, device=x.device, generator=random)
    chosen = torch.rand(b, device=x.device, generator=random) < EXCHANGED
    chosen = chosen & allowed & allowed[other]
    giver = torch.where(chosen, other, torch.arange(b, device=x.device))
    return x + (x[giver] - x) @ _wander(x.shape[-1], x.device)


@lru_cache(maxsize=2)
def _wander(length: int, device: torch.device) -> Tensor:
    """Return a symmetric matrix (length, length) that keeps what is below 0.5 Hz, kept on the device."""
    return cosine_filter(wander(length, FS_HZ)).to(device, torch.float32)


def _rate_and_start(u: Tensor, available: int, length: int) -> tuple[Tensor, Tensor]:
    """Return how fast and from where to read, each (B, 1), for uniform u (2, B, 1)."""
    fastest = min(1 + SPEED, (available - 4) / (length - 1))
    rate = 1 - SPEED + (fastest - 1 + SPEED) * u[0]
    return rate, 1 + u[1] * (available - 4 - rate * (length - 1)).clamp(min=0)


def _played(x: Tensor, rate: Tensor, start: Tensor, length: int) -> Tensor:
    """Interpolate x (B, C, L') at start + rate i, i < length (four-point Lagrange), and return (B, C, length)."""
    b, c, available = x.shape
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
    return sum((w * p for w, p in zip(weights, points, strict=True)), torch.zeros_like(points[0]))
