"""The CSV file of requests, read row by row: labels, age, sex and heart rate of each record.

    labels,age,sex              row,AFIB,LVH,age
    AFIB,71,male        or      a,1,0,50
    CLBBB+LVH,,                 b,1,1,

A column "labels" holds names. Without it, columns of 0 and 1 are named by statements, and the first column may name the
rows. The columns age (years), sex and heart_rate (beats per minute) are optional; an empty cell is unknown.
docs/inputs.md lists all that is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..labels import find
from ..patient import KNOWN, from_cells, heart_rate_from_cell
from .cells import Errors, read_cells
from .columns import Columns, check_rivals, names_rows, recognised, rivals
from .values import BITS, bit, names_in

USED = ("labels", *KNOWN)  # columns that a request has; others are not used


class Row(NamedTuple):
    """One request: a label vector (K,) of 0 and 1; age in years; sex, 0 (male) or 1 (female); heart rate in beats per
    minute. NaN means unknown.
    """

    vector: NDArray[np.uint8]
    age: float
    sex: float
    heart_rate: float


@dataclass(frozen=True, eq=False)
class LabelTable:
    """A CSV file of requests. `rows` is read once, as it is iterated over, so a large file takes little memory.

    by_name: whether labels are names, to which statements that occur beside them may be added. has: which of
    sssd.patient.KNOWN the file has a column of. taken_for: what each column of the file was taken for.
    """

    by_name: bool
    has: tuple[str, ...]
    taken_for: dict[str, str]
    rows: Iterator[Row]


def read_label_table(file: Path, classes: tuple[str, ...]) -> LabelTable:
    """Open a CSV file of requests. classes: (K,) names of the labels.

    FileNotFoundError if there is no file. ValueError if it is wrong; `rows` raises it too, with the rows.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {str(file)!r} to read labels from")
    lines = read_cells(file)
    columns = recognised(next(lines), file)
    places = _statement_columns(file, columns, classes) if columns.labels is None else {}
    taken_for = columns.taken_for(USED) | {
        columns.header[place]: f"statement {classes[k]}" for place, k in places.items()
    }
    return LabelTable(
        columns.labels is not None,
        tuple(name for name in KNOWN if getattr(columns, name) is not None),
        taken_for,
        _rows(file, columns, places, lines, classes),
    )


def _statement_columns(file: Path, columns: Columns, classes: tuple[str, ...]) -> dict[int, int]:
    """Return the class that each column of zeros and ones stands for."""
    places: dict[int, int] = {}
    for place in columns.others:
        name = columns.header[place]
        if not name:
            continue  # nothing is in it
        try:
            k = find(name, classes)
        except ValueError as error:
            if place:
                raise ValueError(
                    f"{str(file)!r}: no column 'labels', and column {place + 1}, {name!r}: {error}"
                ) from None
            continue
        if k in places.values():
            raise ValueError(f"{str(file)!r} has two columns for {classes[k]}; expected one per statement")
        places[place] = k
    if not places:
        raise ValueError(
            f"{str(file)!r}: expected a column 'labels', or columns named by statements; got {list(columns.header)}"
        )
    return places


def _rows(
    file: Path, columns: Columns, places: dict[int, int], lines: Iterator[list[str]], classes: tuple[str, ...]
) -> Iterator[Row]:
    beside = rivals(columns, classes) if not places else ()
    vectors: dict[str, NDArray[np.uint8]] = {}
    read: dict[tuple[str, ...], tuple[float, float, float]] = {}
    errors = Errors(file)
    first = columns.header[0] if columns.header else ""
    suspect = bool(places) and 0 in columns.others and 0 not in places and not names_rows(first)
    n = 0
    for n, cells in enumerate(lines, start=1):
        try:
            suspect = suspect and cells[0].casefold() in BITS
            if places:
                vector = _vector(cells, columns.header, places, len(classes))
            else:
                check_rivals(columns, beside, cells)
                text = columns.cell("labels", cells)
                if text not in vectors:
                    vectors[text] = _encoded(text, classes)
                vector = vectors[text]
            age, sex, rate = known = tuple(columns.cell(name, cells) for name in KNOWN)
            if known not in read:
                read[known] = (*from_cells(age, sex), heart_rate_from_cell(rate))
        except ValueError as error:
            errors.add(n, error)
            continue
        yield Row(vector, *read[known])
    if suspect and n:
        try:
            find(first, classes)
        except ValueError as error:
            raise ValueError(
                f"{str(file)!r}: column 1 holds zeros and ones, and is no statement: {error}"
            ) from None
    errors.raise_if_any()
    if not n:
        raise ValueError(f"{str(file)!r} asks for nothing: expected a header and one row per request")


def _encoded(text: str, classes: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return the label vector (K,) of a cell with names."""
    names = [text] if text in classes else list(names_in(text))
    if not names:
        raise ValueError("no statement; expected at least one")
    vector = np.zeros(len(classes), np.uint8)
    vector[[find(name, classes) for name in names]] = 1
    return vector


def _vector(
    cells: list[str], header: tuple[str, ...], places: dict[int, int], width: int
) -> NDArray[np.uint8]:
    vector = np.zeros(width, np.uint8)
    for place, k in places.items():
        try:
            vector[k] = bit(cells[place])
        except ValueError:
            raise ValueError(f"{cells[place]!r} in {header[place]!r}; expected 0 or 1") from None
    if not vector.any():
        raise ValueError("no statement is 1; expected at least one")
    return vector
