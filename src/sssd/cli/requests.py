"""What is asked for on the command line, by name or in a CSV file, as label vectors."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..labels import encode, find


def read_requests(
    names: list[str] | None, file: Path | None, classes: tuple[str, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Label vectors (rows, K) as asked for, and (rows,) which of them by name; ValueError where one is unknown."""
    parts, by_name = [], []
    if names:
        parts.append(encode(names, classes))
        by_name.append(np.ones(len(names), np.bool_))
    if file is not None:
        vectors, named = _read_labels(file, classes)
        parts.append(vectors)
        by_name.append(np.full(len(vectors), named))
    return np.concatenate(parts), np.concatenate(by_name)


def _read_labels(file: Path, classes: tuple[str, ...]) -> tuple[NDArray[np.float32], bool]:
    """The rows of a CSV as label vectors, and whether they were names (or 0/1 columns)."""
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
    if "labels" in header:
        column, parts = header.index("labels"), []
        for n, row in enumerate(rows, start=1):
            try:
                parts.append(encode(row[column].strip(), classes))
            except ValueError as error:
                raise ValueError(f"{str(file)!r}, row {n}: {error}") from None
        return np.concatenate(parts), True

    vectors = np.zeros((len(rows), len(classes)), np.float32)
    for column, name in enumerate(header):
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
    return vectors, False
