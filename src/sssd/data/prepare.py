"""Recordings on disk -> one NPZ file at 100 Hz and 10 s: PTB-XL's download (Wagner et al. 2020) or one's own.

recordings ─▶ leads by name ─▶ mV ─▶ 100 Hz ─▶ 10 s ─▶ int16 microvolts ─▶ signals.npz, prepare.json
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.files import replacing
from ..io.units import microvolts
from ..label_table import BITS, read_cells
from ..labels import CODES, find
from ..leads import CLINICAL
from ..patient import from_cells
from .recordings import FILE, Recordings, save

FS_HZ = 100.0
SAMPLES = 1000  # 10 s
MANIFEST = "prepare.json"
NO_LABELS = ("strat_fold", "patient_id", "age", "sex")  # columns of a table that are not labels
PTBXL_LICENCE = (
    "PTB-XL, Wagner et al. 2020, doi 10.13026/kfzx-aw45, is licensed under CC BY 4.0: name the source where "
    "these data, or a model trained on them, are passed on."
)
_UNITS_MV = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}


@dataclass(frozen=True)
class _Row:
    """One recording to read: where it is, which labels it has, and what decides its fold."""

    file: Path
    record_id: int | str
    labels: tuple[int, ...]  # columns of the label names
    fold: int
    age: float  # years, NaN: unknown
    sex: float  # 0 male, 1 female, NaN: unknown


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    labels_csv: str | Path | None = None,
    statements: Sequence[str] | None = None,
    rate: str = "100",
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write OUT/signals.npz and OUT/prepare.json and return the content of the latter.

    Without `labels_csv`, `source` is the PTB-XL download: ptbxl_database.csv and records100/ or, with
    rate="500", records500/. A statement is present when its code is among a record's scp_codes, whatever its
    likelihood. Folds are PTB-XL's: 1-8 train, 9 validation, 10 test.

    With `labels_csv`, `source` is any folder of WFDB or NPZ records of 12 leads at any sampling rate. First
    column: path of the record in `source`, with or without suffix. Then one column of 0 / 1 per label, or one
    column `labels` with names joined by "+"; optional `age` (years) and `sex` (female or male, or PTB-XL's 1
    and 0); optional `strat_fold` (1-10); otherwise folds follow from a hash of `patient_id`, where there is
    such a column, or of the record's path. An NPZ record holds signal_uv (12, L) in microvolts or signal_mv
    (12, L), fs_hz, and leads unless they are in the clinical order.

    statements: keep only these labels, in this order. progress: called with (records done, all records).
    Signals are resampled to 100 Hz by a polyphase anti-aliasing filter, cut to their first 10 s, or, where
    shorter, padded with zeros at the end; prepare.json counts both.

    FileNotFoundError for missing files, FileExistsError where OUT holds a prepared set and not `overwrite`,
    ValueError naming the file for whatever else is wrong with it.
    """
    source, out = Path(source), Path(out)
    if rate not in ("100", "500"):
        raise ValueError(f"rate is {rate!r}; expected '100' or '500', the two versions of PTB-XL")
    if not source.is_dir():
        raise FileNotFoundError(f"there is no folder {str(source)!r}")
    if not overwrite:
        for name in (FILE, MANIFEST):
            if (out / name).exists():
                raise FileExistsError(
                    f"{str(out / name)!r} exists; choose another folder or pass overwrite=True (--overwrite)"
                )
    if labels_csv is None:
        names, rows = _ptbxl(source, rate)
    else:
        names, rows = _own(source, Path(labels_csv))
    kept = _choose(names, statements)
    column = {name: new for new, name in enumerate(kept)}

    signal = np.zeros((len(rows), 12, SAMPLES), np.int16)  # (n, 12, L)
    labels = np.zeros((len(rows), len(kept)), np.uint8)  # (n, K)
    rates: dict[str, int] = {}
    cropped = padded = 0
    for n, row in enumerate(rows):
        try:
            signal_mv, fs_hz = _read_npz(row.file) if row.file.suffix == ".npz" else _read_wfdb(row.file)
            resampled = _to_100_hz(signal_mv, fs_hz)  # (12, L')
            length = min(resampled.shape[1], SAMPLES)
            signal[n, :, :length] = microvolts(resampled[:, :length])
        except ValueError as error:
            raise ValueError(f"{str(row.file)!r}: {error}") from error
        cropped += resampled.shape[1] > SAMPLES
        padded += resampled.shape[1] < SAMPLES
        rates[f"{fs_hz:g}"] = rates.get(f"{fs_hz:g}", 0) + 1
        present = [column[names[k]] for k in row.labels if names[k] in column]
        labels[n, present] = 1
        if progress is not None:
            progress(n + 1, len(rows))

    recordings = Recordings(
        signal_uv=signal,
        labels=labels,
        label_names=kept,
        fs_hz=FS_HZ,
        strat_fold=np.array([row.fold for row in rows], np.int64),
        record_id=np.array([row.record_id for row in rows]),
        age=np.array([row.age for row in rows]),
        sex=np.array([row.sex for row in rows]),
    )
    manifest = _manifest(recordings, source, labels_csv, rates, int(cropped), int(padded))
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / FILE, out / MANIFEST, overwrite=overwrite) as (signals_part, manifest_part):
        save(signals_part, recordings)
        manifest_part.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _choose(names: tuple[str, ...], statements: Sequence[str] | None) -> tuple[str, ...]:
    if statements is None:
        return names
    if isinstance(statements, str) or len(statements) == 0:
        raise ValueError(f"statements is {statements!r}; expected a list of at least one label")
    kept = [names[find(name, names)] for name in statements]
    if len(set(kept)) < len(kept):
        raise ValueError(f"statements names a label twice: {', '.join(kept)}")
    return tuple(kept)


