"""The circumstances of a recording, for networks that are conditioned on them; and heart rates that are drawn.

The baseline of a recording wanders as the patient breathes and moves, and each electrode has a noise of its own. A
network that is not told of these gives every record about the same wander and noise. Each of the 8 leads has two
numbers, 16 in all. Networks with `edge` are told a third, and those with `slow` a fourth, 32 in all:

    wander   log10 of the power below 0.5 Hz
    noise    log10 of the 40 % quantile of |signal between 30 and 47 Hz|: what is left between the QRS complexes
    edge     log10 of the power above 48 Hz
    slow     log10 of the power from 0.5 to 1 Hz, where wander ends and the heart begins

The edge tells apart two ways in which recordings came to 100 Hz. PTB-XL's own files have next to nothing there, and
those that were resampled from its files at 500 Hz have 30 times as much.

At generation, a record gets the circumstances of a recording, plus normal noise: they are drawn from a kernel density.
If they were drawn from a Gaussian with the same mean and covariance, a classifier could tell generated records by these
numbers alone. It is a recording whose statements are like those of the record, since part of what is measured as noise
comes from the heart: a slurred QRS complex has less power between 30 and 47 Hz, and a fast heart has more. Where a
network was told of CLBBB and the noise of another heart, its QRS complexes were too narrow.

If no heart rate is asked for, a network that takes one gets that of the same recording. Without a heart rate, the
network would have to decide on one in its first, largest steps. In few steps it decides on more than one, and the beats
of a record then come at different distances. A network that takes the variability of the RR interval as well gets that
of the same recording, too; it is unknown where a heart rate is asked for.

Finished records of networks with `slow` are brought to what the network was told (`as_told`).
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .leads import EIGHT
from .models.network import Network
from .models.transformer import Transformer
from .noise import Reserved, drawn, integers
from .patient import scaled_bpm, unscaled_bpm
from .signals.recorded import used

WANDER_HZ = 0.5
SLOW_HZ = 1.0
EDGE_HZ = 48.0
FILTERED = 1.26  # mean wander of the leads; devices that take the baseline out leave less
NOISE_HZ = (30.0, 47.0)
KINDS = ("wander", "noise", "edge", "slow")
QUANTILE = 0.4
SMALLEST = 1e-9, 2e-4  # what is added before the logarithms: a power, and 0.2 uV in mV
BANDWIDTH = 0.15  # of the kernel density, in standard deviations
NEAR = 0.5  # the same, of the kernel by which rows are chosen that resemble what is known
LIKE = 5.0  # by so much the distance of a row may be above the smallest one (see `rows_like`)
NEAREST = 64  # and so many rows may be drawn in any case, also for statements that hardly any recording has
NOISE_WEIGHT = 20.0  # of one standard deviation of noise, beside one beat per minute
RIDGE = 10.0  # penalty of the regression of circumstances on statements, in recordings
UNKNOWN = 100.0  # beats per minute: how far a row with an unknown heart rate is from one that is asked for
CHUNK = 1024  # records whose spectra are computed at a time
BANDS_HZ = {  # of `as_told`: where a band begins, is whole, is whole no more, and ends
    "slow": (0.45, 0.55, 0.95, 1.05),
    "noise": (26.0, 32.0, 46.0, 48.0),
    "edge": (46.0, 48.0, 99.0, 100.0),  # it ends above all frequencies of records at 100 Hz
}
ROUNDS = 2  # of `as_told`, since each band leaks into its neighbours
MOST = 1.0  # decades of amplitude that a round of `as_told` adds at most

Floats = NDArray[np.float64]


def measure(signal_mv: NDArray[np.floating], fs_hz: float) -> Floats:
    """Return the circumstances (n, 32) of records (n, 8, L) in mV: the wander of all leads, then noise, edge, slow."""
    parts = [
        _measured(torch.from_numpy(signal_mv[i : i + CHUNK].astype(np.float64)), fs_hz).numpy()
        for i in range(0, len(signal_mv), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 4 * signal_mv.shape[1]))


def _measured(signal_mv: Tensor, fs_hz: float) -> Tensor:
    """Return what `measure` does of records (n, 8, L) float64 on any device, (n, 32)."""
    x = signal_mv[..., : used(signal_mv.shape[-1])]
    length = x.shape[-1]
    frequency = torch.fft.rfftfreq(length, 1 / fs_hz, device=x.device)
    power = _powers(x)
    edge = torch.log10(power[..., frequency >= EDGE_HZ].sum(-1) + SMALLEST[0])
    band = (frequency > NOISE_HZ[0]) & (frequency < NOISE_HZ[1])
    fine = torch.fft.irfft(torch.fft.rfft(x) * band, length).abs()
    # in parts, since `quantile` takes 2**24 numbers at most
    quantile = torch.cat([part.quantile(QUANTILE, dim=-1) for part in fine.split(CHUNK)])
    noise = torch.log10(quantile + SMALLEST[1])
    wander, slow = _slow_parts(power, length, fs_hz)
    return torch.cat((wander, noise, edge, slow), -1)


def slow_parts(signal_mv: Tensor, fs_hz: float) -> Tensor:
    """Return the wander of records (n, 8, L) in mV and what is slow, (2, n, 8), from all their samples."""
    return _slow_parts(_powers(signal_mv), signal_mv.shape[-1], fs_hz)


def _powers(x: Tensor) -> Tensor:
    """Return the powers of the Fourier coefficients of leads x (..., L) less their means, under Hann's window."""
    window = torch.hann_window(x.shape[-1], dtype=x.dtype, device=x.device)
    return torch.fft.rfft((x - x.mean(-1, keepdim=True)) * window).abs().square()


