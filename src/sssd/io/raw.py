"""Recordings as they lie in files: any leads in mV, with the names and comments that the file has.

The readers of WFDB, NPZ and CSV are here; `readers` chooses the one for a file. Each reads the first `seconds` or all
of it. unit: what one unit of the stored numbers is, "uV", "mV" or "V", whatever the file says of it; in a WFDB file
these are the integers less the baseline, in EDF and DICOM the integers. RecordingError if a recording cannot be read.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import names_of
from ..leads import CLINICAL, lead_of
from ..record import is_statement, unescaped
from .wfdb_header import Header, RecordingError, read_header

UNITS_MV = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}
TIME = "time_s"  # the column of a table that holds the time
WORDS = ("synthetic", "requested", "statements")  # columns of a table that say where a record is from


@dataclass(frozen=True, eq=False)
class Raw:
    """A recording before its leads are known.

    signal_mv: (n, L) float64, NaN where samples are missing. names: (n,) as the file has them. gain: the units per mV
    that a WFDB header states, of its first lead. comments: of a WFDB header, or
    the lines of text that an EDF or DICOM file carries as annotations. statements: of an NPZ or CSV file with them.
    notes: what was done to read it.
    """

    signal_mv: NDArray[np.float64]
    names: tuple[str, ...]
    fs_hz: float
    gain: float | None = None
    comments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


def read_wfdb(file: Path, seconds: float | None = None, unit: str | None = None) -> Raw:
    """Read the record of a header."""
    import wfdb

    try:
        header = read_header(file)
        with _readable(file, header) as stem:
            fs_hz, length = header.fs_hz, header.samples
            needed = None if seconds is None or not length else min(math.ceil(seconds * fs_hz), length)
            record = wfdb.rdrecord(stem, sampto=needed)
    except RecordingError:
        raise
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise RecordingError("missing file", f"its signal file {missing!r} is missing") from error
    except Exception as error:  # wfdb raises many kinds of errors
        raise RecordingError(*_said(error)) from error
    if record.p_signal is None:
        raise RecordingError("unreadable header", "the header states no signals")
    signal = np.asarray(record.p_signal.T, np.float64)
    gains, names = list(record.adc_gain or []), tuple(map(str, record.sig_name))
    gain = None
    if unit is None:
        scales = [scale_of(str(one), name) for one, name in zip(record.units, names, strict=True)]
        gain = gains[0] / scales[0] if gains else None
    else:
        scales = [gain * UNITS_MV[unit.lower()] for gain in gains]
    if signal.shape[0]:
        signal = signal * np.array(scales)[:, None]
    return Raw(signal, names, fs_hz, gain, header.comments, header.notes)


@contextmanager
def _readable(file: Path, header: Header) -> Iterator[str]:
    """Yield the name of a record that the WFDB library reads: this one, or links to its files beside a new header."""
    if not header.changed:
        yield str(file.with_suffix(""))
        return
    with tempfile.TemporaryDirectory(prefix="sssd-ecg-") as folder:
        for short, name in header.files.items():
            source = file.parent / name
            if not source.is_file():
                raise FileNotFoundError(2, "no such file", str(source))
            target = os.path.join(folder, short)
            try:
                os.symlink(source.absolute(), target)
            except OSError:  # not every system lets users make links
                shutil.copyfile(source, target)
        (Path(folder) / "record.hea").write_text(header.text, encoding="ascii")
        yield os.path.join(folder, "record")


def _said(error: Exception) -> tuple[str, str]:
    """Return the kind of an error of the WFDB library, and what it says in words of ours."""
    text = str(error)
    if "cannot reshape" in text or "could not broadcast" in text or isinstance(error, EOFError):
        return (
            "cut signal file",
            f"cannot be read as a WFDB record: its signal file is shorter than the header says ({text})",
        )
    return "unreadable", f"cannot be read as a WFDB record ({text})"


def scale_of(unit: str, name: str) -> float:
    """Return mV in one unit. Other signals than the 12 leads may have any unit, as they are not used."""
    scale = UNITS_MV.get(unit.strip().lower(), None if lead_of(name) else 1.0)
    if scale is None:
        raise RecordingError("unit", f"lead {name} is in {unit!r}; expected mV, uV or V")
    return scale


def read_npz(file: Path, seconds: float | None = None, unit: str | None = None) -> Raw:
    """Read an archive of one recording."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            data = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy raise their own errors
        raise RecordingError("unreadable", f"cannot be read as an NPZ record ({error})") from error
    held = [name for name in ("signal_uv", "signal_mv") if name in data]
    if len(held) != 1 or "fs_hz" not in data:
        found = ", ".join(data) or "nothing"
        raise RecordingError(
            "unreadable", f"holds {found}; expected signal_uv or signal_mv (12, L), and fs_hz"
        )
    signal = data[held[0]]
    if signal.ndim == 3 and len(signal) == 1:
        signal = signal[0]
    names = [str(name) for name in np.atleast_1d(data.get("leads", np.array(CLINICAL))).astype(np.str_)]
    fs_hz = rate_of(data["fs_hz"])
    if signal.ndim != 2 or len(signal) != len(names) or signal.dtype.kind not in "iuf":
        raise RecordingError(
            "unreadable",
            f"{held[0]} is {signal.dtype} {signal.shape} with {len(names)} lead names; expected numbers (12, L), one "
            "row per lead",
        )
    scale = UNITS_MV[unit.lower()] if unit is not None else 1e-3 if held[0] == "signal_uv" else 1.0
    if seconds is not None:
        signal = signal[:, : math.ceil(seconds * fs_hz)]
    statements: tuple[str, ...] = ()
    labels, classes = data.get("labels"), data.get("label_names")
    if labels is not None and classes is not None and labels.shape == (1, len(classes)):
        statements = names_of(labels[0], [str(name) for name in classes])
    return Raw(signal.astype(np.float64) * scale, tuple(names), fs_hz, statements=statements)


