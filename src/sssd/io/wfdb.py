"""WFDB records (PhysioNet): a text header .hea and 16-bit samples .dat, 1 uV per unit.

Statements and provenance are comments at the end of the header, in the form of `sssd.io.comments`. A generated record
also has those of age, sex and diagnoses that are known, as headers of the PhysioNet challenges state them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..leads import CLINICAL, lead_of, twelve_from
from ..record import Ecg
from .comments import clinical, parsed, written
from .each import render_headed
from .files import write_files
from .raw import read_wfdb
from .units import microvolts
from .wfdb_header import RecordingError


def write(path: str | Path, ecg: Ecg, *, overwrite: bool = False) -> Path:
    """Write `path`.hea and `path`.dat (a suffix .hea or .dat is dropped) and return the path of the header.

    Annotations go into `path`.atr. A record with noise has its `clean` record beside it, as `path`_clean. Either all
    files are written or none. ValueError for values beyond +-32.767 mV; FileExistsError if one of the files exists and
    `overwrite` is not set.
    """
    stem = _stem(path)
    write_files(stem.parent, render_files(checked_name(stem), ecg), overwrite=overwrite)
    return stem.with_name(stem.name + ".hea")


def checked_name(stem: Path) -> str:
    """Return the name of a record; ValueError unless a header can hold it."""
    if not re.fullmatch(r"[\w-]+", stem.name, re.ASCII):
        raise ValueError(f"a WFDB record name holds letters, digits, '_' and '-' only; got {stem.name!r}")
    return stem.name


def render_files(name: str, ecg: Ecg) -> dict[str, bytes]:
    """Return the contents of all files of a record, by their names; those of its `clean` record as well."""
    return render_headed(name, ".dat", ecg, render)


def render(name: str, ecg: Ecg) -> tuple[str, bytes]:
    """Return the content of `name`.hea and `name`.dat. ValueError for values beyond +-32.767 mV."""
    units = microvolts(ecg.signal)  # (12, L)
    comments = [f"{name}: {text}" for name, text in clinical(ecg).items()] if ecg.synthetic else []
    comments += [f" {line}" for line in written(ecg)]
    return header(name, ecg, units, f"{name}.dat 16", comments), units.T.astype("<i2").tobytes()


def header(name: str, ecg: Ecg, units: np.ndarray, data: str, comments: Sequence[str]) -> str:
    """Return the text of a header. units: (12, L) in uV. data: the signal file and its format.

    comments: the texts behind the "#".
    """
    lines = [f"{name} 12 {ecg.fs_hz:.15g} {units.shape[1]}"]
    for lead, row in zip(ecg.leads, units, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        lines.append(f"{data} 1000.0(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    return "\n".join([*lines, *(f"#{line}" for line in comments)]) + "\n"


def read(path: str | Path) -> Ecg:
    """Read a 12-lead WFDB record, ours or another's (`path` with or without .hea or .dat).

    The leads keep their order where the file has all 12; others follow from two limb leads, in the clinical order.
    ValueError if it lacks leads, has missing samples or is not in uV, mV or V. FileNotFoundError if it is missing.
    """
    stem = _stem(path)
    header_file = stem.with_name(stem.name + ".hea")
    if not header_file.is_file():
        raise FileNotFoundError(f"there is no WFDB header {str(header_file)!r}")
    try:
        raw = read_wfdb(header_file)
        statements, provenance = parsed(raw.comments)
        signal, leads = (
            raw.signal_mv,
            tuple(lead for lead, sign in filter(None, map(lead_of, raw.names)) if sign == 1),
        )
        if len(leads) != len(raw.names) or sorted(leads) != sorted(CLINICAL):
            signal, leads = twelve_from(raw.signal_mv, raw.names)[0], CLINICAL
        return Ecg(signal=signal, fs_hz=raw.fs_hz, leads=leads, statements=statements, provenance=provenance)
    except ValueError as error:
        missing = isinstance(error, RecordingError) and error.reason == "missing file"
        raise (FileNotFoundError if missing else ValueError)(f"{str(header_file)!r}: {error}") from None


def _stem(path: str | Path) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix.lower() in (".hea", ".dat", ".mat") else path
