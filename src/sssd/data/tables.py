"""Which recordings to prepare, with which labels and in which folds: PTB-XL's table, or a user's."""

from __future__ import annotations

import ast
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from ..label_table import BITS, read_cells
from ..labels import CODES
from ..patient import from_cells

NOT_LABELS = ("strat_fold", "patient_id", "age", "sex")  # columns of a table that are not labels


@dataclass(frozen=True)
class TableRow:
    """One recording to read: its file, its labels as columns of the label names, its fold and its patient."""

    file: Path
    record_id: int | str
    labels: tuple[int, ...]
    fold: int  # 1 to 10
    age: float  # years, NaN: unknown
    sex: float  # 0 male, 1 female, NaN: unknown


def ptbxl_table(source: Path, rate: str) -> tuple[tuple[str, ...], list[TableRow]]:
    """The 71 statements, and the records of ptbxl_database.csv at one rate, "100" or "500"."""
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
                f"{str(database)!r}: record {ecg_id} has the code {error}, which is none of the 71 statements"
            ) from error
        except (ValueError, SyntaxError, TypeError, OverflowError) as error:
            raise ValueError(
                f"{str(database)!r}: the scp_codes or the ecg_id of record {ecg_id} cannot be read"
            ) from error
        file = source / row["filename_lr" if rate == "100" else "filename_hr"]
        fold = _fold(row["strat_fold"], database, ecg_id)
        rows.append(TableRow(_find_file(file), number, labels, fold, *_patient(row, database, ecg_id)))
    return CODES, rows


def own_table(source: Path, labels_csv: Path) -> tuple[tuple[str, ...], list[TableRow]]:
    """The label names and the records of a user's table; see `sssd.data.prepare.prepare`."""
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
        columns = [k for k, name in enumerate(header) if k and name not in NOT_LABELS]
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
                f"{where!r} lists the record {record!r} twice, or a record without a name; expected each record once"
            )
        seen.add(record)
        if "strat_fold" in header:
            fold = _fold(cells[header.index("strat_fold")], labels_csv, record)
        else:
            key = cells[header.index("patient_id")].strip() if "patient_id" in header else record
            fold = _hashed_fold(key or record)
        patient = _patient(dict(zip(header, cells, strict=True)), labels_csv, record)
        rows.append(TableRow(_find_file(source / record), record, present, fold, *patient))
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
    """Age in years, and sex by PTB-XL's numbers; NaN where the table does not say."""
    try:
        return from_cells(row.get("age", ""), row.get("sex", ""))
    except ValueError as error:
        raise ValueError(f"{str(table)!r}: record {record}: {error}") from None


def _hashed_fold(key: str) -> int:
    """A fold from 1 to 10, which is the same for a patient or record on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 10 + 1


def _find_file(record: Path) -> Path:
    """The .hea or .npz file of a record, which may be named without a suffix."""
    stem = record.with_suffix("") if record.suffix in (".hea", ".dat", ".npz") else record
    suffixes = (".npz",) if record.suffix == ".npz" else (".hea", ".npz") if stem == record else (".hea",)
    for suffix in suffixes:
        file = stem.with_name(stem.name + suffix)
        if file.is_file():
            return file
    raise FileNotFoundError(f"there is no record {str(stem)!r} ({' or '.join(suffixes)})")
