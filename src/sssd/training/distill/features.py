"""Computes features of whole records: rhythm, beats, and how much the records of a group differ.

Shapes: B records, C leads, L samples at 100 Hz.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...leads import EIGHT

LAGS = range(20, 200)  # samples: 0.2 to 2 s, where a beat is followed by the next
BEAT = range(-30, 40)  # samples around the steepest one of a beat, which lies in its QRS complex
MOST_BEATS = 12  # beats of a record that are used; they are the steepest ones
APART = 25  # the least number of samples between two beats
LEAST_STEEP = 0.4  # the least steepness of a beat, as a share of the steepest one's


def autocorrelation(x: Tensor) -> Tensor:
    """Compute the autocorrelation of each lead at `LAGS`, as a share of that at lag 0: (B, C, L) -> (B, C, n)."""
    x = x - x.mean(-1, keepdim=True)
    power = torch.fft.rfft(x, n=2 * max(x.shape[-1], LAGS.stop)).abs().square()
    r = torch.fft.irfft(power)
    return r[..., LAGS.start : LAGS.stop] / r[..., :1].clamp_min(1e-6)


def beats(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return each record's mean beat, and by what root mean square its beats differ from it, (B, C, n) each.

    x is (B, C, L). Beats are found where the leads together are steepest, at least 0.25 s apart. The steepest
    `MOST_BEATS` that lie wholly within the record are used, each lead less its mean. Both results are in units of the
    mean beat's root mean square. Gradients flow through the samples, not through the places of the beats.
    """
    with torch.no_grad():
        steep = steepness(x)
        highest = F.max_pool1d(steep[:, None], 2 * APART + 1, stride=1, padding=APART)[:, 0]
        peak = torch.where(steep == highest, steep, 0.0)[:, -BEAT.start : 1 - BEAT.stop]
        height, at = peak.topk(min(MOST_BEATS, peak.shape[-1]))  # (B, P)
        weight = (height >= LEAST_STEEP * height[:, :1]).to(x.dtype)
        weight = (weight / weight.sum(1, keepdim=True))[:, None, :, None]
        rows = (at[..., None] + torch.arange(len(BEAT), device=x.device)).flatten(1)
    found = x.gather(-1, rows[:, None].expand(-1, x.shape[1], -1)).unflatten(-1, (at.shape[1], len(BEAT)))
    found = found - found.mean(-1, keepdim=True)  # (B, C, P, n)
    mean = (weight * found).sum(2)
    differ = (weight * (found - mean[:, :, None]).square()).sum(2).add(1e-6).sqrt()
    size = mean.square().mean((1, 2), keepdim=True).add(1e-6).sqrt()
    return mean / size, differ / size


def steepness(x: Tensor) -> Tensor:
    """Compute the root of the leads' summed squared differences, averaged over 50 ms: (B, C, L) -> (B, L - 1)."""
    power = F.avg_pool1d(x.diff().square().sum(1, keepdim=True), 5, stride=1, padding=2)
    return power[:, 0].add(1e-12).sqrt()


def feature_distance(true: Tensor, made: Tensor) -> Tensor:
    """Return how far apart the `features` of two batches (B, 8, L) of equally many records are, a scalar.

    It is differentiable in `made`. Each number has a distribution over the batch. Two distributions are compared by
    their sorted values, in units of the true ones' standard deviation, with a squared cost below one unit and a linear
    cost beyond. This resembles a sliced Wasserstein distance (Deshpande et al. 2018), with chosen features in place of
    random directions. The result is the mean over the numbers of each kind, summed over the kinds.
    """
    distance = made.new_zeros(())
    for a, b in zip(features(true), features(made), strict=True):
        unit = a.std(0, correction=0) + 1e-3
        distance = distance + F.smooth_l1_loss(b.sort(0).values / unit, a.sort(0).values / unit)
    return distance


def features(x: Tensor) -> list[Tensor]:
    """Compute eight kinds of numbers for each record of x (B, 8, L), each kind (B, n).

    These are: how its beats differ, sample by sample; the same by lead and overall; the mean beat; its P wave's place;
    size, slope and curvature of each lead; the distribution of steepness; the autocorrelation of slopes; and that of
    the sum of their sizes, which measures how regularly beats come.
    """
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
    """Find the place of the P wave in mean beats (B, 8, n), in samples: (B, 1).

    It is the mean place before the QRS complex in lead I / 2 + aVF, weighted by exp(5 h), where h is the height as a
    share of the highest there. That lead is II where all leads have one scale, and close to it on the network's scale.
    """
    lead = (mean[:, EIGHT.index("I")] / 2 + mean[:, EIGHT.index("aVF")])[:, : -BEAT.start - 5]
    lead = lead - lead.amin(1, keepdim=True)
    weight = torch.softmax(5.0 * lead / lead.amax(1, keepdim=True).clamp_min(1e-6), 1)
    return (weight * torch.arange(lead.shape[1], device=mean.device)).sum(1, keepdim=True)


def group_spread(whole: Tensor, group: int) -> Tensor:
    """Compute each feature's standard deviation within groups of records, repeated for each: (B, W) -> (B, W)."""
    groups = whole.view(-1, group, whole.shape[-1])
    return groups.var(1, keepdim=True, correction=0).add(1e-4).sqrt().expand_as(groups).flatten(0, 1)
