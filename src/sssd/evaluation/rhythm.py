"""Rhythm and shape: what is measured on each record, from the regularity of its beats to its T waves.

Beat regularity needs no detector and no threshold. With x (C, L) the leads of one record,

    e(t) = sum over leads of |x(t+1) - x(t)|, its mean removed
    r(k) = sum_t e(t) e(t+k) / sum_t e(t)^2
    regularity = max of r(k) over lags of 0.35 to 2.0 s

It is large where steep complexes return at a steady pace, small in atrial fibrillation, and near 0.2 where complexes
come without a rhythm at all. r is not rescaled for the shorter overlap at longer lags.

The other measures follow from the beats (`signals.beats`) and from the waves of lead II (`signals.waves`). Each record
gives one number for each measure, the median over its beats; NaN if it cannot be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..labels import has
from ..leads import EIGHT
from ..signals.beats import find_beats, heart_rate, likeness, qrs_width, rr_s, rr_variability
from ..signals.voltage import limb_voltage, sokolow_lyon
from ..signals.waves import delineate, median, p_waves

FloatArray = NDArray[np.floating]

SHORTEST_S, LONGEST_S = 0.35, 2.0  # 171 down to 30 beats per minute
SLOPE_S = 0.01  # over which slopes are taken: one sample at 100 Hz
UNITS = {
    "beat_regularity": "",
    "heart_rate": "/min",
    "rr_variability": "ms",  # root mean square of successive differences of RR intervals
    "pr": "ms",
    "qrs": "ms",
    "qrs_width": "ms",  # over all leads, see `signals.beats`; `qrs` is that of lead II
    "qt": "ms",
    "qtc": "ms",  # Bazett 1920
    "p_waves": "",  # share of beats with a P wave, see `signals.waves`
    "st": "mV",  # 60 ms after the end of QRS, against the level before QRS
    "t": "mV",  # at the peak of T, against the same
    "beat_likeness": "",
    "sokolow_lyon": "mV",
    "limb_voltage": "mV",
}


def rhythm_and_shape(
    x: FloatArray, fs_hz: float = 100.0, on_record: Callable[[], None] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return all of `UNITS` for each record, (n,) each: x (n, 8, L) in mV, leads I V1..V6 aVF.

    on_record is called after each record. ValueError for records of 2 s or less.
    """
    found = {name: np.full(len(x), np.nan) for name in UNITS}
    found["beat_regularity"] = beat_regularity(x, fs_hz=fs_hz)
    for i, record in enumerate(np.asarray(x, dtype=np.float64)):
        for name, value in _of_record(record, fs_hz).items():
            found[name][i] = value
        if on_record is not None:
            on_record()
    return found


def beat_regularity(x: FloatArray, *, fs_hz: float = 100.0) -> NDArray[np.float64]:
    """Return the beat regularity of each record, between 0 and 1: x (n, C, L) -> (n,).

    The unit does not matter. A record without any change gives NaN. ValueError for records of 2 s or less.
    """
    if x.ndim != 3:
        raise ValueError(f"got an array of shape {x.shape}: give records as (records, leads, samples)")
    first, last = round(SHORTEST_S * fs_hz), round(LONGEST_S * fs_hz)
    if x.shape[-1] - 1 <= last:
        raise ValueError(
            f"{x.shape[-1]} samples at {fs_hz:g} Hz are too few for lags of up to {LONGEST_S:g} s: "
            f"give records of at least {last + 2} samples"
        )
    signal, step = np.asarray(x, dtype=np.float64), max(round(SLOPE_S * fs_hz), 1)
    e = np.abs(signal[..., step:] - signal[..., :-step]).sum(axis=1)  # (n, L - step)
    e -= e.mean(axis=-1, keepdims=True)
    padded = e.shape[-1] + last  # enough that no lag up to `last` wraps around
    r = np.fft.irfft(np.abs(np.fft.rfft(e, padded)) ** 2, padded)[:, : last + 1]
    flat = r[:, 0] <= 1e-20
    result: NDArray[np.float64] = r[:, first:].max(axis=-1) / np.where(flat, np.nan, r[:, 0])
    return result


def heart_rates(x: FloatArray, *, fs_hz: float = 100.0) -> NDArray[np.float64]:
    """Return the heart rate of each record in beats per minute, x (n, C, L) -> (n,).

    It is NaN with fewer than three beats.
    """
    return np.array([heart_rate(find_beats(record, fs_hz), fs_hz) for record in x], dtype=np.float64)


def median_by_statement(
    values: FloatArray, labels: NDArray[np.integer], names: Sequence[str], statements: Sequence[str]
) -> Mapping[str, float]:
    """Return the median over the records that carry each statement, NaNs left out: values (n,), labels (n, K).

    A statement that no record with a value carries is left out. ValueError for a statement not in `names`.
    """
    unknown = [s for s in statements if s not in names]
    if unknown:
        raise ValueError(f"statement {unknown[0]!r} is not among the {len(names)} label names of this set")
    medians = {}
    for statement in statements:
        chosen = values[has(labels)[:, list(names).index(statement)]]
        chosen = chosen[~np.isnan(chosen)]
        if len(chosen):
            medians[statement] = float(np.median(chosen))
    return medians


def lead_two(record: FloatArray) -> NDArray[np.float64]:
    """Return lead II (L,) of the eight leads (8, L)."""
    return np.asarray(record[EIGHT.index("I")] / 2.0 + record[EIGHT.index("aVF")], dtype=np.float64)


def _of_record(record: FloatArray, fs_hz: float) -> dict[str, float]:
    beats = find_beats(record, fs_hz)
    values = {
        "heart_rate": heart_rate(beats, fs_hz),
        "rr_variability": rr_variability(beats, fs_hz),
        "beat_likeness": likeness(record, beats, fs_hz),
        "qrs_width": qrs_width(record, beats, fs_hz),
        "sokolow_lyon": sokolow_lyon(record, beats, fs_hz),
        "limb_voltage": limb_voltage(record, beats, fs_hz),
    }
    lead = lead_two(record)
    waves = delineate(lead, fs_hz)
    if waves is None:
        return values
    level = _level(lead, waves.qrs_onset - 0.02 * fs_hz, fs_hz)  # between P and QRS
    return values | {
        "pr": median(waves.pr_ms),
        "qrs": median(waves.qrs_ms),
        "p_waves": float(p_waves(lead, waves).mean()),
        "qt": median(waves.qt_ms),
        "qtc": median(waves.qt_ms) / float(np.sqrt(rr_s(beats, fs_hz))),
        "st": median(_level(lead, waves.qrs_end + 0.06 * fs_hz, fs_hz) - level),
        "t": median(_level(lead, waves.t_peak, fs_hz) - level),
    }


def _level(lead: FloatArray, at: FloatArray, fs_hz: float) -> NDArray[np.float64]:
    """Return the mean of the lead over 30 ms about each place (b,) in samples.

    It is NaN where that is NaN or outside the record.
    """
    half = max(round(0.01 * fs_hz), 1)
    levels = np.full(len(at), np.nan)
    for i, place in enumerate(at):
        if np.isfinite(place) and half <= round(place) < len(lead) - half:
            levels[i] = lead[round(place) - half : round(place) + half + 1].mean()
    return levels