def _slow_parts(power: Tensor, length: int, fs_hz: float) -> Tensor:
    middle, end = (int(np.ceil(limit * length / fs_hz)) for limit in (WANDER_HZ, SLOW_HZ))  # coefficients
    parts = torch.stack((power[..., :middle].sum(-1), power[..., middle:end].sum(-1)))
    return torch.log10(parts + SMALLEST[0])


def with_baseline(values: Floats) -> NDArray[np.bool_]:
    """Return which of the circumstances (n, C), before they are normalised, are of recordings that have a baseline.

    One in five recordings of PTB-XL comes from a device that filters it out, together with what is slow in ST segments.
    If no recording has a baseline, all count as if they had one.
    """
    found = values[:, : len(EIGHT)].mean(axis=1) > FILTERED
    return found if found.any() else ~found


def scale_of(values: Floats) -> Floats:
    """Return the mean and standard deviation (2, C) of the circumstances (n, C) that a network is trained with."""
    spread = values.std(axis=0)
    return np.stack((values.mean(axis=0), np.where(spread > 0, spread, 1.0)))


def normalised(values: Floats, scale: Floats) -> Floats:
    """Return the first C of the circumstances (n, ..), less the mean of a scale (2, C), over its standard deviation."""
    scaled: Floats = (values[:, : scale.shape[1]] - scale[0]) / scale[1]
    return scaled


def of_recordings(network: Transformer, signal_mv: NDArray[np.floating], fs_hz: float) -> Tensor:
    """Return the circumstances (n, C) float32 of recordings (n, 8, L) in mV, as this network takes them."""
    assert network.circumstances_scale is not None
    scale = network.circumstances_scale.double().cpu().numpy()
    return torch.from_numpy(normalised(measure(signal_mv, fs_hz), scale)).float()


def with_wander(values: Floats) -> Floats:
    """Return circumstances (n, C) in which recordings without a baseline have that of the next that has one.

    That is its wander, and what is slow.
    """
    found = np.flatnonzero(with_baseline(values))
    giver = found[np.searchsorted(found, np.arange(len(values))) % len(found)]
    leads = len(EIGHT)
    return np.concatenate(
        (values[giver, :leads], values[:, leads : 3 * leads], values[giver, 3 * leads :]), 1
    )


def table(values: Floats, rows: int) -> Tensor:
    """Return `rows` of the normalised values (n, C) in float16, evenly from all records; if n is less, they repeat."""
    return torch.from_numpy(values[spread(len(values), rows)].astype(np.float16))


def spread(count: int, rows: int) -> NDArray[np.int64]:
    """Return `rows` numbers of records, evenly from all `count` of them; if there are fewer, they repeat."""
    return np.arange(rows) * count // rows


def bits_of(labels: NDArray[Any], rows: int) -> Tensor:
    """Return the bits (rows, bytes) uint8 of the label vectors (n, K) of the records that `table` takes."""
    return torch.from_numpy(np.packbits(labels[spread(len(labels), rows)].astype(np.uint8), axis=1))


def labels_of(bits: Tensor, count: int) -> Tensor:
    """Return the label vectors (rows, count) uint8 of which `bits_of` made bits (rows, bytes)."""
    places = torch.arange(7, -1, -1, device=bits.device)
    return (bits[..., None] >> places & 1).flatten(1)[:, :count]


