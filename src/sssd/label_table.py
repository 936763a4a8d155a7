"""The CSV file of requests, read row by row: the labels of each record, and its patient's age and sex.

    labels,age,sex              row,AFIB,LVH,age
    AFIB,71,male        or      a,1,0,50
    CLBBB+LVH,,                 b,1,1,

A column "labels" holds names joined by "+". Without it, columns of 0 and 1 are named by statements, and the first
column may name the rows. The columns age (years) and sex (female, male, 1, 0) are optional; an empty cell is unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .labels import encode, find
from .patient import from_cells

PATIENT = ("age", "sex")  # columns that are not labels
BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}  # what a cell of zeros and ones may hold


class Row(NamedTuple):
    """One request: a label vector (K,) of 0 and 1; age in years; sex, 0 (male) or 1 (female). NaN means unknown."""

    vector: NDArray[np.uint8]
    age: float
    sex: float


@dataclass(frozen=True, eq=False)
class LabelTable:
    """A CSV file of requests. `rows` is read once, as it is iterated over, so a large file takes little memory.

    by_name: whether labels are names, to which statements that occur beside them may be added. has_age, has_sex:
    whether the file has these columns.
    """

    by_name: bool
    has_age: bool
    has_sex: bool
    rows: Iterator[Row]


def read_label_table(file: Path, classes: tuple[str, ...]) -> LabelTable:
    """Open a CSV file of requests. classes: (K,) names of the labels.

    FileNotFoundError where there is no file. ValueError where it is wrong; `rows` raises it too, with the row.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {str(file)!r} to read labels from")
    lines = read_cells(file)
    header = next(lines)
    by_name = "labels" in header
    columns = {} if by_name else _label_columns(file, header, classes)
    rows = _rows(file, header, columns, lines, classes)
    return LabelTable(by_name, "age" in header, "sex" in header, rows)


def read_cells(file: Path) -> Iterator[list[str]]:
    """The names in the header of a CSV file, and then its rows, with as many cells each; blank rows are left out.

    ValueError where it is not a CSV file in UTF-8, two columns have one name, or a row has another number of cells.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = (row for row in csv.reader(opened) if any(cell.strip() for cell in row))
            header = [name.strip() for name in next(rows, [])]
            repeated = next((name for name in header if name and header.count(name) > 1), None)
            if repeated is not None:
                raise ValueError(f"{str(file)!r} has two columns called {repeated!r}; expected one")
            yield header
            for n, row in enumerate(rows, start=1):
                if len(row) != len(header):
                    raise ValueError(
                        f"{str(file)!r}, row {n}: {len(row)} cells; the header has {len(header)}"
                    )
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{str(file)!r} is not a CSV file in UTF-8: {error}") from None


def _label_columns(file: Path, header: list[str], classes: tuple[str, ...]) -> dict[int, int]:
    """The class that each column of zeros and ones stands for."""
    columns: dict[int, int] = {}
    for column, name in enumerate(header):
        if name in PATIENT:
            continue
        try:
            k = find(name, classes)
        except ValueError as error:
            if column:
                raise ValueError(f"{str(file)!r}: no column 'labels', and column {name!r}: {error}") from None
            continue
        if k in columns.values():
            raise ValueError(f"{str(file)!r} has two columns for {classes[k]}; expected one per statement")
        columns[column] = k
    if not columns:
        raise ValueError(
            f"{str(file)!r}: expected a column 'labels', or columns named by statements; got {header}"
        )
    return columns


def _rows(
    file: Path,
    header: list[str],
    columns: dict[int, int],
    lines: Iterator[list[str]],
    classes: tuple[str, ...],
) -> Iterator[Row]:
    vectors: dict[str, NDArray[np.uint8]] = {}
    patients: dict[tuple[str, str], tuple[float, float]] = {}
    n = 0
    for n, cells in enumerate(lines, start=1):
        try:
            if columns:
                vector = _vector(cells, header, columns, len(classes))
            else:
                text = cells[header.index("labels")].strip()
                if text not in vectors:
                    vectors[text] = encode(text, classes)[0].astype(np.uint8)
                vector = vectors[text]
            age, sex = (cells[header.index(name)] if name in header else "" for name in PATIENT)
            if (age, sex) not in patients:
                patients[age, sex] = from_cells(age, sex)
        except ValueError as error:
            raise ValueError(f"{str(file)!r}, row {n}: {error}") from None
        yield Row(vector, *patients[age, sex])
    if not n:
        raise ValueError(f"{str(file)!r} asks for nothing: expected a header and one row per request")


def _vector(cells: list[str], header: list[str], columns: dict[int, int], width: int) -> NDArray[np.uint8]:
    vector = np.zeros(width, np.uint8)
    for column, k in columns.items():
        cell = cells[column].strip()
        if cell not in BITS:
            raise ValueError(f"{cells[column]!r} in {header[column]!r}; expected 0 or 1")
        vector[k] = BITS[cell]
    if not vector.any():
        raise ValueError("no statement is 1; expected at least one")
    return vector
