"""Recordings as they lie in files: any leads in mV, with the names and comments that the file has.

The readers of WFDB, NPZ and CSV are here; `readers` chooses the one for a file. Each reads the first `seconds` or all
of it. unit: what one unit of the stored numbers is, "uV", "mV" or "V", whatever the file says of it; in a WFDB file
these are the integers less the baseline, in EDF and DICOM the integers. content: of the file, if it is in memory; then
nothing is opened. RecordingError if a recording cannot be read.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import counted
from ..labels import names_of
from ..leads import CLINICAL, lead_of
from ..record import is_statement, unescaped
from ..tables.cells import read_cells
from .arrays import read_arrays
from .wfdb_header import Header, RecordingError, read_header

UNITS_MV = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}
TIME = "time_s"  # the column of a table that holds the time
_TIME = re.compile(r"time[\s_]*[\[(]?(ms|s)[\])]?", re.IGNORECASE)  # and other ways to write it


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
    """Read the record of a header.

    Leads with more samples than others are averaged, so that they have as many.
    """
    header = read_header(file)
    if header.segments:
        return _joined(file, header, seconds, unit)
    record = _wfdb_record(file, header, seconds)
    if not record.e_p_signal:
        raise RecordingError("unreadable header", "the header states no signals")
    frame, notes = min(record.samps_per_frame), header.notes
    if any(number % frame for number in record.samps_per_frame):
        listed = ", ".join(map(str, sorted(set(record.samps_per_frame))))
        raise RecordingError(
            "sampling rate", f"has leads with {listed} samples in a frame; expected one sampling rate"
        )
    signal = np.stack(
        [row.reshape(-1, len(row) // record.sig_len // frame).mean(axis=1) for row in record.e_p_signal]
    )
    if max(record.samps_per_frame) > frame:
        notes += (f"leads with more than {header.fs_hz * frame:g} samples a second are averaged",)
    gains, names = list(record.adc_gain or []), tuple(map(str, record.sig_name))
    gain = None
    if unit is None:
        scales = [scale_of(str(one), name) for one, name in zip(record.units, names, strict=True)]
        gain = gains[0] / scales[0] if gains else None
    else:
        scales = [gain * UNITS_MV[unit.lower()] for gain in gains]
    if signal.shape[0]:
        signal = signal * np.array(scales)[:, None]
    return Raw(signal, names, header.fs_hz * frame, gain, header.comments, notes)


def _wfdb_record(file: Path, header: Header, seconds: float | None) -> Any:
    """Return the record that the WFDB library reads."""
    import wfdb

    needed = (
        None
        if seconds is None or not header.samples
        else min(math.ceil(seconds * header.fs_hz), header.samples)
    )
    with _readable(file, header) as stem:
        try:
            return wfdb.rdrecord(stem, sampto=needed, smooth_frames=False)
        except FileNotFoundError as error:
            missing = Path(str(error.filename)).name
            raise RecordingError("missing file", f"its signal file {missing!r} is missing") from error
        except Exception as error:  # wfdb raises many kinds of errors
            raise RecordingError(*_said(error)) from error


def _joined(file: Path, header: Header, seconds: float | None, unit: str | None) -> Raw:
    """Return a record of segments, whose leads are joined by name; where a segment lacks a lead, it is NaN."""
    wanted = sum(samples for _, samples in header.segments)
    if seconds is not None:
        wanted = min(wanted, math.ceil(seconds * header.fs_hz))
    rows: dict[str, NDArray[np.float64]] = {}
    gain, start = None, 0
    for name, samples in header.segments:
        needed = min(samples, wanted - start)
        if needed and name != "~":
            segment = file.with_name(f"{name}.hea")
            if not segment.is_file() or read_header(segment).segments:
                raise RecordingError("missing file", f"its segment {name!r} is missing")
            part = read_wfdb(segment, needed / header.fs_hz, unit)
            if part.fs_hz != header.fs_hz or part.signal_mv.shape[1] < needed:
                raise RecordingError(
                    "unreadable header",
                    f"the segment {name!r} has {part.signal_mv.shape[1]} samples at {part.fs_hz:g} Hz; "
                    f"the header states {samples} at {header.fs_hz:g} Hz",
                )
            gain = part.gain if gain is None else gain
            for lead, row in zip(part.names, part.signal_mv, strict=True):
                rows.setdefault(lead, np.full(wanted, np.nan))[start : start + needed] = row[:needed]
        start += needed
    signal = np.stack(list(rows.values())) if rows else np.zeros((0, wanted))
    return Raw(signal, tuple(rows), header.fs_hz, gain, header.comments, header.notes)


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
                raise RecordingError("missing file", f"its signal file {source.name!r} is missing")
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
        raise RecordingError("unit", f"lead {name} is in {unit!r}; expected mV, uV or V", "unit")
    return scale


def read_npz(
    file: Path, seconds: float | None = None, unit: str | None = None, content: bytes | None = None
) -> Raw:
    """Read an archive of one recording."""
    try:
        data = read_arrays(file, content)
    except (OSError, ValueError, MemoryError) as error:
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
    values = signal.astype(np.float64)
    if signal.dtype.kind == "i" and signal.dtype.itemsize == 2:
        values[signal == -32768] = np.nan  # as in WFDB
    return Raw(values * scale, tuple(names), fs_hz, statements=statements)


def read_csv(
    file: Path, seconds: float | None = None, unit: str | None = None, content: bytes | None = None
) -> Raw:
    """Read a table as `sssd.io.csv_table` writes it, and spreadsheets afterwards.

    It has a column time_s and one in mV for each lead. Columns may name other units: time_ms, "I (uV)". Its column of
    statements, if there is one, is read in the first row; other columns are not used.
    """
    try:
        names, *rows = read_cells(file, content)
        times = [match for match in map(_TIME.fullmatch, names) if match]
        if len(times) != 1 or len(rows) < 2:
            raise ValueError(
                f"it has {counted(len(rows), 'row')}, and columns {', '.join(names)}; expected {TIME} and leads in mV"
            )
        used = [names.index(times[0].string), *(i for i, name in enumerate(names) if lead_of(name))]
        table = _numbers([[row[i] for i in used] for row in rows])
    except (OSError, ValueError) as error:
        raise RecordingError("unreadable", f"cannot be read as a table of samples ({error})") from error
    time_s = table[:, 0] * (1e-3 if times[0][1].casefold() == "ms" else 1.0)
    step = np.diff(time_s)
    if not (step > 0).all() or np.abs(step - step.mean()).max() > 0.01 * step.mean():
        raise RecordingError(
            "sampling rate", f"{names[used[0]]} does not rise evenly; expected one sampling rate"
        )
    fs_hz = round((len(time_s) - 1) / float(time_s[-1] - time_s[0]), 3)
    leads = [names[i] for i in used[1:]]
    scales = [UNITS_MV[unit.lower()] if unit is not None else _unit_in(name) for name in leads]
    length = None if seconds is None else math.ceil(seconds * fs_hz)
    written = rows[0][names.index("statements")].split() if "statements" in names else []
    codes = tuple(map(unescaped, written))
    statements = codes if all(map(is_statement, codes)) else ()
    return Raw((table[:length, 1:] * scales).T, tuple(leads), fs_hz, statements=statements)


def _numbers(rows: list[list[str]]) -> NDArray[np.float64]:
    """Return the numbers of a table (rows, columns), NaN for empty cells; ValueError where a cell is no number.

    A comma is the decimal sign if there is no point in the whole table.
    """
    commas = not any("." in cell for row in rows for cell in row)
    return np.array(
        [
            [float(cell.replace(",", ".") if commas else cell) if cell else np.nan for cell in row]
            for row in rows
        ]
    )


def _unit_in(name: str) -> float:
    """Return mV in the unit that a column's name ends with, as "I (uV)"; without one it is mV."""
    match = re.search(r"[\[(]\s*(\w?v)\s*[\])]$", name, re.IGNORECASE)
    return 1.0 if match is None else scale_of(match[1], name)


def rate_of(value: NDArray[Any]) -> float:
    """Return a sampling rate, which may be an array of one number."""
    number = float(value.reshape(())) if value.size == 1 and value.dtype.kind in "iuf" else math.nan
    if not 0 < number < math.inf:
        raise RecordingError(
            "sampling rate", f"fs_hz is {value.dtype} {value.tolist()!r}; expected one sampling rate above 0"
        )
    return number
