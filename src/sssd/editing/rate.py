"""A recording at another heart rate: time passes faster or slower between its beats, whose waves stay.

    ├─ QRS ─┼─ ST and T ─┼─ rest ─┼─ P and PQ ─┼─ QRS ─┤     an RR interval

QRS complexes are copied sample by sample, and so are P and PQ where there is room. QT follows the cube root of RR
(Fridericia 1920). The rest takes what is left; where that would be less than `REST_S`, ST, T, P and PQ are shortened
alike. Baseline wander comes from breathing and electrodes, and stays where it is.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from ..checks import warn
from ..signals.beats import Beats, find_beats
from ..signals.delineator import FS_HZ, probabilities, trained, waves_of
from ..signals.heart_rate import LEAST_BEATS, measured_heart_rates
from ..signals.recorded import FADE, used, wander
from ..signals.rules import rate_hints

USUAL_BPM = {"STACH": 109.0, "SBRAD": 49.0}  # medians of 121 and 96 recordings of PTB-XL's folds 1 to 8
LOOSE = "AFIB", "AFLT", "2AVB", "3AVB"  # statements of waves that do not follow the beats
SAME_BPM = 1.0  # rates that differ by less are the same
REST_S = 0.02
MARGIN_S = 0.02  # by which waves are taken to be longer than they are found
# from a beat to the onset of P, to the onset and the end of QRS and to the end of T in s: from where to where they are
# looked for, and what they are taken for where fewer than half of the beats have them
P, BEFORE, AFTER, T = (-0.45, -0.10, -0.20), (-0.10, 0.0, -0.06), (0.0, 0.10, 0.06), (0.16, 0.65, 0.36)

Floats = NDArray[np.float64]


def usual_bpm(statements: Collection[str], eight_mv: Floats, fs_hz: float) -> float:
    """Return the heart rate that recordings with one of these statements usually have.

    It is NaN if none of them is a statement of the rate, or if the recording (8, L) in mV has such a rate already.
    """
    for code, bpm in USUAL_BPM.items():
        if code in statements and rate_hints([code], float(measured_heart_rates(eight_mv[None], fs_hz)[0])):
            return bpm
    return float("nan")


def moved(
    eight_mv: Floats, statements: Collection[str], bpm: float, fs_hz: float
) -> tuple[Floats | None, str]:
    """Bring a recording (8, L) in mV, leads I V1..V6 aVF, to a heart rate; return it, and what was done in words.

    statements: codes of what it shows. It returns None for a recording that has this rate, and with a warning for one
    whose rate cannot be changed so.
    """
    own = float(measured_heart_rates(eight_mv[None], fs_hz)[0])
    loose = [code for code in LOOSE if code in statements]
    if loose or np.isnan(own):
        doubt = "the heart rate of the recording is in doubt"
        why = f"with {loose[0]}, waves do not follow beats" if loose else doubt
        warn(f"the beats are left where they are: {why}")
        return None, f"left where they are: {why}"
    if abs(own - bpm) < SAME_BPM:
        return None, ""
    beats = find_beats(eight_mv[:, : used(eight_mv.shape[1])], fs_hz)
    made = at_rate(eight_mv, beats, own / bpm, fs_hz)
    return made, f"moved from {own:.0f} to {bpm:.0f} /min"


def at_rate(signal_mv: Floats, beats: Beats, ratio: float, fs_hz: float) -> Floats:
    """Return a record (8, L) in mV, leads I V1..V6 aVF, with `ratio` times its RR intervals and of the same length.

    beats: (b,) samples of its QRS complexes, in its first 99 %. ratio: above 0. Where the record becomes too short,
    it is `continued`. ValueError with fewer than five beats.
    """
    from scipy.fft import dct, idct
    from scipy.interpolate import CubicSpline

    if len(beats) < LEAST_BEATS:
        raise ValueError(f"got {len(beats)} beats: expected at least {LEAST_BEATS}")
    length, usual = signal_mv.shape[-1], int(np.median(np.diff(beats)))
    count = used(length)
    signal_mv = signal_mv[:, :count]
    p, before, after, t = extent(signal_mv, beats, fs_hz)

    steady = idct((1 - wander(count, fs_hz)) * dct(signal_mv, norm="ortho"), norm="ortho")
    baseline = np.pad(signal_mv - steady, ((0, 0), (0, length - count)), mode="edge")
    long, beats = continued(steady, beats, int(length / min(ratio, 1.0)) + 4 * usual, p)
    beats = np.concatenate((np.arange(beats[0] % usual - usual, beats[0], usual), beats))

    rest = max(1, round(REST_S * fs_hz))
    rr = np.diff(beats)
    rr_there = np.maximum(ratio * rr, before + after + 3 * rest)
    there = np.concatenate(([0], np.rint(np.cumsum(rr_there)))).astype(np.intp)
    t_there = (before + t) * ratio ** (1 / 3) - before
    source = beats[:-1, None] + _ends(rr, p, before, after, t, rest)
    target = there[:-1, None] + _ends(np.diff(there), p, before, after, t_there, rest)
    source, target = source.ravel(), target.ravel()
    target = target - round(float(np.interp(0, source, target)))
    position = np.clip(np.interp(np.arange(length), target, source), 0, long.shape[-1] - 1)
    made: Floats = CubicSpline(np.arange(long.shape[-1]), long, axis=-1)(position)
    return made - made.mean(axis=-1, keepdims=True) + baseline


def _ends(rr: NDArray[np.intp], p: int, before: int, after: int, t: float, rest: int) -> NDArray[np.float64]:
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
