"""Filters and peaks in NumPy: what measuring needs of them.

They compute what SciPy's functions of these kinds do, and tests compare them with these. Measuring does without SciPy
because importing it takes longer than measuring a record, and because a browser that measures would load 20 MB more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Samples = NDArray[np.intp]

ZERO_CROSSINGS, KAISER_BETA = 10, 5.0  # of the window of `upsampled`, to either side
LARGEST_FACTOR = 1e3  # by which a block of a recursion scales its input; rounding then stays below 1e-12


def upsampled(x: NDArray[np.floating], factor: int) -> Floats:
    """Return x (..., L) at `factor` times its rate, (..., factor L): a sinc of 10 zero crossings to either side,
    windowed (Kaiser 1974). Before and after the signal there are zeros."""
    half = ZERO_CROSSINGS * factor
    weights = np.sinc(np.arange(-half, half + 1) / factor) * np.kaiser(2 * half + 1, KAISER_BETA)
    weights *= factor / weights.sum()
    spread = np.zeros((*x.shape, factor))
    spread[..., 0] = x
    rows = spread.reshape(-1, x.shape[-1] * factor)
    made = [np.convolve(row, weights)[half : half + rows.shape[1]] for row in rows]
    return np.array(made).reshape(*x.shape[:-1], rows.shape[1])


def highpass(x: Floats, cutoff_hz: float, fs_hz: float, order: int = 5) -> Floats:
    """Return x (L,) without what is below the cutoff: Butterworth's filter, forwards and backwards.

    The signal is continued by its image in each end, turned by 180 degrees, and then by a constant.
    """
    turns = np.exp(
        1j * np.pi * (2 * np.arange(order) + order + 1) / (2 * order)
    )  # poles of the analog lowpass
    analog = np.tan(np.pi * cutoff_hz / fs_hz) / turns
    poles = (1 + analog) / (1 - analog)

    def once(row: Floats) -> Floats:
        y = (row - row[0]).astype(np.complex128)
        for pole in poles:
            y = (1 + pole) / 2 * _recursion(np.diff(y, prepend=0.0), pole)
        return y.real

    return _both_ways(once, x, 3 * (order + 1))


def _recursion(x: NDArray[np.complex128], pole: complex) -> NDArray[np.complex128]:
    """Return y with y[n] = pole y[n - 1] + x[n] from rest, in blocks: y[n] / pole^n is a sum of x[n] / pole^n."""
    block = max(1, min(len(x), int(-np.log(LARGEST_FACTOR) / np.log(abs(pole)))))
    powers = pole ** np.arange(block)
    y, last = np.empty_like(x), 0j
    for at in range(0, len(x), block):
        part = x[at : at + block]
        scale = powers[: len(part)]
        y[at : at + block] = scale * (np.cumsum(part / scale) + pole * last)
        last = y[at + len(part) - 1]
    return y


def averaged_both_ways(x: Floats, size: int) -> Floats:
    """Return x (L,) after a moving average over `size` samples, forwards and backwards, continued as in `highpass`."""

    def once(row: Floats) -> Floats:
        return np.convolve(np.concatenate((np.full(size - 1, row[0]), row)), np.ones(size) / size, "valid")

    return _both_ways(once, x, 3 * size)


def _both_ways(once: Callable[[Floats], Floats], x: Floats, beyond: int) -> Floats:
    """ValueError if the signal is no longer than what it is continued by."""
    if len(x) <= beyond:
        raise ValueError(f"a signal of {len(x)} samples is too short: expected more than {beyond}")
    before, after = 2 * x[0] - x[beyond:0:-1], 2 * x[-1] - x[-2 : -beyond - 2 : -1]
    made = once(once(np.concatenate((before, x, after)))[::-1])[::-1]
    return made[beyond:-beyond]


def smoothed(x: Floats, size: int) -> Floats:
    """Return the mean of the `size` samples about each sample of x (L,), whose ends go on beyond it."""
    padded = np.pad(x, (size // 2, size - size // 2 - 1), mode="edge")
    return np.convolve(padded, np.ones(size) / size, "valid")


def maxima(x: Floats) -> Samples:
    """Return the samples at which x (L,) is higher than before and after them; of a plateau, its middle."""
    change = np.flatnonzero(np.diff(x))
    first, last = np.append(0, change + 1), np.append(change, len(x) - 1)
    level = x[first[: len(x)]]
    top = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])) + 1
    return (first[top] + last[top]) // 2


def apart(peaks: Samples, height: Floats, distance: int) -> Samples:
    """Return the peaks that have no higher one nearer than `distance` samples, the highest ones first."""
    kept = np.ones(len(peaks), dtype=np.bool_)
    for i in np.argsort(height)[::-1]:
        if kept[i]:
            near = np.abs(peaks - peaks[i]) < distance
            near[i] = False
            kept[near] = False
    return peaks[kept]


def prominences(x: Floats, peaks: Samples, within: int | None = None) -> tuple[Floats, Samples, Samples]:
    """Return how far each peak of x (L,) stands out, and its base on either side, (n,) each.

    A base is the lowest sample between the peak and the next higher sample; the peak stands out above the higher base.
    within: samples about the peak in which bases are looked for.
    """
    height, left, right = np.zeros(len(peaks)), np.zeros(len(peaks), np.intp), np.zeros(len(peaks), np.intp)
    reach = len(x) if within is None else within // 2
    for i, peak in enumerate(peaks):
        left[i] = peak - _base(x[max(0, peak - reach) : peak + 1][::-1])
        right[i] = peak + _base(x[peak : peak + reach + 1])
        height[i] = x[peak] - max(x[left[i]], x[right[i]])
    return height, left, right


def _base(away: Floats) -> int:
    """Return how far from a peak, the first sample, its base is."""
    higher = np.flatnonzero(away > away[0])
    return int(np.argmin(away[: higher[0]] if len(higher) else away))
