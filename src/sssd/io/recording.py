"""One recording, from a file or an `Ecg`: its 12 leads in mV, at the rate and of the length that are wanted.

file ─▶ leads by name ─▶ those that follow from others ─▶ mV ─▶ rate ─▶ length ─▶ what is odd about it, as notes

All recordings come in this way: those that `sssd-ecg prepare` reads, and those that are edited, completed or varied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..leads import CLINICAL, twelve_from
from ..record import Ecg
from ..signals.rates import decimated
from .comments import statements_in
from .raw import Raw
from .readers import read_raw
from .wfdb_header import RecordingError

FS_HZ = 100.0
SAMPLES = 1000  # 10 s at 100 Hz
UNITS = ("uV", "mV", "V")
SHORT = ("skip", "tile")
LEAST_RATE_HZ, MOST_RATE_HZ = 50.0, 500e3
LEAST_TILE_S = 1.0  # a shorter recording has not one beat to repeat
LOST_MV = 0.01  # below this amplitude, rounding to 1 uV leaves nothing of an ECG
PLAUSIBLE_MV = (0.15, 12.0)  # `amplitude_mv` is 0.30 to 8.7 in 5,600 recordings of seven public sets


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording as it is wanted.

    signal_mv: (12, L) float64 in mV, leads I II III aVR aVL aVF V1..V6. fs_hz, source_fs_hz: its rate, and the file's.
    cut, repeated: whether it was longer or shorter. derived: leads that followed from others. missing: leads that are
    not there. flat: leads that never change. amplitude_mv: see `amplitude`. gain: the units per mV that a WFDB header
    states. comments: of that header, or annotations. statements: those that the file or the `Ecg` has, as this program
    writes them. notes: in words, all that was done and all that is odd.
    """

    signal_mv: NDArray[np.float64]
    fs_hz: float
    source_fs_hz: float
    cut: bool
    repeated: bool
    derived: tuple[str, ...]
    missing: tuple[str, ...]
    flat: tuple[str, ...]
    amplitude_mv: float
    gain: float | None
    comments: tuple[str, ...]
    statements: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def plausible(self) -> bool:
        """Whether the amplitude is one that ECGs have."""
        return PLAUSIBLE_MV[0] <= self.amplitude_mv <= PLAUSIBLE_MV[1]

    @property
    def ecg(self) -> Ecg:
        """The recording as an `Ecg`, in float32."""
        return Ecg(self.signal_mv, self.fs_hz)


