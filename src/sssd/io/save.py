"""One ECG in the format that the suffix of its file names."""

from __future__ import annotations

from pathlib import Path

from ..plot import paper
from ..record import Ecg
from . import csv_table, npz, wfdb
from .figure import SUFFIXES as PICTURES
from .figure import save_figure

_SUFFIXES = (".hea", ".dat", ".npz", ".csv", *PICTURES)


def save(ecg: Ecg, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write an ECG and return the path; see `Ecg.save`."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return save_figure(paper(ecg), path, overwrite=overwrite)
    if suffix in ("", ".hea", ".dat"):
        return wfdb.write(path, ecg, overwrite=overwrite)
    if suffix == ".npz":
        return npz.write(path, [ecg], overwrite=overwrite)
    if suffix == ".csv":
        return csv_table.write(path, ecg, overwrite=overwrite)
    raise ValueError(
        f"cannot tell the format of {path.name!r} from its suffix; use one of {', '.join(_SUFFIXES)}, "
        "or none for WFDB"
    )
