"""Which samples of a record count, and which frequencies are baseline wander."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

USED = 0.99  # the share of a record that counts; the rest of PTB-XL's records is a resampling artefact
FADE = 8  # samples at 100 Hz over which a record passes into its continuation
WANDER_HZ = 0.4, 0.6  # what is below the first is wander, what is above the second is not


def used(length: int) -> int:
    """Return how many samples of a record of `length` samples count: the first 99 %."""
    return int(USED * length)


def wander(length: int, fs_hz: float) -> NDArray[np.float64]:
    """Return the share (L,) of the coefficients of a record's cosine transform that is wander.

    It is 1 below 0.4 Hz and 0 above 0.6 Hz. Coefficient k is at k / (2 L) of the sampling rate.
    """
    low, high = WANDER_HZ
    return np.clip((high - np.arange(length) * fs_hz / (2 * length)) / (high - low), 0, 1)
