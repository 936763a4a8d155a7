"""EDF+ (Kemp and Olivan 2003, doi 10.1016/S1388-2457(03)00123-8): one file of 16-bit samples, 1 uV per unit.

The leads are called "ECG I" ... "ECG V6", as EDF+ wants it. Statements and provenance are annotations in the form of
`sssd.io.comments`, 1 ms apart, so that readers keep their order. The date is 1 January 1985, by which EDF+ marks that
there is none.
"""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import needed_for
from ..leads import lead_of
from ..patient import SEXES
from ..record import Ecg
from ..tables.cells import opened
from .comments import written
from .each import write_each
from .raw import UNITS_MV, Raw, scale_of
from .units import microvolts
from .wfdb_header import RecordingError

_RANGE = (-32768, 32767)  # in uV, and in units
_LARGEST = 61440  # bytes of a data record


def write(path: str | Path, ecg: Ecg, *, overwrite: bool = False) -> Path:
    """Write the file and return its path.

    ValueError for values beyond +-32.767 mV, or a duration that a header of EDF cannot hold; FileExistsError if the
    file exists and `overwrite` is not set; ModuleNotFoundError without edfio.
    """
    return write_each(path, ecg, render, overwrite=overwrite)


def render(ecg: Ecg) -> bytes:
    """Return the content of the file; see `write`."""
    with needed_for("EDF needs", "clinical"):
        import edfio

    units = microvolts(ecg.signal)  # (12, L)
    signals = [
        edfio.EdfSignal(
            row.astype(np.float64),
            ecg.fs_hz,
            label=f"ECG {lead}",
            physical_dimension="uV",
            physical_range=_RANGE,
            digital_range=_RANGE,
        )
        for lead, row in zip(ecg.leads, units, strict=True)
    ]
    try:
        made = edfio.Edf(
            signals,
            patient=_patient(edfio, ecg),
            recording=edfio.Recording(equipment_code="sssd-ecg" if ecg.synthetic else "X"),
            data_record_duration=_record_s(ecg),
            annotations=[edfio.EdfAnnotation(k / 1000, None, line) for k, line in enumerate(written(ecg))],
        )
    except ValueError as error:
        raise ValueError(
            f"EDF holds no {units.shape[1]} samples at {ecg.fs_hz:g} Hz ({error}); expected whole samples in a time of "
            "at most 8 digits"
        ) from None
    content: bytes = made.to_bytes()
    return content


def read(
    file: Path, seconds: float | None = None, unit: str | None = None, content: bytes | None = None
) -> Raw:
    """Read an EDF or EDF+ file, whose leads have one rate; see `sssd.io.raw`."""
    with needed_for("EDF needs", "clinical"):
        import edfio
    with opened(file, content) as binary:
        if binary.read(8).rstrip() != b"0":
            raise RecordingError(
                "unreadable", "is no EDF file, whose first sign is 0; BDF files are not read"
            )
    try:
        with warnings.catch_warnings():  # of the number of data records, which follows from the size
            warnings.simplefilter("ignore")
            held = edfio.read_edf(file if content is None else content)
        signals = [signal for signal in held.signals if lead_of(signal.label)]
        rates = sorted({float(signal.sampling_frequency) for signal in signals})
        if not signals:
            found = ", ".join(signal.label for signal in held.signals) or "none"
            raise RecordingError("leads", f"lacks the 12 leads; its signals are {found}")
        if len(rates) > 1:
            listed = ", ".join(f"{rate:g} Hz" for rate in rates)
            raise RecordingError("sampling rate", f"has leads at {listed}; expected one sampling rate")
        if str(held.reserved).startswith("EDF+D"):
            raise RecordingError("missing samples", "is an EDF file with interruptions (EDF+D)")
        samples = None if seconds is None else math.ceil(seconds * rates[0])
        rows = [_millivolts(signal, unit)[:samples] for signal in signals]
        lines = tuple(note.text for note in held.annotations)
    except RecordingError:
        raise
    except Exception as error:  # edfio raises errors of several kinds over damaged files
        raise RecordingError("unreadable", f"cannot be read as an EDF file ({error})") from error
    return Raw(np.stack(rows), tuple(signal.label for signal in signals), rates[0], comments=lines)


def _millivolts(signal: Any, unit: str | None) -> np.ndarray:
    if unit is not None:
        return np.asarray(signal.digital, np.float64) * UNITS_MV[unit.lower()]
    if signal.physical_min == signal.physical_max:
        raise RecordingError("unit", f"lead {signal.label} has no calibration", "unit")
    dimension = re.sub(
        "^\ufffd{1,2}(?=V$)", "u", signal.physical_dimension
    )  # a micro sign, as edfio reads it
    return np.asarray(signal.data, np.float64) * scale_of(dimension, signal.label)


def _record_s(ecg: Ecg) -> float | None:
    """Return the duration of a data record in s, as long as EDF allows it; None for that which edfio chooses."""
    samples = ecg.signal.shape[1]
    if samples % ecg.fs_hz == 0 and 2 * 12 * samples > _LARGEST:
        return None  # 1 s
    fits = (n for n in range(1, samples + 1) if samples % n == 0 and 2 * 12 * samples // n <= _LARGEST)
    return samples // next(fits) / ecg.fs_hz


def _patient(edfio: Any, ecg: Ecg) -> Any:
    """Return what EDF+ says of the patient: the sex, and whether there is one at all."""
    sex = {SEXES[0]: "M", SEXES[1]: "F"}.get(str(ecg.provenance.get("sex")), "X")
    return edfio.Patient(sex=sex, name="synthetic" if ecg.synthetic else "X")
