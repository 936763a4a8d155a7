"""A set of ECGs as a folder: records, one archive of all, pictures, and a manifest that lists every file.

out/manifest.json   out/ecgs.npz   out/NAME.hea   out/NAME.dat   out/NAME.csv   out/NAME.png ...   out/overview.png
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..record import Ecg
from . import csv, npz, wfdb
from .files import scratch
from .manifest import write_manifest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("wfdb", "npz", "csv", "png", "svg", "pdf")
MANIFEST = "manifest.json"
OVERVIEW = "overview"  # one picture of the first records
ON_OVERVIEW = 12
_TAKEN = ("ecgs", "manifest", OVERVIEW)
_KIND = "sssd-ecg set"


def save_set(
    ecgs: Sequence[Ecg],
    out_dir: str | Path,
    formats: Sequence[str],
    *,
    names: Sequence[str],
    labels: np.ndarray | None = None,
    label_names: Sequence[str] | None = None,
    manifest: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ECGs in the given `formats` into a folder and return it; missing parents are made.

    names (n,) are the file names without suffix; labels (n, K) with label_names (K,) go into ecgs.npz;
    `manifest` is written with the keys "kind" and "files" added. The folder is filled completely or not at
    all. FileExistsError where it exists and is not empty; with `overwrite`, the files of an earlier set are
    replaced, but a folder without a manifest of ours or with other files in it is still refused.
    progress: called with (records written, all records).
    """
    formats = check_formats(formats)
    names = tuple(names)
    if len(names) != len(ecgs) or len({name.lower() for name in names}) != len(names):
        raise ValueError(
            f"{len(ecgs)} ECGs need as many different names; got {len(set(names))} in {len(names)}"
        )
    for name in names:
        if not re.fullmatch(r"[\w-]+", name, re.ASCII) or name.lower() in _TAKEN:
            raise ValueError(
                f"a record name holds letters, digits, '_' and '-', and is none of {', '.join(_TAKEN)}; "
                f"got {name!r}"
            )
    out = Path(out_dir).resolve()
    old = earlier_files(out, overwrite)
    # Beside the target where it is new, to be renamed; inside where it exists (it may be a mounted volume).
    parent = out if out.exists() else next(folder for folder in out.parents if folder.exists())
    with scratch(parent, out.name) as temporary:
        part = temporary / "set"
        part.mkdir()
        for done, (name, ecg) in enumerate(zip(names, ecgs, strict=True), start=1):
            _write_record(part / name, ecg, formats)
            if progress is not None:
                progress(done, len(names))
        if len(names) > 1:
            _write_overview(part / OVERVIEW, ecgs[:ON_OVERVIEW], formats)
        if "npz" in formats:
            npz.write(part / "ecgs.npz", ecgs, labels=labels, label_names=label_names)
        files = sorted(path.name for path in part.iterdir())
        write_manifest(part / MANIFEST, {**(manifest or {}), "kind": _KIND, "files": files})
        if out.exists():
            _move_into(part, out, old)
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            os.rename(part, out)
    return out


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats as a tuple; ValueError unless there is one and all are known."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"unknown format {', '.join(unknown) or '(none)'}; choose from {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(formats))


def _write_record(path: Path, ecg: Ecg, formats: tuple[str, ...]) -> None:
    if "wfdb" in formats:
        wfdb.write(path, ecg)
    if "csv" in formats:
        csv.write(path.with_name(path.name + ".csv"), ecg)
    pictures = _pictures(formats)
    if pictures:
        from ..plot import paper

        _save_pictures(paper(ecg), path, pictures)


def _write_overview(path: Path, ecgs: Sequence[Ecg], formats: tuple[str, ...]) -> None:
    pictures = _pictures(formats)
    if pictures:
        from ..plot import sheet

        _save_pictures(sheet(ecgs), path, pictures)


def _pictures(formats: tuple[str, ...]) -> list[str]:
    return [name for name in formats if name in ("png", "svg", "pdf")]


def _save_pictures(figure: Figure, path: Path, suffixes: Sequence[str]) -> None:
    from ..plot import save_figure

    for suffix in suffixes:
        save_figure(figure, path.with_name(f"{path.name}.{suffix}"))


def earlier_files(out: Path, overwrite: bool) -> list[str]:
    """The files of an earlier set in `out` that may be replaced; the manifest is the first of them.

    FileExistsError where `save_set` would refuse the folder.
    """
    if not out.exists():
        return []
    if not out.is_dir():
        raise FileExistsError(f"{str(out)!r} is a file; choose another folder")
    found = {path.name for path in out.iterdir()}
    if not found:
        return []
    if not overwrite:
        raise FileExistsError(
            f"the folder {str(out)!r} is not empty; choose another or pass overwrite=True (--overwrite)"
        )
    listed: Any = None
    if MANIFEST in found:
        try:
            listed = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        except ValueError:
            listed = None
    if not isinstance(listed, dict) or listed.get("kind") != _KIND:
        raise FileExistsError(
            f"the folder {str(out)!r} was not written by sssd-ecg and stays untouched; choose another"
        )
    ours = [MANIFEST, *(str(name) for name in listed.get("files", []))]
    foreign = sorted(found - set(ours))
    if foreign:
        raise FileExistsError(
            f"the folder {str(out)!r} also holds {foreign[0]!r}, which sssd-ecg did not write; choose another"
        )
    return [name for name in ours if name in found]


def _move_into(part: Path, out: Path, old: list[str]) -> None:
    """Replace the files `old` of `out` by those of `part`; the manifest goes first and comes last."""
    for name in old:
        (out / name).unlink()
    new = sorted((path.name for path in part.iterdir()), key=lambda name: name == MANIFEST)
    moved: list[str] = []
    try:
        for name in new:
            os.replace(part / name, out / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            (out / name).unlink(missing_ok=True)
        raise
