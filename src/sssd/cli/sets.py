"""Sets of records as commands write them: a folder with a manifest, which says of each record how it was made."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..drawing import PICTURES, USUAL, Drawing
from ..labels import names_of
from ..patient import facts
from .console import note

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.progress import Progress as Bar

    from ..records import Records

KIB = {  # least size of a record of 10 s at 100 Hz
    "wfdb": 24,
    "npz": 20,
    "csv": 70,
    "edf": 27,
    "dicom": 120,
    "challenge": 24,
    "png": 120,
    "svg": 200,
    "pdf": 60,
}


def write_records(
    ecgs: Records,
    out: Path,
    formats: Sequence[str],
    *,
    asked: Sequence[Sequence[str]],
    manifest: Mapping[str, Any],
    overwrite: bool,
    bar: Bar,
    drawing: Drawing = USUAL,
    shown: Sequence[Mapping[str, bool | None]] | None = None,
) -> list[str]:
    """Write records into a folder with a manifest, and return their names.

    asked: the statements that were asked for, of each record. manifest: what it holds beside the facts of the records.
    drawing: how pictures of records are drawn. shown: which statements each record shows, of `signals.rules.shown`;
    None if that was not checked.
    """
    from ..io.folder import save_set

    names = [_file_name(codes, i) for i, codes in enumerate(asked)]
    writing = bar.add_task("writing", total=len(ecgs))
    save_set(
        ecgs,
        out,
        formats,
        names=names,
        labels=ecgs.request.vectors,
        label_names=ecgs.names,
        manifest={
            **ecgs.how,
            **manifest,
            "fs_hz": ecgs.fs_hz,
            "leads": list(ecgs.leads),
            "label_names": list(ecgs.names),
            "records": [
                {
                    "name": name,
                    **_facts(ecgs, i, asked[i]),
                    **({} if shown is None else {"shown": dict(shown[i])}),
                }
                for i, name in enumerate(names)
            ],
        },
        drawing=drawing,
        overwrite=overwrite,
        progress=lambda done, _: bar.update(writing, completed=done),
    )
    return names


def _facts(ecgs: Records, i: int, asked: Sequence[str]) -> dict[str, Any]:
    """Return what the manifest says about record i, for which the statements `asked` were asked for."""
    one, how = ecgs.request.part(slice(i, i + 1)), ecgs.how
    vector = one.vectors[0]
    return {
        "index": i,
        "seed": how["seed"],
        "requested": list(asked),
        "statements": list(names_of(vector, ecgs.names)),
        **facts(**one.known, records=1)[0],
        "labels": [int(v) if v == int(v) else float(v) for v in vector.tolist()],
        "sampler": how["sampler"],
        "steps": how["steps"],
        "model": how["model"],
        **({} if ecgs.attempts is None else {"attempt": ecgs.attempts[i]}),
    }


def check_space(
    out: Path, formats: Sequence[str], records: int, *, seconds: float = 10.0, fs_hz: float = 100.0
) -> None:
    """Raise OSError if the folder is not writable, or the disk has less room than the records need at least."""
    folder = next(f for f in (out.resolve(), *out.resolve().parents) if f.exists())
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{str(folder)!r} is not writable; choose another --out")
    size = sum(KIB[name] * (1 if name in PICTURES else fs_hz / 100) for name in formats)
    size *= 1024 * records * seconds / 10
    needed, free = size, shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{records} records take at least {needed / 1e6:.0f} MB, and the disk of {str(out)!r} has "
            f"{free / 1e6:.0f} MB left: make room, or choose fewer records or formats"
        )


def check_length(formats: Sequence[str], seconds: float, fs_hz: float) -> None:
    """Raise ValueError if a format cannot hold records of so many seconds at this rate."""
    if "dicom" in formats:
        from ..io.dicom import factor_of

        factor_of(round(seconds * fs_hz), fs_hz)


def note_codes(vectors: NDArray[np.float32], names: Sequence[str]) -> None:
    """Note which statements of the vectors (n, K) have no code in the form of the challenges."""
    from ..snomed import without_code

    used = dict.fromkeys(name for row in vectors for name in names_of(row, names))
    absent = without_code(tuple(used))
    if absent:
        note(f"the challenges have no SNOMED CT code for {', '.join(absent)}: headers have it in a comment")


def _file_name(codes: Sequence[str], i: int) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(codes)).strip("-")[:40].strip("-")
    return f"{stem or 'ecg'}_{i:05d}"
