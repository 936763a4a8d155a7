"""What is seen of whole records beside a network's features: rhythm, beats, and how records of a group differ.

Shapes: B records, C leads, L samples at 100 Hz.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...leads import EIGHT

LAGS = range(20, 200)  # samples: 0.2 to 2 s, where a beat is followed by the next
BEAT = range(-30, 40)  # samples about the steepest of a beat, which is its QRS complex
MOST = 12  # beats of a record that are looked at, the steepest
APART = 25  # samples between beats, at least
LEAST = 0.4  # steepness of a beat, as a share of the steepest one's


def autocorrelation(x: Tensor) -> Tensor:
    """Of each lead at `LAGS`, as a share of that at lag 0: (B, C, L) -> (B, C, n)."""
    x = x - x.mean(-1, keepdim=True)
    power = torch.fft.rfft(x, n=2 * max(x.shape[-1], LAGS.stop)).abs().square()
    r = torch.fft.irfft(power)
    return r[..., LAGS.start : LAGS.stop] / r[..., :1].clamp_min(1e-6)


def beats(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean beat of each record, and how its beats differ from it, root mean square: (B, C, L) -> (B, C, n) each.

    Beats are where the leads together are steepest, 0.25 s apart at least, each lead less its mean: the steepest of
    them, `MOST` at most, that lie whole in the record. Both are in units of the mean beat's root mean square. Gradients
    flow through samples, not through where beats are found.
    """
    with torch.no_grad():
        steep = steepness(x)
        highest = F.max_pool1d(steep[:, None], 2 * APART + 1, stride=1, padding=APART)[:, 0]
        peak = torch.where(steep == highest, steep, 0.0)[:, -BEAT.start : 1 - BEAT.stop]
        height, at = peak.topk(min(MOST, peak.shape[-1]))  # (B, P)
        weight = (height >= LEAST * height[:, :1]).to(x.dtype)
        weight = (weight / weight.sum(1, keepdim=True))[:, None, :, None]
        rows = (at[..., None] + torch.arange(len(BEAT), device=x.device)).flatten(1)
    found = x.gather(-1, rows[:, None].expand(-1, x.shape[1], -1)).unflatten(-1, (at.shape[1], len(BEAT)))
    found = found - found.mean(-1, keepdim=True)  # (B, C, P, n)
    mean = (weight * found).sum(2)
    differ = (weight * (found - mean[:, :, None]).square()).sum(2).add(1e-6).sqrt()
    size = mean.square().mean((1, 2), keepdim=True).add(1e-6).sqrt()
    return mean / size, differ / size


def steepness(x: Tensor) -> Tensor:
    """Root of the leads' squared differences, summed, averaged over 50 ms: (B, C, L) -> (B, L - 1)."""
    power = F.avg_pool1d(x.diff().square().sum(1, keepdim=True), 5, stride=1, padding=2)
    return power[:, 0].add(1e-12).sqrt()


def unlike(true: Tensor, made: Tensor) -> Tensor:
    """How far two batches of as many records are from each other in their `statistics`, (B, 8, L) each: a scalar,
    differentiable in made.

    Each number has a distribution over a batch, and two of them are compared by sorted values against sorted values, in
    units of the true ones' standard deviation, beyond one unit linearly, below it squared: much as a Wasserstein
    distance is (Deshpande et al. 2018, with named directions in place of random ones). The mean over the numbers of
    each kind, and the sum over kinds.
    """
    distance = made.new_zeros(())
    for a, b in zip(statistics(true), statistics(made), strict=True):
        unit = a.std(0, correction=0) + 1e-3
        distance = distance + F.smooth_l1_loss(b.sort(0).values / unit, a.sort(0).values / unit)
    return distance


def statistics(x: Tensor) -> list[Tensor]:
    """Eight kinds of numbers of each record x (B, 8, L), (B, n) each: how its beats differ, sample by sample; the same,
    lead by lead and in all; the mean beat; the place of its P wave; size, slope and curvature of each lead; how steep
    it is how often; autocorrelation of slopes; and of their sum of sizes, which is beat regularity's."""
    mean, differ = beats(x)
    power, height, slope = differ.square().mean(-1), x.std(-1), x.diff()
    steep = steepness(x)
    steep = steep / steep.square().mean(-1, keepdim=True).add(1e-6).sqrt()
    return [
        differ.flatten(1),
        torch.cat((power, power.mean(1, keepdim=True)), 1).sqrt(),
        (mean * height.mean(1)[:, None, None]).flatten(1),
        p_wave(mean),
        torch.cat((height, slope.std(-1), slope.diff().std(-1)), 1).add(1e-3).log(),
        steep.sort(-1).values[:, ::8],
        autocorrelation(slope).mean(1),
        autocorrelation(slope.abs().sum(1, keepdim=True))[:, 0],
    ]


def p_wave(mean: Tensor) -> Tensor:
    """Where the P wave of mean beats (B, 8, n) is, in samples: mean place before QRS, weighted by e to the 5 times the
    height as a share of the highest there. In I / 2 + aVF, which is lead II where leads have one scale, and near it on
    the network's. (B, 1)."""
    lead = (mean[:, EIGHT.index("I")] / 2 + mean[:, EIGHT.index("aVF")])[:, : -BEAT.start - 5]
    lead = lead - lead.amin(1, keepdim=True)
    weight = torch.softmax(5.0 * lead / lead.amax(1, keepdim=True).clamp_min(1e-6), 1)
    return (weight * torch.arange(lead.shape[1], device=mean.device)).sum(1, keepdim=True)


def spread(whole: Tensor, group: int) -> Tensor:
    """Standard deviation of each feature within groups of records, for each of them: (B, W) -> (B, W)."""
    groups = whole.view(-1, group, whole.shape[-1])
    return groups.var(1, keepdim=True, correction=0).add(1e-4).sqrt().expand_as(groups).flatten(0, 1)
