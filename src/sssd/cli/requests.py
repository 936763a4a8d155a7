"""What is asked for on the command line, by name or in a CSV file, as label vectors, ages and sexes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..labels import encode, find
from ..patient import ages, from_cells, sexes
from ..request import Rows

PATIENT = ("age", "sex")  # columns of a CSV that are no labels


def read_requests(
    names: list[str] | None,
    file: Path | None,
    classes: tuple[str, ...],
    *,
    age: float | None = None,
    sex: str | None = None,
) -> Rows:
    """What is asked for by names and in a file; age and sex where the file does not tell. ValueError where unknown."""
    parts = []
    if names:
        nobody = np.full(len(names), np.nan)
        parts.append(Rows(encode(names, classes), np.ones(len(names), np.bool_), nobody, nobody))
    if file is not None:
        parts.append(_read_labels(file, classes))
    vectors, by_name, years, numbers = (
        np.concatenate([vars(p)[name] for p in parts]) for name in vars(parts[0])
    )
    return Rows(
        vectors,
        by_name,
        np.where(np.isnan(years), ages(age)[0], years),
        np.where(np.isnan(numbers), sexes(sex)[0], numbers),
    )


def _read_labels(file: Path, classes: tuple[str, ...]) -> Rows:
    """The rows of a CSV."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {str(file)!r} to read labels from")
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            table = [row for row in csv.reader(opened) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{str(file)!r} is no CSV file in UTF-8: {error}") from None
    if len(table) < 2:
        raise ValueError(f"{str(file)!r} asks for nothing: expected a header and one row per request")
    header, rows = [name.strip() for name in table[0]], table[1:]
    for n, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"{str(file)!r}, row {n}: {len(row)} cells; the header has {len(header)}")
    patient = [_patient(file, header, n, row) for n, row in enumerate(rows, start=1)]
    age, sex = (np.array(values) for values in zip(*patient, strict=True))
    if "labels" in header:
        column, parts = header.index("labels"), []
        for n, row in enumerate(rows, start=1):
            try:
                parts.append(encode(row[column].strip(), classes))
            except ValueError as error:
                raise ValueError(f"{str(file)!r}, row {n}: {error}") from None
        return Rows(np.concatenate(parts), np.ones(len(rows), np.bool_), age, sex)

    vectors = np.zeros((len(rows), len(classes)), np.float32)
    for column, name in enumerate(header):
        if name in PATIENT:
            continue
        try:
            k = find(name, classes)
        except ValueError as error:
            if column == 0 and len(header) > 1:
                continue  # names of the rows
            raise ValueError(f"{str(file)!r}: no column 'labels', and column {name!r}: {error}") from None
        for n, row in enumerate(rows):
            if row[column].strip() not in ("0", "1", "0.0", "1.0"):
                raise ValueError(f"{str(file)!r}, row {n + 1}: {row[column]!r} in {name!r}; expected 0 or 1")
            vectors[n, k] = float(row[column])
    empty = np.flatnonzero(~vectors.any(axis=1))
    if len(empty):
        raise ValueError(f"{str(file)!r}, row {empty[0] + 1}: no statement is 1; expected at least one")
    return Rows(vectors, np.zeros(len(rows), np.bool_), age, sex)


def _patient(file: Path, header: list[str], n: int, row: list[str]) -> tuple[float, float]:
    """Age and sex of row n, NaN where the table does not tell."""
    cells = dict(zip(header, row, strict=True))
    try:
        return from_cells(cells.get("age", ""), cells.get("sex", ""))
    except ValueError as error:
        raise ValueError(f"{str(file)!r}, row {n}: {error}") from None
