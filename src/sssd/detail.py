"""Records at 500 Hz: what a record at 100 Hz leaves out is added by a second, small denoiser.

    record at 100 Hz (B, 8, L) -> what it says of its detail -> noise -> loop(denoiser) -> detail (B, 8, 5 L), added

The detail is what the leads have above 46.5 Hz: the sharp parts of QRS complexes, and the fine noise of electrodes and
amplifiers. How strong that noise is in each lead and band differs by more than a decade from recording to recording. So
the levels are drawn first, from those of recordings that are alike at 100 Hz, and the rest is drawn under them.

The network works on a scale (`DetailScale`) on which noise of these levels is white and equally strong everywhere. On
this scale noise comes out right even before training, so the network only learns how the detail follows from the
record. The record at 100 Hz stays what it was: the detail only adds what is lost at 100 Hz (sssd.signals.rates).

B records, L samples at 100 Hz, N = 5 L samples at 500 Hz. All signals are in mV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .models.detail import FACTOR, WINDOW, DetailNetwork, detail_schedule
from .models.precision import float32_products
from .models.settings import float32_modules, isolated
from .models.transformer import DATA_STD, LEADS
from .noise import Reserved, integers, normal, origin
from .samplers import dpmpp_2m, run, v_denoiser
from .schedule import choose_steps
from .signals.rates import COARSE_HZ, FINE_HZ, agreeing, band, interpolated

CUT_HZ = 46.5  # where the detail begins
KNOWN_HZ = 30.0, 45.0  # the band at 100 Hz whose level goes with those of the detail
LAST_HZ, BEFORE_HZ = 45.5, (40.0, 44.0)
LAST = 0.25  # the largest ratio of the amplitudes of these bands in recordings, but for one in a hundred
BANDS_HZ = (CUT_HZ, 55.0, 75.0, 100.0, 150.0, 250.0)  # of the detail's levels
QUANTILE, NORMAL = 0.4, 0.5244  # of |x|, and what it is for normal x of unit variance
SMALLEST_MV = 1e-4  # is added to levels
SHARP_HZ = 35.0, 46.5  # the band at 100 Hz that says where QRS complexes are, and how sharp
WIDE_HZ = 8.0, 47.0  # the band that shows the shape of QRS complexes
SMOOTHED_S = 0.016  # standard deviation of the Gaussian that smooths its power
# The amplitude in mV that the detail has in QRS complexes, as a power of that of this band: factor, exponent. They were
# fitted to the logarithms of both in recordings of PTB-XL, whose residual has a standard deviation of 0.44.
SHARP = 0.22, 0.57
EVALUATIONS = 5  # of the network
NEAR = 0.5  # standard deviations within which the levels of recordings are alike
LOWEST, CLOSEST_S = 0.25, 0.25  # of what is a beat: height, over the highest, and seconds between two
STEEPEST_S = 0.06  # from there to where it is steepest
COMMON_S = 0.2  # to either side of beats, which have noise in common there

Floats = NDArray[np.float64]


def network_for(fs: Any, model_hz: float, device: torch.device) -> DetailNetwork | None:
    """Return the network that brings records of a model to `fs` Hz; None if they have this rate, or `fs` is None.

    ValueError for a rate other than that of the model and 500 Hz, or a model that does not make records at 100 Hz.
    """
    if fs is None or fs == model_hz:
        return None
    if fs != FINE_HZ or model_hz != COARSE_HZ:
        possible = f"{model_hz:g}" + (f" or {FINE_HZ:g}" if model_hz == COARSE_HZ else "")
        given = f"{fs:g}" if isinstance(fs, (int, float)) else repr(fs)
        raise ValueError(f"fs is {given}: this model makes records at {possible} Hz")
    return trained(device)


@cache
def trained(device: torch.device) -> DetailNetwork:
    """Return the network with the weights that ship, on a device."""
    content = resources.files("sssd").joinpath("weights/detail.safetensors").read_bytes()
    with isolated(), float32_modules():
        return DetailNetwork.read(content).to(device)


@isolated()
@float32_products("highest")
@torch.no_grad()
def at_500_hz(
    network: DetailNetwork,
    coarse: NDArray[np.floating],
    seeds: Sequence[int],
    index: Sequence[int],
) -> NDArray[np.float32]:
    """Return records (B, 8, 5 L) at 500 Hz that become the given records (B, 8, L) when they are brought to 100 Hz.

    Only what `plausible` takes out of the given records is missing then.

    seeds, index: (B,) as those of the records; each record's detail depends on its own and on the record only.
    """
    made = np.empty((*coarse.shape[:-1], FACTOR * coarse.shape[-1]), np.float32)
    for out, one, seed, i in zip(made, coarse, seeds, index, strict=True):
        out[:] = _detailed(network, plausible(one[None].astype(np.float64)), seed, i)[0]
    return made


def plausible(coarse: Floats) -> Floats:
    """Return records (B, 8, L) at 100 Hz that have no more above 45.5 Hz than the filter of recordings leaves there.

    Networks whose records are not emphasised (sssd.scale) make more, and undoing the filter would raise it to a hum.
    """
    last = band(coarse, LAST_HZ, COARSE_HZ, COARSE_HZ)
    most = LAST * band(coarse, *BEFORE_HZ, COARSE_HZ).std(axis=-1, keepdims=True)
    kept = np.minimum(1, most / np.maximum(last.std(axis=-1, keepdims=True), 1e-12))
    return coarse - (1 - kept) * last


def _detailed(network: DetailNetwork, coarse: Floats, seed: int, index: int) -> Floats:
    """Return one record (1, 8, N) at 500 Hz of one (1, 8, L) at 100 Hz."""
    device, known = network.leads.device, known_of(coarse)
    ratios = drawn_ratios(network, known.level, seed, index)
    scale = DetailScale.of(known, ratios, network.leads.float())
    beats = beats_of(known)
    noise = _noise(scale.gain[0].cpu().numpy(), beats, seed, index)
    x = DATA_STD * noise
    starts, rows = _windows(beats, coarse.shape[-1])
    if len(starts):
        levels = np.repeat(columns(known.level, ratios), len(starts), axis=0)
        shape = _cut(shape_of(known, ratios)[0], starts, 1)
        given = network.given(*(torch.from_numpy(part).float().to(device) for part in (levels, shape)))
        made = _sampled(network, torch.from_numpy(_cut(noise, starts, FACTOR)).to(device), given)
        for one, start, row in zip(made.cpu().numpy(), starts, rows, strict=True):
            x[:, row] = one[:, row.start - FACTOR * start : row.stop - FACTOR * start]
    detail = scale.to_mv(torch.from_numpy(x).to(device)[None]).double().cpu().numpy()
    return agreeing(band(detail, CUT_HZ, FINE_HZ, FINE_HZ), coarse)


def _sampled(network: DetailNetwork, noise: Tensor, given: Tensor) -> Tensor:
    """Return the detail (B, 8, N) of windows on the network's scale, from their noise (B, 8, N) and what is given."""
    schedule = detail_schedule()
    table = dpmpp_2m(schedule, choose_steps(schedule, EVALUATIONS, "trailing"))
    denoise = v_denoiser(table, lambda x, t: network(x, given, x.new_full((1, 1), t)))
    return run(table, denoise, noise, lambda _: noise)


