"""One ECG in the format that the suffix of its file names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..plot import paper
from ..record import Ecg
from . import challenge, csv_table, dicom, edf, npz, wfdb
from .figure import SUFFIXES as PICTURES
from .figure import save_figure

_WRITERS: dict[str, Callable[..., Path]] = {
    ".hea": wfdb.write,
    ".dat": wfdb.write,
    ".npz": lambda path, ecg, *, overwrite: npz.write(path, [ecg], overwrite=overwrite),
    ".mat": challenge.write,
    ".csv": csv_table.write,
    ".edf": edf.write,
    ".dcm": dicom.write,
}
_SUFFIXES = (*_WRITERS, *PICTURES)


def save(ecg: Ecg, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write an ECG and return the path; see `Ecg.save`."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return save_figure(paper(ecg), path, overwrite=overwrite)
    write = wfdb.write if suffix == "" else _WRITERS.get(suffix)
    if write is not None:
        return write(path, ecg, overwrite=overwrite)
    raise ValueError(
        f"cannot tell the format of {path.name!r} from its suffix; use one of {', '.join(_SUFFIXES)}, "
        "or none for WFDB"
    )
