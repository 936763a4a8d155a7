"""The converter of PTB-XL's recorders: 400 samples a second, in steps of 5 uV.

In each of 2,277 records of PTB-XL at 500 Hz, every fifth sample of I and V1 to V6 is a whole number of steps of 5 uV
(but for 2 in 100,000 of I), and so is that of II, as far as aVF in whole uV tells. Of the samples between, only about
half are. So the recorders took 400 samples a second, and the others were interpolated. Where a lead is quiet, it stays
on one step for a while. This is seen at 100 Hz, too: two neighbouring samples are equal twice as often as in a smooth
signal that is rounded to 1 uV. A network makes no steps, only noise as strong as that of the steps, and a simple
classifier recognises its records by this difference.

    record at 100 Hz -> interpolated to 400 Hz -> on steps -> what has changed, filtered to 100 Hz -> added

A record changes by about 1 uV. Since it has the noise of steps already, plain rounding would change levels too often: a
lead that rests between two levels would go back and forth. So a lead stays on its level until it is `HOLD` steps away.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .scale import roll_off

STEP_MV = 0.005
FS_HZ, FASTER = 100.0, 4  # of records, and the converter's rate over it
HOLD = 0.65  # steps
REACH, FILTER_REACH = 16, 32  # samples at 100 Hz to either side that the interpolation and the filter see
BETA = 8.0  # of the Kaiser window of the interpolation


def converted(signal_mv: Tensor) -> Tensor:
    """Return records (B, 8, L) in mV, leads I V1..V6 aVF at 100 Hz, as the converter would have recorded them."""
    if not len(signal_mv):
        return signal_mv
    x = signal_mv.to(torch.float32 if signal_mv.device.type == "mps" else torch.float64)
    recorded = torch.cat((x[:, :-1], x[:, -1:] + x[:, :1] / 2), 1)  # II in place of aVF
    change = _on_steps(recorded / STEP_MV) * STEP_MV
    change[:, -1] -= change[:, 0] / 2
    return (x + change).to(signal_mv.dtype)


def _on_steps(x: Tensor) -> Tensor:
    """Return what changes at 100 Hz when leads x (B, 8, L), in steps, become whole numbers of steps at 400 Hz."""
    between, low_pass = kernels()
    fine = _convolved(x, between).transpose(-1, -2).flatten(-2)
    return _convolved(_levels(fine) - fine, low_pass)[..., 0, ::FASTER]


def _convolved(x: Tensor, kernels: Tensor) -> Tensor:
    """Return what kernels (M, 2 R + 1) give at each sample of x (B, 8, L): (B, 8, M, L). The ends go on as they are."""
    reach, length = kernels.shape[1] // 2, x.shape[-1]
    wide = F.pad(x, (reach, reach), mode="replicate")
    n = wide.shape[-1]
    weights = torch.fft.rfft(kernels, n).conj().to(wide.dtype.to_complex()).to(wide.device)
    return torch.fft.irfft(torch.fft.rfft(wide)[..., None, :] * weights, n)[..., :length]


def _levels(fine: Tensor) -> Tensor:
    """Return the levels, whole numbers, of leads fine (B, 8, L).

    Where only one level is nearer than `HOLD`, the lead is on that one. Elsewhere, it is on the level where that was so
    last, if this is near enough.
    """
    nearest = fine.round()
    decided = (fine - nearest).abs() < 1 - HOLD
    last = torch.where(decided, torch.arange(fine.shape[-1], device=fine.device), 0).cummax(-1).values
    held = nearest.gather(-1, last)
    return torch.where((fine - held).abs() <= HOLD, held, nearest)


@lru_cache(maxsize=1)
def kernels() -> tuple[Tensor, Tensor]:
    """Return the interpolation (4, 33), one row for each sample at 400 Hz, and the filter (1, 257), both float64.

    The first is a windowed sine cardinal. The second is the filter by which PTB-XL's records come to 100 Hz.
    """
    at = np.arange(FASTER)[:, None] / FASTER - np.arange(-REACH, REACH + 1)
    between = np.sinc(at) * np.i0(BETA * np.sqrt(np.maximum(0, 1 - (at / (REACH + 1)) ** 2)))
    between /= between.sum(1, keepdims=True)
    frequency = (np.arange(20000) + 0.5) / 20000 * FASTER * FS_HZ / 2  # the middles of as many intervals
    time = np.arange(-FASTER * FILTER_REACH, FASTER * FILTER_REACH + 1) / (FASTER * FS_HZ)
    low_pass = np.cos(2 * np.pi * time[:, None] * frequency) @ roll_off(frequency)
    return torch.from_numpy(between), torch.from_numpy(low_pass[None] / low_pass.sum())
