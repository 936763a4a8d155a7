"""Reads what the command line asks for, by name or in a CSV file: label vectors, ages, sexes and heart rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..labels import encode, names_of
from ..patient import ages, heart_rates, sexes
from ..request import Classes, Request, Rows, complete_rows, in_sequence
from ..tables.columns import described
from ..tables.requests import read_label_table
from ..words import Understood


def read_requests(
    names: list[str] | None,
    file: Path | None,
    classes: tuple[str, ...],
    *,
    understood: Sequence[Understood] = (),
    age: float | None = None,
    sex: str | None = None,
    heart_rate: float | None = None,
) -> Rows:
    """Return one row for each of `names`, each sentence that was `understood`, and each row of `file`.

    age, sex, heart_rate: of the rows for which the sentence or the file gives none. ValueError for an unknown
    statement, for one of these that is wrong, or a table that cannot be read.
    """
    parts = []
    if names:
        nobody = np.full(len(names), np.nan)
        parts.append(Rows(encode(names, classes), np.ones(len(names), np.bool_), nobody, nobody, nobody))
    if understood:
        vectors = encode([list(one.statements) for one in understood], classes)
        facts = (
            np.concatenate([ages(one.age) for one in understood]),
            np.concatenate([sexes(one.sex) for one in understood]),
            np.concatenate([heart_rates(one.heart_rate) for one in understood]),
        )
        parts.append(Rows(vectors, np.ones(len(understood), np.bool_), *facts))
    if file is not None:
        parts.append(_read_table(file, classes))
    vectors, by_name, *known = (np.concatenate([vars(p)[name] for p in parts]) for name in vars(parts[0]))
    others = ages(age)[0], sexes(sex)[0], heart_rates(heart_rate)[0]
    filled = (np.where(np.isnan(values), other, values) for values, other in zip(known, others, strict=True))
    return Rows(vectors, by_name, *filled)


def request_of(
    rows: Rows, seconds: tuple[float, ...], count: int, classes: Classes, *, seed: int, exact: bool
) -> tuple[Request, list[tuple[str, ...]]]:
    """Return the request for `count` records of each row, or of all rows one after the other, and what was asked for.

    seconds: of the records, or of the parts that the rows are.
    """
    if len(seconds) > 1:
        request = in_sequence(rows, seconds, classes, strips=count, seed=seed, exact=exact)
        return request, [tuple(request.requested[0].split("+"))] * count
    rows = rows.repeated(count)
    request = replace(complete_rows(rows, classes, seed=seed, exact=exact), seconds=seconds)
    return request, [names_of(row, classes.names) for row in rows.vectors]


def columns_of(file: Path | None, classes: tuple[str, ...]) -> list[str]:
    """Return a line that says what each column of the file was taken for; no line without a file."""
    return [] if file is None else [f"{file.name}, {described(read_label_table(file, classes).taken_for)}"]


def _read_table(file: Path, classes: tuple[str, ...]) -> Rows:
    table = read_label_table(file, classes)
    vectors, *known = zip(*table.rows, strict=True)
    by_name = np.full(len(vectors), table.by_name)
    return Rows(np.stack(vectors).astype(np.float32), by_name, *map(np.array, known))