def read_csv(file: Path, seconds: float | None = None, unit: str | None = None) -> Raw:
    """Read a table as `sssd.io.csv_table` writes it: a column time_s, and a column in mV for each lead.

    Its column of statements, if there is one, is read in the first row.
    """
    try:
        with file.open(encoding="utf-8-sig") as lines:
            names = [name.strip() for name in next(lines, "").split(",")]
            if TIME not in names:
                raise ValueError(f"its columns are {', '.join(names)}; expected {TIME} and leads in mV")
            first = next(lines, "")
            table = np.genfromtxt(
                chain([first], lines), delimiter=",", dtype=np.float64, ndmin=2
            )  # empty cells: NaN
    except (OSError, ValueError) as error:
        raise RecordingError("unreadable", f"cannot be read as a table of samples ({error})") from error
    if table.shape[1] != len(names) or len(table) < 2:
        raise RecordingError(
            "unreadable",
            f"is a table {table.shape} with columns {', '.join(names)}; expected {TIME} and one column in mV for each "
            "lead, separated by commas",
        )
    time_s = table[:, names.index(TIME)]
    step = np.diff(time_s)
    if not (step > 0).all() or np.abs(step - step.mean()).max() > 0.01 * step.mean():
        raise RecordingError("sampling rate", f"{TIME} does not rise evenly; expected one sampling rate")
    fs_hz = round((len(time_s) - 1) / float(time_s[-1] - time_s[0]), 3)
    leads = [i for i, name in enumerate(names) if name not in (TIME, *WORDS)]
    scale = 1.0 if unit is None else UNITS_MV[unit.lower()]
    rows = None if seconds is None else math.ceil(seconds * fs_hz)
    cells = dict(zip(names, first.strip().split(","), strict=False))
    statements = tuple(unescaped(code) for code in cells.get("statements", "").split())
    kept = statements if all(map(is_statement, statements)) else ()
    return Raw(table[:rows, leads].T * scale, tuple(names[i] for i in leads), fs_hz, statements=kept)


def rate_of(value: NDArray[Any]) -> float:
    """Return a sampling rate, which may be an array of one number."""
    number = float(value.reshape(())) if value.size == 1 and value.dtype.kind in "iuf" else math.nan
    if not 0 < number < math.inf:
        raise RecordingError(
            "sampling rate", f"fs_hz is {value.dtype} {value.tolist()!r}; expected one sampling rate above 0"
        )
    return number
