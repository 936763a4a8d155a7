"""The files of each record: a record with noise has its `clean` record beside it, as NAME_clean.

In formats of one file, annotations are a table beside the record, NAME_annotations.csv. In formats with a header of
WFDB, they are a file of WFDB, NAME.atr.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..record import ANNOTATIONS, Ecg, with_clean
from . import annotation_files
from .files import write_files


def write_each(path: str | Path, ecg: Ecg, render: Callable[[Ecg], bytes], *, overwrite: bool) -> Path:
    """Write the file of a record, and that of its `clean` record, and return the path of the first: both or none."""
    path = Path(path)
    write_files(path.parent, render_each(path.stem, path.suffix, ecg, render), overwrite=overwrite)
    return path


def render_each(name: str, suffix: str, ecg: Ecg, render: Callable[[Ecg], bytes]) -> dict[str, bytes]:
    """Return the contents of these files by their names."""
    return {f"{stem}{suffix}": render(one) for stem, one in with_clean(name, ecg)} | render_annotations(
        name, ecg
    )


def render_headed(
    name: str, suffix: str, ecg: Ecg, render: Callable[[str, Ecg], tuple[str, bytes]]
) -> dict[str, bytes]:
    """Return the contents of the files of a format with a header, by their names.

    suffix: of the signal file. render: returns the header and the content of the signal file, from a name and a record.
    """
    files: dict[str, bytes] = {}
    for stem, one in with_clean(name, ecg):
        header, data = render(stem, one)
        files |= {f"{stem}{suffix}": data, f"{stem}.hea": header.encode("ascii")}
        files |= {f"{stem}.atr": annotation_files.atr(one)} if one.annotations else {}
    return files


def render_annotations(name: str, ecg: Ecg) -> dict[str, bytes]:
    """Return the tables of the annotations by their names; none without annotations."""
    marked = [(stem, one) for stem, one in with_clean(name, ecg) if one.annotations]
    return {f"{stem}{ANNOTATIONS}.csv": annotation_files.table(one) for stem, one in marked}