def statement_weights(labels: NDArray[Any], rates: Floats, noise: Floats) -> Tensor:
    """Return the weight (K,) float32 of each statement where label vectors are compared, a whole number.

    labels: (n, K) of records with these heart rates (n,) per minute, NaN if unknown, and this noise (n,), normalised
    and averaged over leads. The weight is 1, plus by how much the mean rate of records with the statement differs from
    that of all, plus `NOISE_WEIGHT` times the same of their noise. So no record with tachycardia is like one without.
    """
    weight = np.ones(labels.shape[1])
    for values, unit in ((rates, 1.0), (noise, NOISE_WEIGHT)):
        known = np.isfinite(values)
        found, has = values[known], labels[known]
        count = has.sum(axis=0)
        away = np.abs(found @ has / np.maximum(count, 1) - found.sum() / max(len(found), 1))
        weight += unit * np.where(count > 0, away, 0.0)
    return torch.from_numpy(weight.round().astype(np.float32))


def rows_like(network: Transformer, given: Tensor, state: Tensor) -> Tensor:
    """Return which row of the tables of recordings each record gets, (B,), for conditions (B, K) without circumstances.

    state: the `origin` (B, 2) of the noise. The distance of a row is the sum of the weights of the statements that only
    one of the two has, and of the difference of the heart rates per minute if one is asked for. A row is drawn among
    those whose distance is at most `LIKE` above the smallest, and the `NEAREST` nearest ones. So it depends on the
    request, seed and index of its record only. If the network has no table of statements, all rows are equally likely.
    """
    assert network.circumstances is not None
    if network.statements is None or network.statement_weights is None:
        return integers(state, Reserved.ROW, len(network.circumstances))
    given = given.to(state.device)
    weight = network.statement_weights.to(state.device).double()
    count = network.classes - len(network.takes.columns)
    has = labels_of(network.statements.to(state.device), count).double()
    wanted = (given[:, :count] > 0.5).double()
    away = (wanted @ weight)[:, None] + has @ weight - 2 * (wanted * weight) @ has.T  # whole numbers
    if network.heart_rates is not None:
        rates = network.heart_rates.to(state.device).double()
        known, scaled = given[:, network.heart_rate_columns].double().unbind(1)
        apart = (unscaled_bpm(scaled)[:, None] - rates).abs().where(rates > 0, UNKNOWN)
        away = away + known[:, None] * apart
    nearest = away.topk(min(NEAREST, len(has)), dim=1, largest=False).values[:, -1:]
    like = away <= torch.maximum(away.amin(1, keepdim=True) + LIKE, nearest)
    at = integers(state, Reserved.ROW, like.sum(1))
    return torch.searchsorted(like.cumsum(1), at[:, None] + 1)[:, 0]


def rows_near(rows: Tensor, state: Tensor, known: Tensor) -> Tensor:
    """Return which row of a table (n, C) records get of which some circumstances are known (B, C), NaN if unknown.

    state: the `origin` (B, 2) of their noise. Rows that resemble what is known are more probable.
    """
    away = torch.nan_to_num((known[:, None] - rows.float()) / NEAR)  # (B, n, C)
    chance = torch.softmax(-0.5 * away.double().square().sum(-1), dim=1).cumsum(1)
    at = (integers(state, Reserved.ROW, 2**24).double() + 0.5) / 2**24
    return torch.searchsorted(chance, at[:, None])[:, 0].clamp(max=len(rows) - 1)


def draw(rows: Tensor, chosen: Tensor, state: Tensor) -> Tensor:
    """Return circumstances (B, C): the chosen (B,) rows of a table (n, C), plus normal noise of `origin` (B, 2)."""
    jitter = drawn(state, Reserved.JITTER, (1, rows.shape[1]))[:, 0]
    return rows[chosen].float() + BANDWIDTH * jitter


