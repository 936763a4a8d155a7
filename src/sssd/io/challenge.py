"""Records in the form of the PhysioNet challenges 2020 and 2021: NAME.hea with diagnoses, and NAME.mat.

    #Age: 74
    #Sex: Female
    #Dx: 164889003,164873001

Diagnoses are SNOMED CT codes, by the table with which `prepare` reads such headers (sssd.snomed). Statements without
a code are in the comments behind, with the provenance. The signal is a MATLAB 4 matrix `val` (12, L) int16 of 1 uV per
unit, which the WFDB library reads as format 16 behind 24 bytes.
"""

from __future__ import annotations

import io
from pathlib import Path

from ..record import Ecg
from . import wfdb
from .comments import clinical, written
from .each import render_headed
from .files import write_files
from .units import microvolts


def write(path: str | Path, ecg: Ecg, *, overwrite: bool = False) -> Path:
    """Write `path`.hea and `path`.mat (a suffix .hea or .mat is dropped) and return the path of the header.

    Errors are those of `sssd.io.wfdb.write`.
    """
    path = Path(path)
    stem = path.with_suffix("") if path.suffix.lower() in (".hea", ".mat") else path
    write_files(stem.parent, render_files(wfdb.checked_name(stem), ecg), overwrite=overwrite)
    return stem.with_name(stem.name + ".hea")


def render_files(name: str, ecg: Ecg) -> dict[str, bytes]:
    """Return the contents of all files of a record, by their names; those of its `clean` record as well."""
    return render_headed(name, ".mat", ecg, render)


def render(name: str, ecg: Ecg) -> tuple[str, bytes]:
    """Return the content of `name`.hea and `name`.mat. ValueError for values beyond +-32.767 mV."""
    from scipy.io import savemat

    units = microvolts(ecg.signal)  # (12, L)
    matrix = io.BytesIO()
    savemat(matrix, {"val": units.astype("<i2")}, format="4")
    comments = [*_fields(ecg), *(f" {line}" for line in written(ecg))]
    return wfdb.header(name, ecg, units, f"{name}.mat 16+24", comments), matrix.getvalue()


def _fields(ecg: Ecg) -> list[str]:
    fields = {name: "Unknown" for name in ("Age", "Sex", "Dx", "Rx", "Hx", "Sx")} | clinical(ecg)
    return [f"{name}: {text}" for name, text in fields.items()]
