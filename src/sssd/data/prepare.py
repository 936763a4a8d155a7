"""Prepare recordings on disk for training and evaluation: one NPZ file at 100 Hz and 10 s.

recordings ─▶ leads by name ─▶ mV ─▶ 100 Hz ─▶ 10 s ─▶ int16 microvolts ─▶ signals.npz, prepare.json

They are PTB-XL's download (Wagner et al. 2020) or a user's own. tables.py says which recordings to read, reading.py
reads them, each by sssd.io.recording.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import counted
from ..io.files import replacing
from ..io.recording import FS_HZ, SAMPLES
from ..labels import CODES, find
from .challenge import challenge_table, has_diagnoses
from .reading import Read, check_skipped, facts, read_all, skipped_csv, warnings
from .recordings import FILE, Recordings, save
from .tables import Listing, TableRow, own_table, ptbxl_table

MANIFEST = "prepare.json"
SKIPPED = "skipped.csv"
PTBXL_LICENCE = (
    "PTB-XL, Wagner et al. 2020, doi 10.13026/kfzx-aw45, is licensed under CC BY 4.0: name the source where "
    "you pass on these data, or a model trained on them."
)


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    labels_csv: str | Path | None = None,
    statements: Sequence[str] | None = None,
    rate: str = "100",
    unit: str | None = None,
    short: str = "skip",
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write OUT/signals.npz and OUT/prepare.json, and return the content of prepare.json.

    Without `labels_csv`, `source` is the PTB-XL download: ptbxl_database.csv and the folder records100, or records500
    with rate="500". A record has a statement when the code is among its scp_codes, whatever its likelihood. The folds
    are PTB-XL's: 1-8 to train, 9 to validate, 10 to test.

    With `labels_csv`, `source` is any folder of records (WFDB, NPZ, CSV, EDF, DICOM) of 12 leads at any sampling rate.
    The first column of the table is the path of the record in `source`, with or without suffix. Then comes one column
    of 0 / 1 for each label, or one column `labels` with names joined by "+". Optional columns are `age` (years), `sex`
    (female or male, or PTB-XL's 1 and 0) and `strat_fold` (1 to 10). Without strat_fold, folds follow from a hash of
    `patient_id`, where there is such a column, or else of the record's path. An NPZ record holds signal_uv (12, L) in
    microvolts or signal_mv (12, L) in mV, fs_hz, and leads unless they are in the clinical order.

    Where `source` is neither, but its headers have lines "#Dx: ..." with SNOMED CT codes, as in the PhysioNet
    challenges of 2020 and 2021, labels, age and sex are read from the headers, and `stated` in signals.npz tells labels
    that are not stated from those that are absent; see sssd.data.challenge.

    statements: keep only these labels, in this order; a statement that no recording has gets a column of zeros.
    unit: "uV", "mV" or "V", where files are wrong about what their numbers are. progress: called with (records done,
    all records).

    Signals are resampled to 100 Hz in the form of PTB-XL and cut to their first 10 s. short: "skip" leaves shorter ones
    out, "tile" repeats them. Recordings that cannot be used are left out, and OUT/skipped.csv lists them with the
    reason; `strict` refuses instead. docs/inputs.md lists all that is accepted.

    FileNotFoundError for a missing folder or table; FileExistsError where OUT holds a prepared set, unless `overwrite`;
    ValueError if a table is wrong, or more than half of the recordings cannot be used. It tells of all at once.
    """
    source, out = Path(source), Path(out)
    if rate not in ("100", "500"):
        raise ValueError(f"rate is {rate!r}; expected '100' or '500', the two versions of PTB-XL")
    if not source.is_dir():
        raise FileNotFoundError(f"there is no folder {str(source)!r}")
    if not overwrite:
        for name in (FILE, MANIFEST, SKIPPED):
            if (out / name).exists():
                raise FileExistsError(
                    f"{str(out / name)!r} exists; choose another folder or pass overwrite=True"
                )
    listing = _listing(source, labels_csv, rate)
    names = listing.label_names
    kept = _choose(names, statements)
    column = {name: new for new, name in enumerate(kept)}

    found = read_all(listing.rows, unit=unit, short=short, progress=progress)
    check_skipped(found, strict=strict)
    rows = found.rows
    labels = np.zeros((len(rows), len(kept)), np.uint8)  # (n, K)
    for n, row in enumerate(rows):
        labels[n, [column[names[k]] for k in row.labels if names[k] in column]] = 1

    recordings = Recordings(
        signal_uv=found.signal_uv,
        labels=labels,
        label_names=kept,
        fs_hz=FS_HZ,
        strat_fold=np.array([row.fold for row in rows], np.int64),
        record_id=np.array([row.record_id for row in rows]),
        age=np.array([row.age for row in rows]),
        sex=np.array([row.sex for row in rows]),
        stated=_stated(rows, names, kept),
    )
    manifest = _manifest(recordings, listing, found, source, labels_csv)
    out.mkdir(parents=True, exist_ok=True)
    targets = [out / FILE, out / MANIFEST, *([out / SKIPPED] if found.skipped else [])]
    with replacing(*targets, overwrite=overwrite) as (signals_part, manifest_part, *skipped_part):
        save(signals_part, recordings)
        manifest_part.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for part in skipped_part:
            part.write_text(skipped_csv(found.skipped), encoding="utf-8")
    if not found.skipped:
        (out / SKIPPED).unlink(missing_ok=True)  # of an earlier result
    return manifest