def with_statements(network: Transformer, measured: Tensor, own: Tensor, wanted: Tensor) -> Tensor:
    """Return circumstances (B, C) of recordings as they would be with other statements; the wander stays.

    own, wanted: conditions (B, K) with the statements that they have, and those that they are to have. What comes and
    goes with a statement is the coefficient of a ridge regression over the recordings of the network's tables. Nothing
    changes for records of `own` without any statement, since these may have what is wanted, or if there are no tables.
    """
    if network.statements is None or network.circumstances is None:
        return measured
    count = network.classes - len(network.takes.columns)
    has = labels_of(network.statements, count).double().cpu()
    has = torch.cat((has, torch.ones_like(has[:, :1])), 1)
    squares = has.T @ has + RIDGE * torch.eye(count + 1, dtype=torch.float64)
    slope = torch.linalg.solve(squares, has.T @ network.circumstances.double().cpu())[:count]
    slope[:, : len(EIGHT)] = 0
    had = own[:, :count].double().cpu()
    change = (wanted[:, :count].double().cpu() - had) * had.any(1, keepdim=True)
    return measured + (change @ slope).to(measured)


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

    state: (B, 2) the `origin` of their noise. measured: (B, C), NaN where they are unknown; what is unknown is drawn.
    rates: whether unknown heart rates are drawn as well, as for records that do not start from a recording.
    """
    if not takes_circumstances(network):
        return cond
    assert network.circumstances is not None
    table = network.circumstances.to(state.device)
    given = network.full(cond)[:, : -1 - table.shape[1]]
    if measured is not None and not bool(measured.isnan().any()):
        found = measured
    elif measured is not None:
        measured = measured.to(state.device)
        found = draw(table, rows_near(table, state, measured), state).where(measured.isnan(), measured)
    else:
        chosen = rows_like(network, given, state)
        found = draw(table, chosen, state)
        if rates and network.heart_rates is not None:
            given = _with_rhythms(network, given, chosen)
    found = found.to(cond.device)
    return torch.cat((given, torch.ones_like(given[:, :1]), found), dim=1)


def as_told(network: Network, signal_mv: Tensor, cond: Tensor, state: Tensor, fs_hz: float) -> Tensor:
    """Return records (B, 8, L) in mV with the noise, the edge and the slow part that the network was told, if it was.

    cond, state: of `with_circumstances`. A record comes out noisier than the network was told where it should be quiet,
    and quieter where it should be noisy. So the frequencies of each of the three (`BANDS_HZ`) are multiplied by one
    factor for each lead, and what the heart has there changes with them. The wander stays: it is near what was told,
    and a factor for it makes records easier to tell from recordings. Strips are not changed, since the circumstances
    are those of 10 s.
    """
    if not len(signal_mv) or not takes_circumstances(network) or not network.config.slow:
        return signal_mv
    assert network.circumstances_scale is not None
    x = signal_mv.to("cpu" if signal_mv.device.type == "mps" else signal_mv.device, torch.float64)
    mean, spread = network.circumstances_scale.to(x.device, torch.float64)
    full = with_circumstances(network, cond, state, rates=True)
    told = full[:, -len(mean) :].to(x) * spread + mean
    leads, length = x.shape[1:]
    frequency = np.arange(length + 1) * fs_hz / (2 * length)
    for _ in range(ROUNDS):
        lacking = (told - _measured(x, fs_hz)[:, : len(mean)]).unflatten(1, (-1, leads))
        response = torch.ones(len(x), leads, length + 1, dtype=x.dtype, device=x.device)
        for kind, (first, whole, last, end) in BANDS_HZ.items():
            ramps = (frequency - first) / (whole - first), (end - frequency) / (end - last)
            band = np.clip(np.minimum(*ramps), 0, 1)
            root = 1 if kind == "noise" else 2  # noise is an amplitude, the others are powers
            factor = 10 ** (lacking[:, KINDS.index(kind)] / root).clamp(-MOST, MOST)
            response += (factor - 1)[..., None] * torch.from_numpy(band).to(x)
        mirrored = torch.cat((x, x.flip(-1)), -1)
        x = torch.fft.irfft(torch.fft.rfft(mirrored) * response, 2 * length)[..., :length]
    return x.to(signal_mv)


def _with_rhythms(network: Transformer, given: Tensor, chosen: Tensor) -> Tensor:
    """Return conditions (B, K) in which heart rates that were unknown, and how much they vary, are of these rows (B,).

    They stay unknown if none could be measured in that recording.
    """
    assert network.heart_rates is not None
    columns = network.rhythm_columns
    rate, *varies = (
        part.to(chosen.device)[chosen].float().to(given.device)
        for part in (network.heart_rates, network.variabilities)
        if part is not None
    )
    values = torch.stack((scaled_bpm(rate), *varies), 1)
    found = torch.stack((torch.ones_like(values), values), 2).flatten(1) * (rate > 0)[:, None]
    told = torch.where(given[:, columns][:, :1] > 0, given[:, columns], found)
    return torch.cat((given[:, : columns.start], told, given[:, columns.stop :]), dim=1)
