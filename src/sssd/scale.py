"""The scale on which a network sees records: each lead in a voltage of its own, and high frequencies raised.

PTB-XL's 100 Hz records are its 500 Hz records through a low-pass filter, which takes half of the amplitude at 44.7 Hz
and 95 % at 48 Hz. The power that remains there is 10,000 times below that of a QRS complex, so a network that is a
little wrong everywhere is wrong there first. With `emphasis` it works on records in which the filter is undone up to
47 Hz and high frequencies are raised, as in FM radio. Records in mV come back through the inverse, which lowers the
network's errors by the same factors.

In 95 % of the leads of PTB-XL, the mean over the record is within 8 uV, since filters take it out. A network makes
means that are three times larger, and a classifier sees that. `mean` is the share of them that remains in mV.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from .config.schema import TrainsetConfig

# of PTB-XL's filter, which is 1 / (1 + exp((f - HALF_HZ) / WIDTH_HZ)) within 0.04
HALF_HZ, WIDTH_HZ = 44.7, 1.15
CORNER_HZ = 15.0  # from which on amplitudes are raised in proportion to their frequency
LARGEST = 32.0  # factor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """Says what a network's numbers are in mV.

    lead_mv: (8,) the voltages in mV that are 1 to the network. fs_hz: sampling rate. emphasis: whether high frequencies
    are raised. mean: the share of a lead's mean that remains when high frequencies are lowered again.
    """

    lead_mv: tuple[float, ...] = (1.0,) * 8
    fs_hz: float = 100.0
    emphasis: bool = False
    mean: float = 1.0

    @classmethod
    def of(cls, config: TrainsetConfig) -> Scale:
        """Return the scale of a network that was trained on these records."""
        leads = tuple(config.lead_scale_mv or cls.lead_mv)
        return cls(leads, config.sampling_rate, config.emphasis, config.mean or 1.0)

    def to_network(self, signal_mv: Tensor) -> Tensor:
        """Bring records (..., 8, L) from mV to the network's scale."""
        return self.emphasised(signal_mv / self._leads(signal_mv))

    def emphasised(self, x: Tensor) -> Tensor:
        """Raise the high frequencies of records (..., 8, L) whose leads are scaled already."""
        return self._filtered(x, 1) if self.emphasis else x

    def to_mv(self, x: Tensor) -> Tensor:
        """Bring records (..., 8, L) from the network's scale to mV."""
        return (self._filtered(x, -1) if self.emphasis else x) * self._leads(x)

    def _filtered(self, x: Tensor, power: int) -> Tensor:
        dtype = torch.float32 if x.device.type == "mps" else torch.float64  # a sum over L terms, rounded once
        return (x.to(dtype) @ _matrix(x.shape[-1], self.fs_hz, self.mean, power, x.device, dtype)).to(x.dtype)

    def _leads(self, x: Tensor) -> Tensor:
        return _column(self.lead_mv, x.device, x.dtype)


def roll_off(frequency_hz: Floats) -> Floats:
    """Return the amplitude that PTB-XL's filter from 500 to 100 Hz leaves at each frequency."""
    return 1 / (1 + np.exp((frequency_hz - HALF_HZ) / WIDTH_HZ))


def factors(length: int, fs_hz: float, mean: float = 1.0) -> Floats:
    """Return the factors (length,) of the coefficients of a record's discrete cosine transform.

    mean: see `Scale`; the first coefficient is the mean.
    """
    frequency = np.arange(length) * fs_hz / (2 * length)
    found = np.minimum(np.sqrt(1 + (frequency / CORNER_HZ) ** 2) / roll_off(frequency), LARGEST)
    found[0] /= mean
    return found


def cosine_filter(factors: Floats) -> Tensor:
    """Return the matrix (L, L) float64 that multiplies the coefficients of a record's cosine transform by factors (L,).

    It is symmetric: records (..., L) are filtered by x @ matrix. The cosine transform (DCT-II) continues a record by
    its mirror image, so its ends make no jump. Coefficient k is at k / (2 L) of the sampling rate. Entry (i, j) is a
    sum of products of two cosines, and so of one cosine of i - j and one of i + j + 1, which one FFT has for all.
    """
    length = len(factors)
    wave = np.fft.irfft(np.append(factors, 0.0), 2 * length)  # half of the factors' sum over cosines; even
    differences = sliding_window_view(np.roll(wave, length), length)[:0:-1]
    return torch.from_numpy(differences + sliding_window_view(wave[1:], length))


@lru_cache(maxsize=8)
def _matrix(
    length: int, fs_hz: float, mean: float, power: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Return the filter of `factors` ** power, kept on the device."""
    return cosine_filter(factors(length, fs_hz, mean) ** power).to(device, dtype)


@lru_cache(maxsize=8)
def _column(lead_mv: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return (8, 1), kept on the device."""
    return torch.tensor(lead_mv, dtype=dtype, device=device)[:, None]
