"""Recordings that somebody sends: the contents of their files, which are never written to the disk.

The forms are those that files have. A sender is distrusted: names are no paths, and nothing is unpacked that could
become larger than it may.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

from . import dicom, edf, wfdb_signals
from .raw import Raw, read_csv, read_npz
from .wfdb_header import RecordingError

LONGEST = 400  # characters of a message
MOST_BYTES = 32_000_000  # of an archive, once it is unpacked
_COMPRESSED = b"1.2.840.10008.1.2.1.99"  # the transfer syntax of DICOM files that are compressed as a whole
_READERS = {".npz": read_npz, ".csv": read_csv, ".edf": edf.read, ".dcm": dicom.read}
_EXPECTED = "a WFDB header with its signal file, or one file .npz, .csv, .edf or .dcm"


def read_files(files: Mapping[str, bytes], *, seconds: float | None = None) -> Raw:
    """Read the first `seconds` of a recording from its files, by name: one file, or a WFDB header and its signals.

    A DICOM file may have any name. RecordingError if it cannot be read; its message is one line.
    """
    try:
        return _read(files, seconds)
    except RecordingError as error:
        line = "".join(char if char.isprintable() else " " for char in str(error))  # it may quote the file
        raise RecordingError(
            error.reason, line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
        ) from None


def _read(files: Mapping[str, bytes], seconds: float | None) -> Raw:
    named = {PureWindowsPath(name).name: content for name, content in files.items()}  # without folders
    forms = {name: _form(name, content) for name, content in named.items()}
    main = [name for name, form in forms.items() if form in (".hea", *_READERS)]
    if len(main) != 1 or (forms[main[0]] != ".hea" and len(named) > 1):
        found = ", ".join(f"{name[:80]!a}" for name in named) or "no file"
        raise RecordingError("missing file", f"got {found}; expected {_EXPECTED}")
    (name,) = main
    content = named[name]
    if forms[name] == ".hea":
        return wfdb_signals.read(content, named)
    if forms[name] == ".npz":
        _check_archive(content)
    if forms[name] == ".dcm" and _COMPRESSED in content:
        raise RecordingError("unreadable", "is a compressed DICOM file; expected one that is not")
    return _READERS[forms[name]](Path(name), seconds, None, content)


def _form(name: str, content: bytes) -> str:
    suffix = Path(name).suffix.lower()
    known = suffix in (".hea", ".dat", ".mat", *_READERS)
    return ".dcm" if not known and content[128:132] == b"DICM" else suffix


def _check_archive(content: bytes) -> None:
    """Raise RecordingError if an archive would become larger than it may; it cannot become larger than it says."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise RecordingError("unreadable", f"cannot be read as an NPZ record ({error})") from error
    if size > MOST_BYTES:
        raise RecordingError("unreadable", f"unpacks to {size} bytes; expected at most {MOST_BYTES}")
