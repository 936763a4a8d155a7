"""Voltages of QRS complexes that criteria are written in, from the eight leads (8, L) in mV: I V1..V6 aVF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..leads import CLINICAL, EIGHT, to_twelve
from .beats import Beats

FloatArray = NDArray[np.floating]

LIMB = CLINICAL[:6]
LEAST_AREA_MVS = 0.002  # mV s; the direction of a smaller net area means nothing
HALF_QRS_S = 0.08  # a complex is looked for this long before and after its beat


def sokolow_lyon(record: FloatArray, beats: Beats, fs_hz: float) -> float:
    """Return S in V1 plus the larger R of V5 and V6 in mV, medians over beats (Sokolow and Lyon 1949).

    It is NaN without beats.
    """
    cut = _complexes(record, beats, fs_hz)
    if cut is None:
        return float("nan")
    s = -np.median(cut[:, EIGHT.index("V1")].min(axis=-1))
    r = np.median(cut[:, [EIGHT.index("V5"), EIGHT.index("V6")]].max(axis=-1), axis=0)
    return float(s + r.max())


def limb_voltage(record: FloatArray, beats: Beats, fs_hz: float) -> float:
    """Return QRS from peak to peak in mV in the limb lead where it is largest, median over the beats.

    It is NaN without beats.
    """
    twelve = to_twelve(np.asarray(record, dtype=np.float64))[: len(LIMB)]
    cut = _complexes(twelve, beats, fs_hz)
    return float("nan") if cut is None else float(np.median(np.ptp(cut, axis=-1), axis=0).max())


def axis(record: FloatArray, beats: Beats, fs_hz: float) -> float:
    """Return the electrical axis of QRS in the frontal plane in degrees, above -180 and up to 180.

    0 points to the left, as lead I, and 90 down, as aVF. The net areas of QRS in I and aVF, medians over beats, are its
    coordinates; that of aVF times 2 / sqrt(3), because augmented leads are smaller (Goldberger 1942). It is NaN without
    beats, and where QRS is as much up as down in both leads.
    """
    cut = _complexes(record, beats, fs_hz)
    if cut is None:
        return float("nan")
    across, down = np.median(cut[:, [EIGHT.index("I"), EIGHT.index("aVF")]].sum(axis=-1) / fs_hz, axis=0)
    if np.hypot(across, down) < LEAST_AREA_MVS:
        return float("nan")
    return float(np.degrees(np.arctan2(down * 2.0 / np.sqrt(3.0), across)))


def _complexes(record: FloatArray, beats: Beats, fs_hz: float) -> NDArray[np.float64] | None:
    """Return the whole QRS complexes, each lead less its median over the record: (b, C, samples), None without any."""
    half = round(HALF_QRS_S * fs_hz)
    level = record - np.median(record, axis=-1, keepdims=True)
    whole = [level[:, at - half : at + half + 1] for at in beats if half <= at < record.shape[-1] - half]
    return np.array(whole, dtype=np.float64) if whole else None
