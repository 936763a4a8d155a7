"""Finds the file of a recording, and reads it with the reader for its form."""

from __future__ import annotations

from pathlib import Path

from . import dicom, edf
from .raw import UNITS_MV, Raw, read_csv, read_npz, read_wfdb
from .wfdb_header import RecordingError

_READERS = {
    ".hea": read_wfdb,
    ".npz": read_npz,
    ".csv": read_csv,
    ".edf": edf.read,
    ".dcm": dicom.read,
}
SUFFIXES = (*_READERS, ".dat", ".mat")  # by which a recording may be named


def find_recording(path: str | Path) -> Path:
    """Return the file of a recording, which may be named without suffix, or a WFDB record as .dat or .mat.

    DICOM files may have any name. Without any file, this is the .hea file that would be expected.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.is_file() and (suffix in _READERS or (suffix not in SUFFIXES and dicom.is_dicom(path))):
        return path
    stem = path.with_suffix("") if suffix in SUFFIXES else path
    files = [stem.with_name(stem.name + ending) for ending in _READERS]
    return next((file for file in files if file.is_file()), files[0])


def read_raw(path: str | Path, *, seconds: float | None = None, unit: str | None = None) -> Raw:
    """Read the first `seconds` of a recording, or all of it; see `sssd.io.raw`.

    RecordingError if the recording is missing or cannot be read.
    """
    file = find_recording(path)
    if not file.is_file():
        named = str(file.with_suffix(""))
        raise RecordingError("missing file", f"there is no record {named!r} ({', '.join(_READERS)})")
    if unit is not None and unit.lower() not in UNITS_MV:
        raise ValueError(f"unit is {unit!r}; expected uV, mV or V")
    read = _READERS.get(file.suffix.lower(), dicom.read)
    return read(file, seconds, unit)
