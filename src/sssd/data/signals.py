"""One recording from a WFDB or NPZ file: its 12 leads by name, in mV, resampled to 100 Hz."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..leads import CLINICAL

FS_HZ = 100.0
LONGEST_S = 11  # seconds that are read: the 10 s that are kept, and what the filter needs after them
_UNITS_MV = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}


def read_signal(file: Path) -> tuple[NDArray[np.float64], float]:
    """The first 11 s of a recording, (12, L) in mV and in the clinical order, and its sampling rate in Hz.

    file: an .npz or a .hea. FileNotFoundError where a signal file is missing; ValueError where the content is wrong.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no record {str(file.with_suffix(''))!r} (.hea or .npz)")
    return _read_npz(file) if file.suffix == ".npz" else _read_wfdb(file)


def _read_wfdb(header_file: Path) -> tuple[NDArray[np.float64], float]:
    """See `read_signal`; file: the header of a WFDB record."""
    import wfdb

    stem = str(header_file.with_suffix(""))
    try:
        header = wfdb.rdheader(stem)
        needed = math.ceil(LONGEST_S * float(header.fs))
        record = wfdb.rdrecord(stem, sampto=min(needed, header.sig_len) if header.sig_len else None)
        signal, units, names = record.p_signal.T, list(record.units), list(record.sig_name)
        fs_hz = float(record.fs)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{str(header_file)!r}: its signal file {error.filename!r} is missing"
        ) from error
    except Exception as error:  # wfdb raises many kinds of errors
        raise ValueError(f"cannot be read as a WFDB record ({error})") from error
    rows = _lead_rows(names)
    scales = []
    for row in rows:
        scale = _UNITS_MV.get(str(units[row]).strip().lower())
        if scale is None:
            raise ValueError(f"lead {names[row]} is in {units[row]!r}; expected mV, uV or V")
        scales.append(scale)
    return _checked(signal[rows] * np.array(scales)[:, None]), fs_hz


def _read_npz(file: Path) -> tuple[NDArray[np.float64], float]:
    """See `read_signal`; file: an NPZ record."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            data = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy raise their own errors
        raise ValueError(f"cannot be read as an NPZ record ({error})") from error
    held = [name for name in ("signal_uv", "signal_mv") if name in data]
    if len(held) != 1 or "fs_hz" not in data:
        found = ", ".join(data) or "nothing"
        raise ValueError(f"holds {found}; expected signal_uv or signal_mv (12, L), and fs_hz")
    signal = data[held[0]]
    if signal.ndim == 3 and len(signal) == 1:
        signal = signal[0]
    names = [str(name) for name in data.get("leads", np.array(CLINICAL))]
    fs_hz = float(data["fs_hz"])
    if signal.ndim != 2 or len(signal) != len(names) or signal.dtype.kind not in "iuf" or not fs_hz > 0:
        raise ValueError(
            f"{held[0]} is {signal.dtype} {signal.shape} with {len(names)} lead names at {fs_hz:g} Hz; "
            "expected numbers (12, L), one row per lead, at a rate above 0"
        )
    scale = 1e-3 if held[0] == "signal_uv" else 1.0
    signal = signal[_lead_rows(names), : math.ceil(LONGEST_S * fs_hz)]
    return _checked(signal.astype(np.float64) * scale), fs_hz


def _lead_rows(names: Sequence[str]) -> list[int]:
    """The rows of the 12 leads, in the clinical order. Names may have any order and case; other leads are ignored."""
    plain = [str(name).strip().casefold() for name in names]
    missing = [lead for lead in CLINICAL if lead.casefold() not in plain]
    if missing:
        raise ValueError(f"lacks lead {', '.join(missing)}; it has {', '.join(map(str, names)) or 'none'}")
    double = [lead for lead in CLINICAL if plain.count(lead.casefold()) > 1]
    if double:
        raise ValueError(f"has lead {', '.join(double)} twice")
    return [plain.index(lead.casefold()) for lead in CLINICAL]


def _checked(signal_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    if signal_mv.shape[1] == 0:
        raise ValueError("holds no samples")
    lost: NDArray[np.bool_] = np.isnan(signal_mv) | np.isinf(signal_mv)
    if lost.any():
        leads = [lead for lead, bad in zip(CLINICAL, lost, strict=True) if bad.any()]
        raise ValueError(
            f"has {int(lost.sum())} missing samples in lead {', '.join(leads)}; leave the recording out or fill them"
        )
    return signal_mv


def to_100_hz(signal_mv: NDArray[np.float64], fs_hz: float) -> NDArray[np.float64]:
    """Resample (12, L) at fs_hz to (12, L') at 100 Hz with an anti-aliasing filter; 100 Hz stays as it is."""
    if fs_hz == FS_HZ:
        return signal_mv
    from scipy.signal import resample_poly

    ratio = Fraction(FS_HZ / fs_hz).limit_denominator(5000)
    if ratio == 0:
        raise ValueError(f"is sampled at {fs_hz:g} Hz; expected at most 500 kHz")
    # the ends are continued with their first and last value, because zeros would ring where the baseline is not zero
    resampled: NDArray[np.float64] = resample_poly(
        signal_mv, ratio.numerator, ratio.denominator, axis=1, padtype="edge"
    )
    return resampled
