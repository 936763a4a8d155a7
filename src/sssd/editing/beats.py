"""Moves the beats of a record, whose waves stay: to another heart rate, or to where those of a recording are.

    ├─ QRS ─┼─ ST and T ─┼─ rest ─┼─ P and PQ ─┼─ QRS ─┤     an RR interval

QRS complexes are copied sample by sample, and so are P and PQ where there is room. QT follows the cube root of RR
(Fridericia 1920). The rest takes what is left; where that would be less than `REST_S`, ST, T, P and PQ are shortened
alike. Baseline wander comes from breathing and electrodes, and stays where it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..signals.beats import Beats, find_beats
from ..signals.delineator import FS_HZ, probabilities, trained, waves_of
from ..signals.heart_rate import LEAST_BEATS
from ..signals.recorded import FADE, used, wander

REST_S = 0.02
MARGIN_S = 0.02  # by which waves are taken to be longer than they are found
MOST = 2.0  # an RR interval that had to become so many times longer or shorter is not moved
# from a beat to the onset of P, to the onset and the end of QRS and to the end of T in s: from where to where they are
# looked for, and what they are taken for where fewer than half of the beats have them
P, BEFORE, AFTER, T = (-0.45, -0.10, -0.20), (-0.10, 0.0, -0.06), (0.0, 0.10, 0.06), (0.16, 0.65, 0.36)

Floats = NDArray[np.float64]


def at_rate(signal_mv: Floats, beats: Beats, ratio: float, fs_hz: float) -> Floats:
    """Return a record (8, L) in mV, leads I V1..V6 aVF, with `ratio` times its RR intervals and of the same length.

    beats: (b,) samples of its QRS complexes, in its first 99 %. ratio: above 0. Where the record becomes too short,
    it is `continued`. ValueError with fewer than five beats.
    """
    if len(beats) < LEAST_BEATS:
        raise ValueError(f"got {len(beats)} beats: expected at least {LEAST_BEATS}")
    length, usual = signal_mv.shape[-1], int(np.median(np.diff(beats)))
    waves = extent(signal_mv[:, : used(length)], beats, fs_hz)
    steady, baseline = _parted(signal_mv, fs_hz)
    long, beats = continued(steady, beats, int(length / min(ratio, 1.0)) + 4 * usual, waves[0])
    beats = np.concatenate((np.arange(beats[0] % usual - usual, beats[0], usual), beats))
    rr_there = np.maximum(ratio * np.diff(beats), waves[1] + waves[2] + 3 * _rest(fs_hz))
    there = np.concatenate(([0], np.rint(np.cumsum(rr_there)))).astype(np.intp)
    source, target = _anchors(beats, there, waves, ratio, fs_hz)
    target = target - round(float(np.interp(0, source, target)))
    return _played(long, source, target, np.arange(length)) + baseline


def with_beats_of(start_mv: Tensor, made_mv: Tensor, keeps: Tensor, fs_hz: float) -> Tensor:
    """Return records (B, 8, L) in mV, of which those that keep the beats (B,) have them where those of `start_mv` are.

    start_mv: (B, 8, L), what the records were made from.
    """
    out = made_mv.clone()
    for k in np.flatnonzero(keeps.cpu().numpy()):
        start, made = (x[k].double().cpu().numpy() for x in (start_mv, made_mv))
        there = find_beats(start[:, : used(start.shape[-1])], fs_hz)
        out[k] = torch.from_numpy(with_beats_at(made, there, fs_hz)).to(made_mv)
    return out


def with_beats_at(signal_mv: Floats, there: Beats, fs_hz: float) -> Floats:
    """Return a record (8, L) in mV, leads I V1..V6 aVF, whose beats are at the samples `there` (b,).

    Of all successive beats of the record, those move that have the shortest way; outside, it is `continued`. A record
    stays as it is if its beats are there within a sample, if it has fewer than five of them or is to have fewer, or if
    an RR interval would have to change more than `MOST` times.
    """
    length = signal_mv.shape[-1]
    beats = find_beats(signal_mv[:, : used(length)], fs_hz)
    if min(len(beats), len(there)) < LEAST_BEATS:
        return signal_mv
    waves = extent(signal_mv[:, : used(length)], beats, fs_hz)
    steady, baseline = _parted(signal_mv, fs_hz)
    long, beats, before = _continued_both_ways(steady, beats, waves)
    there = there + before
    ways = [np.abs(beats[k : k + len(there)] - there) for k in range(len(beats) - len(there) + 1)]
    if not ways:
        return signal_mv
    first = int(np.argmin([way.sum() for way in ways]))
    last = first + len(there)
    if ways[first].max() <= 1:
        return signal_mv
    moved = np.concatenate(
        (
            beats[:first] + there[0] - beats[first],
            there,
            beats[last:] + there[-1] - beats[last - 1],
        )
    )
    rr, rr_there = np.diff(beats), np.diff(moved)
    if (rr_there < waves[1] + waves[2] + 3 * _rest(fs_hz)).any():
        return signal_mv
    ratio = rr_there / rr
    if max(ratio.max(), 1 / ratio.min()) > MOST:
        return signal_mv
    source, target = _anchors(beats, moved, waves, ratio, fs_hz)
    return _played(long, source, target, np.arange(before, before + length)) + baseline


def _parted(signal_mv: Floats, fs_hz: float) -> tuple[Floats, Floats]:
    """Return the first 99 % of a record (8, L) without its baseline wander, and the wander (8, L)."""
    from scipy.fft import dct, idct

    length = signal_mv.shape[-1]
    count = used(length)
    part = signal_mv[:, :count]
    steady: Floats = idct((1 - wander(count, fs_hz)) * dct(part, norm="ortho"), norm="ortho")
    return steady, np.pad(part - steady, ((0, 0), (0, length - count)), mode="edge")


def _rest(fs_hz: float) -> int:
    return max(1, round(REST_S * fs_hz))


def _anchors(
    beats: Beats, there: Beats, waves: tuple[int, int, int, int], ratio: Any, fs_hz: float
) -> tuple[Floats, Floats]:
    """Return which samples of a record with these beats (b,) move, and where they move when the beats do, (a,) each.

    waves: of its beats, see `extent`. ratio: of the RR intervals there to those of the record, one for all or (b - 1,).
    """
    p, before, after, t = waves
    t_there = (before + t) * ratio ** (1 / 3) - before
    source = beats[:-1, None] + _ends(np.diff(beats), p, before, after, t, _rest(fs_hz))
    target = there[:-1, None] + _ends(np.diff(there), p, before, after, t_there, _rest(fs_hz))
    return source.ravel(), target.ravel()


def _played(long: Floats, source: Floats, target: Floats, samples: NDArray[np.intp]) -> Floats:
    """Return `long` (C, L) at these samples (n,), after `source` moved to `target`, without its mean: (C, n)."""
    from scipy.interpolate import CubicSpline

    position = np.clip(np.interp(samples, target, source), 0, long.shape[-1] - 1)
    made: Floats = CubicSpline(np.arange(long.shape[-1]), long, axis=-1)(position)
    return made - made.mean(axis=-1, keepdims=True)


def _ends(rr: NDArray[np.intp], p: int, before: int, after: int, t: Any, rest: int) -> NDArray[np.float64]:
    """Return where QRS ends, T ends, P begins and the next QRS begins, (n, 4), behind the beat of RR intervals (n,)."""
    room = np.maximum(rr - before - after - rest, 2)
    share = np.minimum(1.0, room / (t - after + p - before))
    t_end, p_onset = after + share * (t - after), rr - before - share * (p - before)
    return np.stack((np.full(len(rr), after), t_end, p_onset, rr - before), axis=1)


def extent(signal_mv: Floats, beats: Beats, fs_hz: float) -> tuple[int, int, int, int]:
    """Return in samples how far the onsets of P and QRS are before a beat, and the ends of QRS and T behind it.

    signal_mv: (8, L), leads I V1..V6 aVF; beats: (b,). They are medians over the beats, with a margin.
    """
    found = {name: np.zeros((0, 2)) for name in ("P", "QRS", "T")}
    if fs_hz == FS_HZ:
        found = waves_of(probabilities(trained(), signal_mv))

    def median(points_s: Floats, limits_s: tuple[float, float, float]) -> int:
        low, high, usual = limits_s
        away = points_s[None] - beats[:, None] / fs_hz
        near = away[(away > low) & (away < high)]
        s = float(np.median(near)) if 2 * len(near) >= len(beats) else usual
        return round((abs(s) + MARGIN_S) * fs_hz)

    return (
        median(found["P"][:, 0], P),
        median(found["QRS"][:, 0], BEFORE),
        median(found["QRS"][:, 1], AFTER),
        median(found["T"][:, 1], T),
    )


def continued(signal: Floats, beats: Beats, length: int, p: int) -> tuple[Floats, Beats]:
    """Continue a record (C, L) with beats (b,) by itself, and return `length` samples (C, length) and their beats.

    At the onset of the last P wave, `p` samples before the last beat, it goes on from that of an early one.
    """
    first = beats[beats >= p + FADE][0]
    start, end = first - p, beats[-1] - p
    faded, share = signal.copy(), np.arange(1, FADE + 1) / (FADE + 1)
    faded[:, end - FADE : end] += share * (signal[:, start - FADE : start] - signal[:, end - FADE : end])
    index = np.arange(length)
    index = np.where(index < end, index, start + (index - start) % (end - start))
    again = beats[(beats >= first) & (beats < beats[-1])]
    rounds = np.arange((length - start) // (end - start) + 1)[:, None] * (end - start)
    all_beats = np.concatenate((beats[beats < first], (again + rounds).ravel()))
    return faded[:, index], all_beats[all_beats < length]


def _continued_both_ways(
    steady: Floats, beats: Beats, waves: tuple[int, int, int, int]
) -> tuple[Floats, Beats, int]:
    """Continue a record (C, L) with beats (b,) by six beats at each end; return it, its beats, and where it begins."""
    more = 6 * int(np.median(np.diff(beats)))
    long, beats = continued(steady, beats, steady.shape[-1] + more, waves[0])
    length = long.shape[-1]
    back, backward = continued(long[:, ::-1], (length - 1 - beats)[::-1], length + more, waves[3])
    return back[:, ::-1], (length + more - 1 - backward)[::-1], more
