"""The circumstances of a recording, for networks that are conditioned on them; and heart rates that are drawn.

The baseline of a recording wanders as the patient breathes and moves, and each electrode has a noise of its own. A
network that is not told of these gives every record about the same wander and noise. Each of the 8 leads has two
numbers, 16 in all:

    wander   log10 of the power below 0.5 Hz
    noise    log10 of the 40 % quantile of |signal between 30 and 47 Hz|: what is left between the QRS complexes

At generation, these numbers are drawn from a kernel density over those of the training records. If they were drawn from
a Gaussian with the same mean and covariance, a classifier could tell generated records by these numbers alone.

If no heart rate is asked for, a network that takes one gets that of a training record whose statements are the same, or
nearly the same. Without a heart rate, the network would have to decide on one in its first, largest steps. In few steps
it decides on more than one, and the beats of a record then come at different distances.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .models.network import Network
from .models.transformer import Transformer
from .noise import Reserved, drawn, integers
from .patient import scaled_bpm
from .signals.recorded import used

WANDER_HZ = 0.5
NOISE_HZ = (30.0, 47.0)
QUANTILE = 0.4
SMALLEST = 1e-9, 2e-4  # what is added before the logarithms: a power, and 0.2 uV in mV
BANDWIDTH = 0.15  # of the kernel density, in standard deviations
NEAR = 0.5  # the same, of the kernel by which rows are chosen that resemble what is known
LIKE = 5.0  # by so much the distance of a row may be above the smallest one (see `draw_heart_rates`)
CHUNK = 1024  # records whose spectra are computed at a time

Floats = NDArray[np.float64]


def measure(signal_mv: NDArray[np.floating], fs_hz: float) -> Floats:
    """Return the circumstances (n, 16) of records (n, 8, L) in mV: wander in all leads, then noise in all leads."""
    parts = [_measure(signal_mv[i : i + CHUNK], fs_hz) for i in range(0, len(signal_mv), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, 2 * signal_mv.shape[1]))


def _measure(signal_mv: NDArray[np.floating], fs_hz: float) -> Floats:
    length = used(signal_mv.shape[-1])
    x = signal_mv[..., :length].astype(np.float64)
    frequency = np.fft.rfftfreq(length, 1 / fs_hz)
    window = np.hanning(length + 1)[:length]
    centred = x - x.mean(axis=-1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * window)) ** 2
    wander = np.log10(power[..., frequency < WANDER_HZ].sum(axis=-1) + SMALLEST[0])
    band = (frequency > NOISE_HZ[0]) & (frequency < NOISE_HZ[1])
    fine = np.abs(np.fft.irfft(np.fft.rfft(x) * band, length))
    noise = np.log10(np.quantile(fine, QUANTILE, axis=-1) + SMALLEST[1])
    return np.concatenate((wander, noise), axis=-1)


def scale_of(values: Floats) -> Floats:
    """Return the mean and standard deviation (2, 16) of the circumstances (n, 16) that a network is trained with."""
    spread = values.std(axis=0)
    return np.stack((values.mean(axis=0), np.where(spread > 0, spread, 1.0)))


def normalised(values: Floats, scale: Floats) -> Floats:
    """Return circumstances (n, 16) less the mean of a scale (2, 16), divided by its standard deviation."""
    scaled: Floats = (values - scale[0]) / scale[1]
    return scaled


def of_recordings(network: Transformer, signal_mv: NDArray[np.floating], fs_hz: float) -> Tensor:
    """Return the circumstances (n, 16) float32 of recordings (n, 8, L) in mV, as this network takes them."""
    assert network.circumstances_scale is not None
    scale = network.circumstances_scale.double().cpu().numpy()
    return torch.from_numpy(normalised(measure(signal_mv, fs_hz), scale)).float()


def table(values: Floats, rows: int) -> Tensor:
    """Return `rows` of the normalised values (n, 16) in float16, evenly from all records; if n is less, they repeat."""
    chosen = np.arange(rows) * len(values) // rows
    return torch.from_numpy(values[chosen].astype(np.float16))


def draw(rows: Tensor, state: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the circumstances (B, 16) of records, from a table (n, 16) and the `origin` (B, 2) of their noise.

    Those of a record are a row of the table plus normal noise, and depend on its own seed and index only. known:
    (B, 16), NaN where a number is to be drawn. Rows that resemble what is known are then more probable, and what is
    known stays as it is.
    """
    jitter = drawn(state, Reserved.JITTER, (1, rows.shape[1]))[:, 0]
    if known is None:
        chosen = integers(state, Reserved.ROW, len(rows))
        return rows[chosen].float() + BANDWIDTH * jitter
    known = known.to(rows.device)
    away = torch.nan_to_num((known[:, None] - rows.float()) / NEAR)  # (B, n, 16)
    chance = torch.softmax(-0.5 * away.double().square().sum(-1), dim=1).cumsum(1)
    at = (integers(state, Reserved.ROW, 2**24).double() + 0.5) / 2**24
    chosen = torch.searchsorted(chance, at[:, None])[:, 0].clamp(max=len(rows) - 1)
    return torch.where(known.isnan(), rows[chosen].float() + BANDWIDTH * jitter, known)


