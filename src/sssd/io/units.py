"""Voltages as 16-bit integers."""

from __future__ import annotations

import numpy as np


def microvolts(signal_mv: np.ndarray) -> np.ndarray:
    """Convert a signal in mV to int16 in units of 1 uV, of the same shape.

    ValueError if a value is not finite or beyond +-32.767 mV (-32768 stands for a missing sample in WFDB).
    """
    units = np.rint(np.asarray(signal_mv, dtype=np.float64) * 1000.0)
    if not (np.abs(units) <= 32767).all():
        worst = np.abs(np.asarray(signal_mv)).max()
        raise ValueError(
            f"the signal reaches {worst:g} mV; 16-bit integers of 1 uV hold at most +-32.767 mV, and no NaN"
        )
    return units.astype(np.int16)