def _choose(names: tuple[str, ...], statements: Sequence[str] | None) -> tuple[str, ...]:
    if statements is None:
        return names
    if isinstance(statements, str) or len(statements) == 0:
        raise ValueError(f"statements is {statements!r}; expected a list of at least one label")
    kept = [_named(name, names) for name in statements]
    if len(set(kept)) < len(kept):
        raise ValueError(f"statements names a label twice: {', '.join(kept)}")
    return tuple(kept)


def _named(name: str, names: tuple[str, ...]) -> str:
    """Return the label called `name`, from the table or else from the 71 statements, which no recording has then."""
    try:
        return names[find(name, names)]
    except ValueError:
        try:
            return CODES[find(name)]
        except ValueError:
            pass
        raise


def _stated(
    rows: Sequence[TableRow], names: tuple[str, ...], kept: tuple[str, ...]
) -> NDArray[np.uint8] | None:
    """Return (n, K) whether the source says if a recording has a label; None if it always does."""
    if all(row.stated is None for row in rows):
        return None
    stated = np.ones((len(rows), len(kept)), np.uint8)
    for n, row in enumerate(rows):
        if row.stated is not None:
            told = {names[k] for k in row.stated}
            stated[n] = [name in told for name in kept]
    return stated


def _listing(source: Path, labels_csv: str | Path | None, rate: str) -> Listing:
    """Return the recordings of a user's table, of PTB-XL, or of headers with diagnoses."""
    if labels_csv is not None:
        return own_table(source, Path(labels_csv))
    folder = _ptbxl_folder(source)
    if folder is not None:
        return ptbxl_table(folder, rate)
    if has_diagnoses(source):
        return challenge_table(source)
    raise FileNotFoundError(
        f"{str(source)!r} has no ptbxl_database.csv, so it is not the PTB-XL download, and no headers with #Dx lines, "
        "so it is not in the form of the PhysioNet challenges; give labels_csv (--labels) for recordings of your own"
    )


def _ptbxl_folder(source: Path) -> Path | None:
    """Return the folder of PTB-XL's table: `source`, or one that unpacking an archive made inside, once or twice."""
    for pattern in ("", "*/", "*/*/"):
        found = sorted(source.glob(f"{pattern}ptbxl_database.csv"))
        if len(found) > 1:
            listed = ", ".join(str(file.parent) for file in found[:3])
            raise ValueError(
                f"{str(source)!r} holds several downloads of PTB-XL ({listed}); choose one of them"
            )
        if found:
            return found[0].parent
    return None


def _manifest(
    recordings: Recordings,
    listing: Listing,
    found: Read,
    source: Path,
    labels_csv: str | Path | None,
) -> dict[str, Any]:
    folds = np.asarray(recordings.strat_fold)
    rates = {hz: n for hz, n in Counter(f"{one.source_fs_hz:g}" for one in found.recordings).items()}
    known = all(row.patient for row in found.rows)
    patients = {
        fold: len({row.patient for row in found.rows if row.fold == fold}) if known else None
        for fold in range(1, 11)
    }
    by_fold = {}
    for fold in range(1, 11):
        here = folds == fold
        counts = recordings.labels[here].sum(axis=0, dtype=int).tolist()
        by_label = {name: n for name, n in zip(recordings.label_names, counts, strict=True) if n}
        by_fold[str(fold)] = {"records": int(here.sum()), "patients": patients[fold], "labels": by_label}
    converted = {hz: n for hz, n in rates.items() if float(hz) != FS_HZ}
    total = recordings.labels.sum(axis=0, dtype=int).tolist()
    return {
        "source": str(source),
        "labels_from": str(labels_csv)
        if labels_csv
        else "headers"
        if listing.challenge
        else "ptbxl_database.csv",
        "columns": listing.taken_for,
        "records": len(recordings),
        "split": {
            "train (folds 1-8)": int((folds <= 8).sum()),
            "validation (fold 9)": int((folds == 9).sum()),
            "test (fold 10)": int((folds == 10).sum()),
        },
        "records_per_label": dict(zip(recordings.label_names, total, strict=True)),
        "labels_not_stated": 0 if recordings.stated is None else int((recordings.stated == 0).sum()),
        "diagnoses_that_are_no_label": listing.unmapped,
        "records_without_label": int((recordings.labels.sum(axis=1) == 0).sum()),
        "folds": by_fold,
        "leads": list(recordings.leads),
        "unit": "uV",
        "fs_hz": recordings.fs_hz,
        "samples": SAMPLES,
        "records_per_source_rate_hz": rates,
        "rate_conversion": (
            "resampling to 100 Hz with the low-pass filter of PTB-XL (half the amplitude at 44.8 Hz) of "
            + ", ".join(f"{counted(n, 'record')} at {hz} Hz" for hz, n in converted.items())
            if converted
            else "none: all records are at 100 Hz"
        ),
        **facts(found),
        "warnings": warnings(found),
        "licence": PTBXL_LICENCE
        if labels_csv is None and not listing.challenge
        else "that of the recordings themselves, which is not known here",
    }