def heart_rate_table(
    labels: NDArray[Any], rates: NDArray[np.float64], rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what heart rates are drawn from, for label vectors (n, K) and rates (n,) per minute, NaN if unknown.

    These are three tensors: the rates (rows,) float16 of the records that `table` takes, 0 where unknown; the bits
    (rows, bytes) uint8 of their label vectors; and the weight (K,) float32 that each statement has when label vectors
    are compared. The weight is 1 plus the difference between the mean rate of the records with the statement and that
    of all records, as a whole number. So no record with tachycardia is like one without.
    """
    known = np.isfinite(rates)
    found, has = rates[known], labels[known]
    count = has.sum(axis=0)
    away = np.abs(found @ has / np.maximum(count, 1) - found.sum() / max(len(found), 1))
    weight = 1 + np.where(count > 0, away, 0.0).round()
    chosen = np.arange(rows) * len(rates) // rows
    bits = np.packbits(labels[chosen].astype(np.uint8), axis=1)
    kept = np.nan_to_num(rates[chosen]).astype(np.float16)
    return torch.from_numpy(kept), torch.from_numpy(bits), torch.from_numpy(weight.astype(np.float32))


def draw_heart_rates(rates: Tensor, bits: Tensor, weight: Tensor, labels: Tensor, state: Tensor) -> Tensor:
    """Return a heart rate per minute (B,) float32 for label vectors (B, K), 0 where it stays unknown.

    rates, bits, weight: see `heart_rate_table`. state: the `origin` (B, 2) of the noise. The rate is that of one of the
    rows whose statements are like those of the label vector. The distance of a row is the sum of the weights of the
    statements that only one of the two has. The rate is drawn among the rows whose distance is at most `LIKE` above the
    smallest. So it depends on the label vector, seed and index of its record only.
    """
    rates, bits, weight, labels = (part.to(state.device) for part in (rates, bits, weight.double(), labels))
    places = torch.arange(7, -1, -1, device=bits.device)
    rows = (bits[..., None] >> places & 1).flatten(1)[:, : labels.shape[1]].double()
    wanted = (labels > 0.5).double()
    away = (wanted @ weight)[:, None] + (rows @ weight) - 2 * (wanted * weight) @ rows.T  # whole numbers
    like = away <= away.amin(1, keepdim=True) + LIKE
    at = integers(state, Reserved.RATE, like.sum(1))
    chosen = torch.searchsorted(like.cumsum(1), at[:, None] + 1)[:, 0]
    return rates[chosen].float()


def takes_circumstances(network: Network) -> TypeGuard[Transformer]:
    """Return whether a network is conditioned on circumstances."""
    return isinstance(network, Transformer) and network.circumstances is not None


def with_circumstances(
    network: Network,
    cond: Tensor,
    state: Tensor,
    measured: Tensor | None = None,
    *,
    rates: bool = False,
) -> Tensor:
    """Add the circumstances of these records to conditions (B, K), if the network takes them.

    state: (B, 2) the `origin` of their noise. measured: (B, 16), NaN where they are unknown; what is unknown is drawn.
    rates: whether unknown heart rates are drawn as well, as for records that do not start from a recording.
    """
    if not takes_circumstances(network):
        return cond
    assert network.circumstances is not None
    found = measured
    if found is None or bool(found.isnan().any()):
        found = draw(network.circumstances.to(state.device), state, found)
    found = found.to(cond.device)
    given = network.full(cond)[:, : -1 - found.shape[1]]
    if rates and network.heart_rates is not None:
        given = _with_heart_rates(network, given, state)
    return torch.cat((given, torch.ones_like(given[:, :1]), found), dim=1)


def _with_heart_rates(network: Transformer, given: Tensor, state: Tensor) -> Tensor:
    """Return conditions (B, K) in which heart rates that were unknown are drawn."""
    assert (
        network.heart_rates is not None
        and network.statements is not None
        and network.statement_weights is not None
    )
    first, end = network.heart_rate_columns.start, network.heart_rate_columns.stop
    labels = given[:, : network.classes - len(network.takes.columns)]
    drawn_rates = draw_heart_rates(
        network.heart_rates, network.statements, network.statement_weights, labels, state
    )
    found = drawn_rates.to(given.device)[:, None]
    columns = torch.cat((torch.ones_like(found), scaled_bpm(found)), dim=1) * (found > 0)
    told = torch.where(given[:, first : first + 1] > 0, given[:, first:end], columns)
    return torch.cat((given[:, :first], told, given[:, end:]), dim=1)
