"""A set of ECGs as a folder: records, one archive of all of them, pictures, and a manifest that lists every file.

out/manifest.json   out/ecgs.npz   out/NAME.hea   out/NAME.dat   out/NAME.csv   out/NAME.edf   out/NAME.dcm
out/NAME.png ...   out/overview.png; in the form of the challenges out/NAME.hea   out/NAME.mat
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import needed_for
from ..drawing import PICTURES, USUAL, Drawing
from ..plot import draw, paper, sheet
from ..record import ANNOTATIONS, CLEAN, Ecg
from . import challenge, csv_table, dicom, edf, npz, wfdb
from .each import render_each
from .files import move_in, scratch, sync, sync_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("wfdb", "npz", "csv", "edf", "dicom", "challenge", "png", "svg", "pdf")
_ONE_FILE: dict[str, tuple[str, Any]] = {
    "csv": (".csv", csv_table),
    "edf": (".edf", edf),
    "dicom": (".dcm", dicom),
}
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
    drawing: Drawing = USUAL,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ECGs in the given `formats` into a folder and return it; missing parent folders are made.

    names (n,) are the file names without suffix. A record with noise has its `clean` record beside it, NAME_clean.
    labels (n, K) with label_names (K,) go into ecgs.npz. `manifest` is written with the keys "kind" and "files" added.
    drawing: how pictures of records are drawn. `progress` is called with (records written, all records).

    The folder is filled completely or stays as it was. FileExistsError if it exists and is not empty. With `overwrite`
    the files of an earlier set are replaced, but a folder without our manifest, or with other files in it, is still
    refused.
    """
    formats = check_formats(formats)
    names = tuple(names)
    if len(names) != len(ecgs) or len({name.lower() for name in names}) != len(names):
        raise ValueError(
            f"{len(ecgs)} ECGs need as many different names; got {len(set(names))} in {len(names)}"
        )
    for name in names:
        for end in (CLEAN, ANNOTATIONS):
            if name.endswith(end) and name.removesuffix(end) in names:
                raise ValueError(f"the name {name!r} is that of a file that may lie beside another record")
        if not re.fullmatch(r"[\w-]+", name, re.ASCII) or name.lower() in _TAKEN:
            raise ValueError(
                f"a record name holds letters, digits, '_' and '-', and is none of {', '.join(_TAKEN)}; "
                f"got {name!r}"
            )
    out = Path(out_dir).resolve()
    old = earlier_files(out, overwrite)
    # A new folder is made beside its place and renamed; one that exists is filled, as it may be a mounted volume.
    parent = out if out.exists() else next(folder for folder in out.parents if folder.exists())
    with scratch(parent, out.name) as temporary:
        part = temporary / "set"
        part.mkdir()
        for done, (name, ecg) in enumerate(zip(names, ecgs, strict=True), start=1):
            _write(part, _record_files(name, ecg, formats, drawing))
            if progress is not None:
                progress(done, len(names))
        if len(names) > 1 and _pictures(formats):
            _write(part, _drawn(OVERVIEW, sheet(ecgs[:ON_OVERVIEW]), formats))
        if "npz" in formats:
            _write(part, {"ecgs.npz": npz.render(ecgs, labels=labels, label_names=label_names)})
        files = sorted(path.name for path in part.iterdir())
        _write(part, {MANIFEST: manifest_json({**(manifest or {}), "kind": _KIND, "files": files})})
        sync_files(part)
        if out.exists():  # the manifest goes first and comes last: a folder with a manifest is complete
            move_in([part / name for name in (*files, MANIFEST)], out, temporary / "old", remove=old)
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            os.rename(part, out)
        sync(out)
    return out


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """Return the formats as a tuple without repetitions. ValueError if there are none or one is unknown.

    ModuleNotFoundError if one needs a package that is not installed.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"unknown format {', '.join(unknown) or '(none)'}; choose from {', '.join(FORMATS)}")
    if {"wfdb", "challenge"} <= set(formats):
        raise ValueError("wfdb and challenge both write NAME.hea: choose one of them, or write two folders")
    if "edf" in formats:
        with needed_for("EDF needs", "clinical"):
            import edfio  # noqa: F401
    if "dicom" in formats:
        with needed_for("DICOM needs", "clinical"):
            import pydicom  # noqa: F401
    return tuple(dict.fromkeys(formats))


def manifest_json(manifest: Mapping[str, Any]) -> bytes:
    """Return the text of a manifest, with sorted keys, so that the same content gives the same bytes.

    ValueError if it holds anything but JSON values.
    """
    try:
        text = json.dumps(dict(manifest), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the manifest must hold JSON values only: {error}") from None
    return (text + "\n").encode()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _record_files(name: str, ecg: Ecg, formats: tuple[str, ...], drawing: Drawing) -> dict[str, bytes]:
    """Return the contents of the files of one record by their names."""
    files: dict[str, bytes] = {}
    if "wfdb" in formats:
        files |= wfdb.render_files(name, ecg)
    if "challenge" in formats:
        files |= challenge.render_files(name, ecg)
    for kind in _ONE_FILE.keys() & set(formats):
        suffix, module = _ONE_FILE[kind]
        files |= render_each(name, suffix, ecg, module.render)
    if _pictures(formats):
        files |= _drawn(name, paper(ecg, drawing), formats)
    return files


def _pictures(formats: tuple[str, ...]) -> list[str]:
    return [name for name in formats if name in PICTURES]


def _drawn(name: str, figure: Figure, formats: tuple[str, ...]) -> dict[str, bytes]:
    return {f"{name}.{suffix}": draw(figure, suffix) for suffix in _pictures(formats)}


def earlier_files(out: Path, overwrite: bool) -> list[str]:
    """Return the names of the files of an earlier set in `out` that may be replaced, the manifest first.

    FileExistsError if `save_set` would refuse the folder.
    """
    if not out.exists():
        return []
    if not out.is_dir():
        raise FileExistsError(f"{str(out)!r} is a file; choose another folder")
    found = {path.name for path in out.iterdir()}
    if not found:
        return []
    if not overwrite:
        raise FileExistsError(f"the folder {str(out)!r} is not empty; choose another or pass overwrite=True")
    listed: Any = None
    if MANIFEST in found:
        try:
            listed = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        except ValueError:
            listed = None
    files = listed.get("files") if isinstance(listed, dict) and listed.get("kind") == _KIND else None
    if not isinstance(files, list):
        raise FileExistsError(
            f"the folder {str(out)!r} was not written by sssd-ecg and stays untouched; choose another"
        )
    ours = [MANIFEST, *(str(name) for name in files)]
    foreign = sorted(name for name in found if name not in ours or not (out / name).is_file())
    if foreign:
        raise FileExistsError(
            f"the folder {str(out)!r} also holds {foreign[0]!r}, which sssd-ecg did not write; choose another"
        )
    return [name for name in ours if name in found]
