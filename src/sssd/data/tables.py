"""Which recordings to prepare, with which labels and in which folds: PTB-XL's table, or a user's."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..checks import counted
from ..io.readers import SUFFIXES, find_recording
from ..labels import CODES, check_names, find
from ..patient import from_cells
from ..tables import values
from ..tables.cells import Errors, read_cells
from ..tables.columns import Columns, check_rivals, names_rows, recognised, rivals

_TRIED = 50  # rows of a table that tell which column names the recordings
USED = ("record", "patient", "fold", "age", "sex", "labels")


@dataclass(frozen=True)
class TableRow:
    """One recording to read: its file, which may be missing, its labels as columns of the label names, and its fold."""

    file: Path
    record_id: int | str
    labels: tuple[int, ...]
    fold: int  # 1 to 10
    age: float  # years, NaN: unknown
    sex: float  # 0 male, 1 female, NaN: unknown
    patient: str = ""  # whose recording it is; "" is unknown
    stated: tuple[int, ...] | None = None  # labels of which it is said whether they are present; None: of all


@dataclass(frozen=True)
class Listing:
    """The recordings to prepare.

    taken_for: what each column of the table was taken for. unmapped: diagnoses that are no label, with their numbers.
    """

    label_names: tuple[str, ...]
    rows: list[TableRow]
    taken_for: dict[str, str]
    unmapped: dict[str, int] = field(default_factory=dict)

    @property
    def challenge(self) -> bool:
        """Whether the labels are from headers, which state some of them only."""
        return any(row.stated is not None for row in self.rows)


def ptbxl_table(source: Path, rate: str) -> Listing:
    """Return the records of ptbxl_database.csv at one rate, "100" or "500", with the 71 statements."""
    database = source / "ptbxl_database.csv"
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
    errors = Errors(database)
    for n, cells in enumerate(table, start=1):
        row = dict(zip(header, cells, strict=True))
        try:
            number, labels = _ptbxl_labels(row["ecg_id"], row["scp_codes"], index)
            file = source / row["filename_lr" if rate == "100" else "filename_hr"].replace("\\", "/")
            fold, who = values.fold(row["strat_fold"]), values.patient(row.get("patient_id", ""))
            patient = from_cells(row.get("age", ""), row.get("sex", ""))
            rows.append(TableRow(find_recording(file), number, labels, fold, *patient, who))
        except ValueError as error:
            errors.add(n, error)
    errors.raise_if_any()
    _check_folds(database, rows)
    used = {needed[3 if rate == "100" else 4]: "record", "scp_codes": "labels", "strat_fold": "fold"}
    used |= {"patient_id": "patient", "age": "age", "sex": "sex"}
    return Listing(CODES, rows, {name: used.get(name, "not used") for name in header})


def _ptbxl_labels(ecg_id: str, scp_codes: str, index: dict[str, int]) -> tuple[int, tuple[int, ...]]:
    """Return the number of a record of PTB-XL, and its statements; ValueError if they cannot be read."""
    try:
        return int(float(ecg_id)), tuple(sorted(index[code] for code in ast.literal_eval(scp_codes)))
    except KeyError as error:
        raise ValueError(
            f"record {ecg_id} has the code {error}, which is none of the 71 statements"
        ) from error
    except (ValueError, SyntaxError, TypeError, OverflowError) as error:
        raise ValueError(f"the scp_codes or the ecg_id of record {ecg_id} cannot be read") from error


def own_table(source: Path, labels_csv: Path) -> Listing:
    """Return the recordings of a user's table; see `sssd.data.prepare.prepare`."""
    if not labels_csv.is_file():
        raise FileNotFoundError(f"there is no table of labels {str(labels_csv)!r}")
    header, table = _read_csv(labels_csv)
    columns = recognised(header, labels_csv)
    record = _record_column(source, labels_csv, columns, table)
    free = [k for k in columns.others if k != record and not names_rows(header[k])]
    if columns.labels is None:
        names, members = _labels_of_columns(labels_csv, header, table, free)
    else:
        names, members = _labels_of_cells(labels_csv, columns, table)
    if not names:
        raise ValueError(
            f"{str(labels_csv)!r} has no labels; expected one column of 0 / 1 per label, or a column 'labels'"
        )
    check_names(names, str(labels_csv))
    _check_meaning(names, labels_csv)

    errors = Errors(labels_csv)
    found: list[tuple[str, Path, tuple[int, ...], str, int, tuple[float, float]]] = []
    seen: dict[str, int] = {}
    for n, (cells, present) in enumerate(zip(table, members, strict=True), start=1):
        try:
            name, file = _record(source, cells[record])
            if seen.setdefault(name, n) != n:
                raise ValueError(
                    f"lists the record {name!r}, which row {seen[name]} lists: expected each once"
                )
            fold = values.fold(cells[columns.fold]) if columns.fold is not None else 0
            who = values.patient(columns.cell("patient", cells))
            patient = from_cells(columns.cell("age", cells), columns.cell("sex", cells))
            found.append((name, file, present, who, fold, patient))
        except ValueError as error:
            errors.add(n, error)
    errors.raise_if_any()

    spelling: dict[str, str] = {}  # one for each patient, whichever case a row has
    for _, _, _, who, _, _ in found:
        spelling[who.casefold()] = min(who, spelling.get(who.casefold(), who))
    rows = []
    for name, file, present, who, fold, patient in found:
        who = spelling[who.casefold()]
        rows.append(TableRow(file, name, present, fold or hashed_fold(who or name), *patient, who))
    _check_folds(labels_csv, rows)
    taken_for = columns.taken_for(USED[1:]) | {header[record] or "(column 1)": "record"}
    if columns.labels is None:
        taken_for |= {header[k]: f"label {header[k]}" for k in free}
    return Listing(names, rows, taken_for)