def beats_of(known: Known) -> NDArray[np.int64]:
    """Return the samples (n,) at which the sharp QRS complexes of a record are steepest.

    There the detail of recordings has a correlation of 0.85 from beat to beat; at the maxima of `sharp` it has 0.2.
    """
    from scipy.signal import find_peaks

    strength = np.sqrt((known.sharp[0] ** 2).sum(axis=0))
    found, _ = find_peaks(strength, height=LOWEST * strength.max(), distance=round(CLOSEST_S * FINE_HZ))
    steepness = (np.gradient(known.base[0], axis=-1) ** 2).sum(axis=0)
    near = round(STEEPEST_S * FINE_HZ)
    beats = [max(at - near, 0) + int(steepness[max(at - near, 0) : at + near].argmax()) for at in found]
    return np.unique(np.array(beats, np.int64))


def _windows(beats: NDArray[np.int64], length: int) -> tuple[list[int], list[slice]]:
    """Return where windows about beats begin, in samples at 100 Hz of `length`, and the samples that are theirs.

    A window gives way to the next in the middle between two beats.
    """
    starts = [int(np.clip(beat // FACTOR - WINDOW // 2, 0, max(length - WINDOW, 0))) for beat in beats]
    middles = [0, *((beats[1:] + beats[:-1]) // 2).tolist(), FACTOR * length]
    rows = [
        slice(max(middles[i], FACTOR * start), min(middles[i + 1], FACTOR * min(start + WINDOW, length)))
        for i, start in enumerate(starts)
    ]
    return starts, rows


def _cut(signal: NDArray[Any], starts: Sequence[int], factor: int) -> NDArray[Any]:
    """Return the windows (n, C, WINDOW factor) of a signal (C, L factor)."""
    return np.stack([signal[:, factor * start : factor * (start + WINDOW)] for start in starts])


def drawn_ratios(network: DetailNetwork, level: Floats, seed: int, index: int) -> Floats:
    """Draw the levels of a record's detail over its `level` (1, 8): (1, 8, 5), those of a recording that is alike."""
    rows, mean, std = (part.double().cpu().numpy() for part in (network.rows, network.mean, network.std))
    away = (rows[:, :LEADS] - (level - mean[:LEADS]) / std[:LEADS]) / NEAR
    distance = 0.5 * (away**2).sum(axis=1)
    chance = np.exp(distance.min() - distance).cumsum()
    at = (int(integers(origin(seed, [index]), Reserved.LEVEL, 2**24)) + 0.5) / 2**24
    row = rows[np.searchsorted(chance, at * chance[-1])]
    ratios: Floats = (row * std + mean)[LEADS:].reshape(1, LEADS, -1)
    return ratios


def _noise(gain: NDArray[np.float32], beats: NDArray[np.int64], seed: int, index: int) -> NDArray[np.float32]:
    """Return the noise (8, N) from which the detail of a record is made, whose `gain` is (8, N).

    The detail of a recording has the variance 1 of noise, which is new in every beat, and gain^2 - 1 of the QRS
    complex, which is the same in beats of one shape. So beats have the share 1 - 1 / gain^2 of this in common.
    """
    length, half = gain.shape[-1], round(COMMON_S * FINE_HZ)
    own = normal(seed, [index], Reserved.OWN, (length, LEADS))[0].T.numpy()
    common = normal(seed, [index], Reserved.COMMON, (2 * half + 1, LEADS))[0].T.numpy()
    if len(beats) == 0:
        return own
    time = np.arange(length)
    nearest = beats[np.searchsorted((beats[1:] + beats[:-1]) // 2, time, side="right")]
    offset = time - nearest
    share = np.where(np.abs(offset) <= half, 1 - 1 / gain**2, 0)
    shared = common[:, np.clip(offset, -half, half) + half]
    return (np.sqrt(1 - share) * own + np.sqrt(share) * shared).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Known:
    """What records at 100 Hz (B, 8, L) say of their detail.

    coarse: the records. base: (B, 8, N) the same at 500 Hz, without detail. level: (B, 8) log10 of their fine noise in
    mV. fine: (B, 8, N) their band `SHARP_HZ`. sharp: (B, 8, N) the amplitude that the detail has in QRS complexes.
    """

    coarse: Floats
    base: Floats
    level: Floats
    fine: Floats
    sharp: Floats


def known_of(coarse: Floats) -> Known:
    """Return what records (B, 8, L) at 100 Hz say of their detail."""
    from scipy.ndimage import gaussian_filter1d  # here, because importing it takes long

    base = interpolated(coarse)
    fine = band(base, *SHARP_HZ, FINE_HZ)
    envelope = np.sqrt(gaussian_filter1d(fine**2, SMOOTHED_S * FINE_HZ, mode="nearest"))
    rest = np.median(envelope, axis=-1, keepdims=True)
    sharp = SHARP[0] * np.maximum(envelope - 2 * rest, 0) ** SHARP[1]
    return Known(coarse, base, _level(band(base, *KNOWN_HZ, FINE_HZ)), fine, sharp)


def ratios_of(fine: Floats, level: Floats) -> Floats:
    """Return log10 of the noise levels of recordings (B, 8, N) in `BANDS_HZ`, over `level` (B, 8): (B, 8, 5)."""
    edges = zip(BANDS_HZ, BANDS_HZ[1:], strict=False)
    levels = np.stack([_level(band(fine, *limits, FINE_HZ)) for limits in edges], axis=-1)
    return levels - level[..., None]


def _level(signal: Floats) -> Floats:
    """Return log10 of the standard deviation of noise (..., N) between QRS complexes, which a quantile leaves out."""
    found: Floats = np.log10(np.quantile(np.abs(signal), QUANTILE, axis=-1) / NORMAL + SMALLEST_MV)
    return found


def columns(level: Floats, ratios: Floats) -> Floats:
    """Return the levels (B, 48) of records as the network takes them, before it normalises them."""
    return np.concatenate((level, ratios.reshape(len(ratios), -1)), axis=1)


@dataclass(frozen=True, eq=False)
class DetailScale:
    """Says what the network's numbers are in mV.

    gain: (B, 8, N) how much stronger the detail is than noise. amplitude: (B, 8, N // 2 + 1) the filter that gives
    white noise of unit variance the levels of the record. leads: (8, 8) lower triangular, the root of the correlation
    of noise in the leads.
    """

    gain: Tensor
    amplitude: Tensor
    leads: Tensor

    @classmethod
    def of(cls, known: Known, ratios: Floats, leads: Tensor) -> DetailScale:
        """Return the scale of records under the levels `ratios` (B, 8, 5), on the device of `leads`."""
        gain = torch.from_numpy(gain_of(known, ratios).astype(np.float32))
        levels = torch.from_numpy(ratios + known.level[..., None])
        return cls(gain.to(leads.device), amplitudes(levels, gain.shape[-1]).float().to(leads.device), leads)

    def to_network(self, detail: Tensor) -> Tensor:
        """Bring detail (B, 8, N) from mV to the network's scale."""
        white = _filtered(detail / self.gain, 1 / self.amplitude)
        return DATA_STD * torch.linalg.solve_triangular(self.leads, white, upper=False)

    def to_mv(self, x: Tensor) -> Tensor:
        """Bring detail (B, 8, N) from the network's scale to mV."""
        return self.gain * _filtered(self.leads @ x / DATA_STD, self.amplitude)


def noise_of(level: Floats, ratios: Floats) -> Floats:
    """Return the standard deviation (B, 8, 1) in mV of noise with these levels."""
    power = 10 ** (2 * (ratios + level[..., None]))
    return np.sqrt(power.sum(axis=-1, keepdims=True))


def gain_of(known: Known, ratios: Floats) -> Floats:
    """Return how much stronger than noise of these levels the detail is, (B, 8, N); 1 between QRS complexes."""
    return np.sqrt(1 + (known.sharp / noise_of(known.level, ratios)) ** 2)


def amplitudes(levels: Tensor, length: int) -> Tensor:
    """Return the filter (B, 8, N // 2 + 1) of noise with levels (B, 8, 5), in lines between the bands' middles."""
    edges = torch.tensor(BANDS_HZ, dtype=levels.dtype, device=levels.device)
    density = levels - 0.5 * torch.log10((edges[1:] - edges[:-1]) / (FINE_HZ / 2))  # over white noise
    middles = (edges[1:] + edges[:-1]) / 2
    frequency = torch.linspace(0, FINE_HZ / 2, length // 2 + 1, dtype=levels.dtype, device=levels.device)
    frequency = frequency.clamp(middles[0], middles[-1])
    below = (torch.bucketize(frequency, middles, right=True) - 1).clamp(0, len(middles) - 2)
    share = (frequency - middles[below]) / (middles[below + 1] - middles[below])
    return 10 ** (density[..., below] * (1 - share) + density[..., below + 1] * share)


def _filtered(x: Tensor, factors: Tensor) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(x) * factors, x.shape[-1])


def shape_of(known: Known, ratios: Floats) -> Floats:
    """Return what the network reads of a record beside its levels: (B, 32, L) at 100 Hz, four rows for each lead.

    The lead less its median, in mV; its bands `WIDE_HZ` and `SHARP_HZ` over the amplitude that the detail has there;
    and the logarithm of how much stronger that is than noise.
    """
    noise, gain = noise_of(known.level, ratios), gain_of(known, ratios)[..., ::FACTOR]
    coarse = known.coarse - np.median(known.coarse, axis=-1, keepdims=True)
    wide = band(known.base, *WIDE_HZ, FINE_HZ)[..., ::FACTOR]
    fine = known.fine[..., ::FACTOR]
    rows = np.stack((coarse, 0.2 * wide / (gain * noise), fine / (gain * noise), np.log(gain)), axis=2)
    return rows.reshape(len(rows), -1, rows.shape[-1])