# --- which recordings, and with which labels ----------------------------------------------------------------


def _ptbxl(source: Path, rate: str) -> tuple[tuple[str, ...], list[_Row]]:
    """The records of ptbxl_database.csv with all 71 statements."""
    database = source / "ptbxl_database.csv"
    if not database.is_file():
        raise FileNotFoundError(
            f"{str(source)!r} has no ptbxl_database.csv, so it is not the PTB-XL download; "
            "give labels_csv (--labels) for recordings of your own"
        )
    if not (source / f"records{rate}").is_dir():
        raise FileNotFoundError(
            f"{str(source)!r} has no folder records{rate}; download it, or choose the other rate (100 or 500)"
        )
    needed = ("ecg_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
    header, table = _read_csv(database)
    missing = [name for name in needed if name not in header]
    if missing:
        raise ValueError(f"{str(database)!r} has no column {', '.join(missing)}; expected PTB-XL's own table")
    index = {code: k for k, code in enumerate(CODES)}
    rows = []
    for cells in table:
        row = dict(zip(header, cells, strict=True))
        ecg_id = row["ecg_id"]
        try:
            codes = ast.literal_eval(row["scp_codes"])
            labels = tuple(sorted(index[code] for code in codes))
            number = int(float(ecg_id))
        except KeyError as error:
            raise ValueError(
                f"{str(database)!r}: record {ecg_id} has {error}, none of the 71 statements"
            ) from error
        except (ValueError, SyntaxError, TypeError, OverflowError) as error:
            raise ValueError(f"{str(database)!r}: record {ecg_id} has unreadable scp_codes or id") from error
        file = source / row["filename_lr" if rate == "100" else "filename_hr"]
        fold = _fold(row["strat_fold"], database, ecg_id)
        rows.append(_Row(_find_file(file), number, labels, fold, *_patient(row, database, ecg_id)))
    return CODES, rows


def _own(source: Path, labels_csv: Path) -> tuple[tuple[str, ...], list[_Row]]:
    """The records of a user's table (see `prepare`)."""
    if not labels_csv.is_file():
        raise FileNotFoundError(f"there is no table of labels {str(labels_csv)!r}")
    header, table = _read_csv(labels_csv)
    where = str(labels_csv)
    if "labels" in header[1:]:
        joined = [cells[header.index("labels", 1)] for cells in table]
        members = [[name.strip() for name in text.split("+") if name.strip()] for text in joined]
        names = tuple(sorted({name for record in members for name in record}))
        index = {name: k for k, name in enumerate(names)}
        labels = [tuple(sorted({index[name] for name in record})) for record in members]
    else:
        columns = [k for k, name in enumerate(header) if k and name not in NO_LABELS]
        names = tuple(header[k] for k in columns)
        labels = []
        for cells in table:
            for k in columns:
                if cells[k].strip() not in BITS:
                    raise ValueError(
                        f"{where!r}: record {cells[0]} has {cells[k]!r} in column {header[k]!r}; "
                        "expected 0 or 1 (or one column 'labels' with names joined by '+')"
                    )
            labels.append(tuple(n for n, k in enumerate(columns) if BITS[cells[k].strip()]))
    if not names:
        raise ValueError(
            f"{where!r} has no labels; expected one column of 0 / 1 per label, or a column 'labels'"
        )

    rows = []
    seen: set[str] = set()
    for cells, present in zip(table, labels, strict=True):
        record = cells[0].strip()
        if not record or record in seen:
            raise ValueError(
                f"{where!r} lists the record {record!r} twice or without a name; expected each once"
            )
        seen.add(record)
        if "strat_fold" in header:
            fold = _fold(cells[header.index("strat_fold")], labels_csv, record)
        else:
            key = cells[header.index("patient_id")].strip() if "patient_id" in header else record
            fold = _hashed_fold(key or record)
        patient = _patient(dict(zip(header, cells, strict=True)), labels_csv, record)
        rows.append(_Row(_find_file(source / record), record, present, fold, *patient))
    return names, rows


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    header, *rows = read_cells(path)
    if not rows:
        raise ValueError(f"{str(path)!r} lists no records; expected a header and one row per record")
    return header, rows


def _fold(text: str, table: Path, record: str) -> int:
    try:
        fold = float(text)
    except ValueError:
        fold = math.nan
    if fold not in range(1, 11):
        raise ValueError(f"{str(table)!r}: record {record} has strat_fold {text!r}; expected 1 to 10")
    return int(fold)


def _patient(row: dict[str, str], table: Path, record: str) -> tuple[float, float]:
    """Age in years and sex by PTB-XL's numbers, NaN where a table does not tell."""
    try:
        return from_cells(row.get("age", ""), row.get("sex", ""))
    except ValueError as error:
        raise ValueError(f"{str(table)!r}: record {record}: {error}") from None


def _hashed_fold(key: str) -> int:
    """1 to 10, the same for the same patient or record on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 10 + 1


def _find_file(record: Path) -> Path:
    """The .hea or .npz of a record named with or without a suffix."""
    stem = record.with_suffix("") if record.suffix in (".hea", ".dat", ".npz") else record
    suffixes = (".npz",) if record.suffix == ".npz" else (".hea", ".npz") if stem == record else (".hea",)
    for suffix in suffixes:
        file = stem.with_name(stem.name + suffix)
        if file.is_file():
            return file
    raise FileNotFoundError(f"there is no record {str(stem)!r} ({' or '.join(suffixes)})")


# --- signals ------------------------------------------------------------------------------------------------


def _read_wfdb(header_file: Path) -> tuple[NDArray[np.float64], float]:
    """(signal (12, L) in mV, sampling rate) of a WFDB record: its first 11 s."""
    import wfdb

    stem = str(header_file.with_suffix(""))
    try:
        header = wfdb.rdheader(stem)
        needed = math.ceil(11 * float(header.fs))
        record = wfdb.rdrecord(stem, sampto=min(needed, header.sig_len) if header.sig_len else None)
        signal, units, names = record.p_signal.T, list(record.units), list(record.sig_name)
        fs_hz = float(record.fs)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{str(header_file)!r}: its signal file {error.filename!r} is missing"
        ) from error
    except Exception as error:  # wfdb raises whatever its parsing meets
        raise ValueError(f"cannot be read as a WFDB record ({error})") from error
    rows = _lead_rows(names)
    scales = []
    for row in rows:
        scale = _UNITS_MV.get(str(units[row]).strip().lower())
        if scale is None:
            raise ValueError(f"lead {names[row]} is in {units[row]!r}; expected mV, uV or V")
        scales.append(scale)
    return _checked(signal[rows] * np.array(scales)[:, None]), fs_hz


def _read_npz(file: Path) -> tuple[NDArray[np.float64], float]:
    """(signal (12, L) in mV, sampling rate) of an NPZ record: its first 11 s."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            data = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise ValueError(f"cannot be read as an NPZ record ({error})") from error
    held = [name for name in ("signal_uv", "signal_mv") if name in data]
    if len(held) != 1 or "fs_hz" not in data:
        found = ", ".join(data) or "nothing"
        raise ValueError(f"holds {found}; expected signal_uv or signal_mv (12, L), and fs_hz")
    signal = data[held[0]]
    if signal.ndim == 3 and len(signal) == 1:
        signal = signal[0]
    names = [str(name) for name in data.get("leads", np.array(CLINICAL))]
    fs_hz = float(data["fs_hz"])
    if signal.ndim != 2 or len(signal) != len(names) or signal.dtype.kind not in "iuf" or not fs_hz > 0:
        raise ValueError(
            f"{held[0]} is {signal.dtype} {signal.shape} with {len(names)} lead names at {fs_hz:g} Hz; "
            "expected numbers (12, L), one row per lead, at a rate above 0"
        )
    scale = 1e-3 if held[0] == "signal_uv" else 1.0
    signal = signal[_lead_rows(names), : math.ceil(11 * fs_hz)]
    return _checked(signal.astype(np.float64) * scale), fs_hz


def _lead_rows(names: Sequence[str]) -> list[int]:
    """Where the 12 leads are, in the clinical order; any order and case, further leads are left out."""
    plain = [str(name).strip().casefold() for name in names]
    missing = [lead for lead in CLINICAL if lead.casefold() not in plain]
    if missing:
        raise ValueError(f"lacks lead {', '.join(missing)}; it has {', '.join(map(str, names)) or 'none'}")
    double = [lead for lead in CLINICAL if plain.count(lead.casefold()) > 1]
    if double:
        raise ValueError(f"has lead {', '.join(double)} twice")
    return [plain.index(lead.casefold()) for lead in CLINICAL]


def _checked(signal_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    if signal_mv.shape[1] == 0:
        raise ValueError("holds no samples")
    lost: NDArray[np.bool_] = np.isnan(signal_mv) | np.isinf(signal_mv)
    if lost.any():
        leads = [lead for lead, bad in zip(CLINICAL, lost, strict=True) if bad.any()]
        raise ValueError(
            f"has {int(lost.sum())} missing samples in lead {', '.join(leads)}; leave it out or fill them"
        )
    return signal_mv


def _to_100_hz(signal_mv: NDArray[np.float64], fs_hz: float) -> NDArray[np.float64]:
    """(12, L) at fs_hz -> (12, L') at 100 Hz, anti-aliased; unchanged at 100 Hz."""
    if fs_hz == FS_HZ:
        return signal_mv
    from scipy.signal import resample_poly

    ratio = Fraction(FS_HZ / fs_hz).limit_denominator(5000)
    if ratio == 0:
        raise ValueError(f"is sampled at {fs_hz:g} Hz, beyond what is resampled here (500 kHz)")
    # edges are continued with their first and last value: zeros would ring where the baseline is not zero
    resampled: NDArray[np.float64] = resample_poly(
        signal_mv, ratio.numerator, ratio.denominator, axis=1, padtype="edge"
    )
    return resampled


# --- manifest -----------------------------------------------------------------------------------------------


def _manifest(
    recordings: Recordings,
    source: Path,
    labels_csv: str | Path | None,
    rates: dict[str, int],
    cropped: int,
    padded: int,
) -> dict[str, Any]:
    folds = np.asarray(recordings.strat_fold)
    by_fold = {}
    for fold in range(1, 11):
        here = folds == fold
        counts = recordings.labels[here].sum(axis=0, dtype=int).tolist()
        by_label = {name: n for name, n in zip(recordings.label_names, counts, strict=True) if n}
        by_fold[str(fold)] = {"records": int(here.sum()), "labels": by_label}
    converted = {hz: n for hz, n in rates.items() if float(hz) != FS_HZ}
    total = recordings.labels.sum(axis=0, dtype=int).tolist()
    return {
        "source": str(source),
        "labels_from": "ptbxl_database.csv" if labels_csv is None else str(labels_csv),
        "records": len(recordings),
        "split": {
            "train (folds 1-8)": int((folds <= 8).sum()),
            "validation (fold 9)": int((folds == 9).sum()),
            "test (fold 10)": int((folds == 10).sum()),
        },
        "records_per_label": dict(zip(recordings.label_names, total, strict=True)),
        "records_without_label": int((recordings.labels.sum(axis=1) == 0).sum()),
        "folds": by_fold,
        "leads": list(recordings.leads),
        "unit": "uV",
        "fs_hz": recordings.fs_hz,
        "samples": SAMPLES,
        "records_per_source_rate_hz": rates,
        "rate_conversion": (
            "polyphase resampling with an anti-aliasing filter (scipy.signal.resample_poly) to 100 Hz of "
            + ", ".join(f"{n} records at {hz} Hz" for hz, n in converted.items())
            if converted
            else "none: all records are at 100 Hz"
        ),
        "cut_to_first_10_s": cropped,
        "padded_to_10_s_with_zeros": padded,
        "licence": PTBXL_LICENCE
        if labels_csv is None
        else "that of the recordings themselves; not known here",
    }