def _check_meaning(names: Sequence[str], file: Path) -> None:
    """Raise ValueError if two labels are names of one statement, as AFIB and atrial fibrillation."""
    statements: dict[int, str] = {}
    for name in names:
        try:
            other = statements.setdefault(find(name), name)
        except ValueError:
            continue  # a label of the user's own
        if other != name:
            raise ValueError(
                f"{str(file)!r}: the labels {other!r} and {name!r} are names of one statement, {CODES[find(name)]}; "
                "write it in one way"
            )


def _labels_of_columns(
    file: Path, header: Sequence[str], table: list[list[str]], places: Sequence[int]
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Return the label names, and the labels of each row, from columns of zeros and ones."""
    unnamed = next((header[k] for k in places if header[k].casefold() in values.BITS), None)
    if unnamed is not None:
        raise ValueError(
            f"{str(file)!r}: a column is called {unnamed!r}; expected a first line with names of columns"
        )
    errors, members = Errors(file), []
    for n, cells in enumerate(table, start=1):
        present = []
        for name, k in enumerate(places):
            try:
                present += [name] * values.bit(cells[k])
            except ValueError:
                errors.add(
                    n,
                    ValueError(
                        f"{cells[k]!r} in column {k + 1}, {header[k]!r}; expected 0 or 1 (or one column 'labels' with "
                        "names joined by '+')"
                    ),
                )
                break
        members.append(tuple(present))
    errors.raise_if_any()
    return tuple(header[k] for k in places), members


def _labels_of_cells(
    file: Path, columns: Columns, table: list[list[str]]
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Return the label names in alphabetical order, and the labels of each row, from a column with names."""
    title = columns.header[columns.labels or 0]
    beside = rivals(columns, CODES)
    errors, lists = Errors(file), []
    for n, cells in enumerate(table, start=1):
        try:
            check_rivals(columns, beside, cells)
            lists.append(values.names_in(columns.cell("labels", cells)))
        except ValueError as error:
            errors.add(n, error)
    errors.raise_if_any()
    names = tuple(sorted({name for record in lists for name in record}))
    if names and set(names) <= {"0", "1"}:
        raise ValueError(
            f"{str(file)!r}: column {title!r} holds zeros and ones; call it by the name of the label that they tell of"
        )
    index = {name: k for k, name in enumerate(names)}
    return names, [tuple(sorted(index[name] for name in record)) for record in lists]


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    header, *rows = read_cells(path)
    if not rows:
        raise ValueError(f"{str(path)!r} lists no records; expected a header and one row per record")
    return header, rows


def _record_column(source: Path, file: Path, columns: Columns, table: list[list[str]]) -> int:
    """Return the column that names the recordings: of those that may, the first that names one which is there."""
    may = [*columns.records, *([0] if 0 in columns.others else [])]
    if not may:
        raise ValueError(f"{str(file)!r}: no column names the recordings; expected one called 'record'")
    for place in may if len(may) > 1 else []:
        cells = (cells[place].replace("\\", "/") for cells in table[:_TRIED] if cells[place])
        if any(find_recording(source / cell).is_file() for cell in cells):
            return place
    return may[0]


def _record(source: Path, cell: str) -> tuple[str, Path]:
    """Return the name of a recording, the same for r1, r1.dat and ./r1, and its file.

    ValueError outside of the folder.
    """
    if not cell:
        raise ValueError("has no name of a recording")
    name = os.path.normpath(cell)
    if "\\" in cell and not find_recording(source / name).is_file():
        name = os.path.normpath(cell.replace("\\", "/"))
    if os.path.isabs(name):
        inside = os.path.relpath(name, source.absolute())
        if inside.startswith(".."):  # the folder may have two names, where one is a link
            inside = os.path.relpath(os.path.realpath(name), source.resolve())
        name = inside
    name = Path(name).as_posix()
    if name == "." or name.split("/")[0] == "..":
        raise ValueError(f"the recording {cell!r} is not in the folder {str(source)!r}")
    stem = name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name
    return stem, find_recording(source / name)


def _check_folds(table: Path, rows: Sequence[TableRow]) -> None:
    """Raise ValueError if the recordings of one patient are in several folds."""
    folds: dict[str, set[int]] = {}
    for row in rows:
        if row.patient:
            folds.setdefault(row.patient, set()).add(row.fold)
    parted = {who: sorted(own) for who, own in folds.items() if len(own) > 1}
    if parted:
        listed = "; ".join(f"{who!r} in {', '.join(map(str, own))}" for who, own in list(parted.items())[:5])
        raise ValueError(
            f"{str(table)!r}: several folds have {counted(len(parted), 'patient')} in common ({listed}), so "
            "that a model would be tested on patients it was trained on; give each patient one fold, or leave the "
            "column out"
        )


def hashed_fold(key: str) -> int:
    """Return a fold from 1 to 10, which is the same for a patient or record on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 10 + 1
