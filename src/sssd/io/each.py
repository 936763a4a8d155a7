"""Formats of one file for each record: a record with noise has its `clean` record beside it, as NAME_clean.

Annotations are a table beside the record, NAME_annotations.csv.
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


def render_annotations(name: str, ecg: Ecg) -> dict[str, bytes]:
    """Return the tables of the annotations by their names; none without annotations."""
    marked = [(stem, one) for stem, one in with_clean(name, ecg) if one.annotations]
    return {f"{stem}{ANNOTATIONS}.csv": annotation_files.table(one) for stem, one in marked}
