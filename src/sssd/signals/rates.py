"""From 500 Hz to 100 Hz and back, so that the way back and forth gives the same record.

`decimated` filters as PTB-XL's records at 100 Hz were made (sssd.scale.roll_off), and `interpolated` undoes it: signals
at 500 Hz without anything above 50 Hz. `agreeing` changes a signal at 500 Hz as little as it takes to have a given
record inside. All continue a signal by its mirror image, which has no jump. Shapes are (..., samples), float64.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..models.detail import FACTOR
from ..scale import roll_off

COARSE_HZ, FINE_HZ = 100.0, 100.0 * FACTOR
LARGEST = 8.0  # factor by which the filter is undone, which is all of it up to 46.9 Hz
ROUNDS = 6  # in which the samples beyond the end are found; more hardly change the result

Floats = NDArray[np.float64]


def decimated(fine: Floats, ratio: Fraction = Fraction(1, FACTOR)) -> Floats:
    """Return a signal at 100 Hz, (..., ceil(N ratio)), filtered as PTB-XL's; `ratio` is 100 Hz over its rate."""
    length = fine.shape[-1]
    wanted = math.ceil(length * ratio)
    whole = -(-length // ratio.denominator) * ratio.denominator
    beyond = [(0, 0)] * (fine.ndim - 1) + [(0, whole - length)]
    spectrum = np.fft.rfft(_mirrored(np.pad(fine, beyond, mode="edge")))
    samples = 2 * whole * ratio.numerator // ratio.denominator
    kept = spectrum[..., : samples // 2 + 1]
    kept = kept * roll_off(np.arange(kept.shape[-1]) * COARSE_HZ / samples)
    made: Floats = np.fft.irfft(kept, samples) * float(ratio)
    return made[..., :wanted]


def interpolated(coarse: Floats) -> Floats:
    """Return a signal (..., 5 L) at 500 Hz without anything above 50 Hz, of which `decimated` makes `coarse` (..., L).

    The mirror image of the fine signal has its own samples at 100 Hz, which lie between those of `coarse`. They are
    found in rounds, since they follow from the fine signal.
    """
    length = coarse.shape[-1]
    beyond = coarse[..., ::-1]
    for _ in range(ROUNDS):
        spectrum = np.fft.rfft(np.concatenate((coarse, beyond), axis=-1))[..., :length]
        fine = _finer(spectrum, length)
        beyond = fine[..., FACTOR - 1 :: FACTOR][..., ::-1]
    undone = 1 / roll_off(np.arange(length) * COARSE_HZ / (2 * length))
    return _finer(spectrum * np.minimum(undone, LARGEST), length)


def agreeing(fine: Floats, coarse: Floats) -> Floats:
    """Return a signal (..., 5 L) of which `decimated` makes `coarse` (..., L); above 50 Hz it is `fine` (..., 5 L)."""
    return fine + interpolated(coarse - decimated(fine))


def band(signal: Floats, low_hz: float, high_hz: float, fs_hz: float) -> Floats:
    """Return what a signal (..., N) has from low_hz to below high_hz, with edges as sharp as they can be."""
    length = signal.shape[-1]
    frequency = np.fft.rfftfreq(2 * length, 1 / fs_hz)
    kept = (frequency >= low_hz) & (frequency < high_hz)
    made: Floats = np.fft.irfft(np.fft.rfft(_mirrored(signal)) * kept, 2 * length)
    return made[..., :length]


def _mirrored(signal: Floats) -> Floats:
    return np.concatenate((signal, signal[..., ::-1]), axis=-1)


def _finer(spectrum: NDArray[np.complex128], length: int) -> Floats:
    """Return (..., 5 L) samples at 500 Hz from the spectrum (..., L) of 2 L samples at 100 Hz."""
    made: Floats = np.fft.irfft(spectrum, 2 * FACTOR * length) * FACTOR
    return made[..., : FACTOR * length]