def read_recording(
    source: str | Path | Ecg | Raw,
    *,
    fs_hz: float = FS_HZ,
    samples: int | None = SAMPLES,
    unit: str | None = None,
    short: str = "skip",
    partial: bool = False,
) -> Recording:
    """Read one recording.

    source: a WFDB, NPZ, CSV, EDF or DICOM record, with or without suffix, or an `Ecg`. fs_hz: the wanted rate. samples:
    the wanted length at that rate; None takes all there is. unit: "uV", "mV" or "V" if the file is wrong about what its
    numbers are. short: what is done with a recording that is shorter than wanted; "tile" repeats it from its beginning.
    partial: whether leads and samples may be missing; they are NaN then.

    RecordingError, a ValueError with a `reason`, where the recording is missing, cannot be read, lacks leads or
    samples, is too short, flat in all leads, or smaller than the resolution of 1 uV can show.
    """
    if short not in SHORT:
        raise ValueError(f"short is {short!r}; expected one of {', '.join(SHORT)}")
    seconds = None if samples is None else samples / fs_hz + 1  # the filter needs some samples after the last
    if isinstance(source, Raw):
        raw = source
    elif isinstance(source, Ecg):
        raw = Raw(source.signal.astype(np.float64), source.leads, source.fs_hz, statements=source.statements)
    else:
        raw = read_raw(source, seconds=seconds, unit=unit)
    notes = list(raw.notes)
    if not LEAST_RATE_HZ <= raw.fs_hz <= MOST_RATE_HZ:
        raise RecordingError(
            "sampling rate",
            f"is sampled at {raw.fs_hz:g} Hz; expected {LEAST_RATE_HZ:g} Hz to {MOST_RATE_HZ / 1e3:g} kHz",
        )
    try:
        signal, derived = twelve_from(raw.signal_mv, raw.names, partial=partial)
    except ValueError as error:
        raise RecordingError("leads", str(error)) from None
    if derived:
        notes.append(f"{', '.join(derived)} follow from the other limb leads")
    signal = np.where(np.isfinite(signal), signal, np.nan)
    missing = tuple(lead for lead, row in zip(CLINICAL, signal, strict=True) if np.isnan(row).all())
    if missing:
        notes.append(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    _check_samples(signal, partial)

    window = signal if samples is None else signal[:, : math.ceil(samples / fs_hz * raw.fs_hz)]
    present = np.isfinite(window).any(axis=1)
    moving = present.copy()
    moving[present] = np.nanmax(window[present], axis=1) > np.nanmin(window[present], axis=1)
    flat = tuple(lead for lead, still in zip(CLINICAL, present & ~moving, strict=True) if still)
    signal = _around_gaps(signal, raw.fs_hz, fs_hz)
    if raw.fs_hz != fs_hz:
        notes.append(f"resampled from {raw.fs_hz:g} to {fs_hz:g} Hz")
    length = signal.shape[1]
    cut, repeated = samples is not None and length > samples, samples is not None and length < samples
    if samples is not None:
        if repeated:
            signal = _tiled(signal, samples, fs_hz, short)
            notes.append(f"repeated from its beginning, as it lasts {length / fs_hz:.3g} s")
        signal = signal[:, :samples]
    if not moving.any():
        raise RecordingError("flat", "is flat in all leads")
    if flat:
        notes.append(f"{', '.join(flat)} {'is' if len(flat) == 1 else 'are'} flat")
    amplitude_mv = amplitude(window[moving])
    if not PLAUSIBLE_MV[0] <= amplitude_mv <= PLAUSIBLE_MV[1]:
        said = (
            f"its amplitude is {amplitude_mv:.3g} mV, where ECGs have about 1 mV: "
            "the file may state a wrong gain or unit"
        )
        if amplitude_mv < LOST_MV:
            raise RecordingError("amplitude", said, "unit")
        notes.append(said)
    return Recording(
        signal_mv=signal,
        fs_hz=fs_hz,
        source_fs_hz=raw.fs_hz,
        cut=cut,
        repeated=repeated,
        derived=derived,
        missing=missing,
        flat=flat,
        amplitude_mv=amplitude_mv,
        gain=raw.gain,
        comments=raw.comments,
        statements=raw.statements or statements_in(raw.comments),
        notes=tuple(notes),
    )


def amplitude(signal_mv: NDArray[np.float64]) -> float:
    """Return the median over leads (n, L) of their amplitude in mV, the range without its outer 1 %."""
    low, high = np.nanquantile(signal_mv, (0.005, 0.995), axis=1)
    return float(np.median(high - low))


def resampled(signal_mv: NDArray[np.float64], source_hz: float, target_hz: float) -> NDArray[np.float64]:
    """Resample (12, L) to another rate; at the same rate, it stays as it is.

    From a higher rate to 100 Hz it is filtered as PTB-XL's records at 100 Hz were (sssd.scale.roll_off), because that
    is what the models know; a network tells another filter by the power above 43 Hz.
    """
    if source_hz == target_hz:
        return signal_mv
    from scipy.signal import resample_poly

    ratio = Fraction(target_hz / source_hz).limit_denominator(5000)
    if target_hz == FS_HZ < source_hz:
        return decimated(signal_mv, ratio)
    # the ends are continued with their first and last value, because zeros would ring where the baseline is not zero
    made: NDArray[np.float64] = resample_poly(
        signal_mv, ratio.numerator, ratio.denominator, axis=1, padtype="edge"
    )
    return made


def _around_gaps(signal_mv: NDArray[np.float64], source_hz: float, target_hz: float) -> NDArray[np.float64]:
    """Resample (12, L) as `resampled` does where samples may be NaN: across them straight lines, then NaN again."""
    lost = np.isnan(signal_mv)
    if not lost.any():
        return resampled(signal_mv, source_hz, target_hz)
    filled, t = np.zeros_like(signal_mv), np.arange(signal_mv.shape[1])
    for row, values, gone in zip(filled, signal_mv, lost, strict=True):
        if not gone.all():
            row[:] = np.interp(t, t[~gone], values[~gone])
    made = resampled(filled, source_hz, target_hz)
    nearest = np.rint(np.arange(made.shape[1]) * source_hz / target_hz).astype(np.int64)
    made[lost[:, np.minimum(nearest, len(t) - 1)]] = np.nan
    return made


def _check_samples(signal_mv: NDArray[np.float64], partial: bool) -> None:
    if signal_mv.shape[1] == 0:
        raise RecordingError("short", "holds no samples")
    lost = np.isnan(signal_mv)
    if lost.any() and not partial:
        leads = [lead for lead, bad in zip(CLINICAL, lost, strict=True) if bad.any()]
        raise RecordingError(
            "missing samples",
            f"has {int(lost.sum())} missing samples in lead {', '.join(leads)}; leave the recording out or fill them",
        )


def _tiled(signal_mv: NDArray[np.float64], samples: int, fs_hz: float, short: str) -> NDArray[np.float64]:
    length = signal_mv.shape[1]
    lasts = f"lasts {length / fs_hz:.3g} s; expected at least {samples / fs_hz:g} s"
    if short == "skip":
        raise RecordingError("short", lasts, "short")
    if length < LEAST_TILE_S * fs_hz:
        raise RecordingError("short", f"{lasts}, or {LEAST_TILE_S:g} s to repeat it")
    return np.tile(signal_mv, (1, math.ceil(samples / length)))
