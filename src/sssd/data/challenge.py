"""Recordings in the form of the PhysioNet challenges 2020 and 2021: headers tell age, sex and diagnoses.

    #Age: 74
    #Sex: Female
    #Dx: 426783006,164889003

Diagnoses are SNOMED CT codes. `snomed.json` says which of PTB-XL's 71 statements each stands for, and where that is
from. Some old headers have the words of the China Physiological Signal Challenge 2018 in place of codes.

A code that a header lacks is not stated, which is not the same as absent: other sets have other annotators, who looked
for other things.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..io.wfdb_header import RecordingError, read_header
from ..labels import CODES
from ..patient import from_cells
from .tables import Listing, TableRow, hashed_fold

_NOTHING = ("", "unknown", "nan", "none")


@dataclass(frozen=True)
class Mapping:
    """statements: of a code or a word, as columns of the 71; empty where it stands for none. names: of the codes."""

    statements: dict[str, tuple[int, ...]]
    names: dict[str, str]


@cache
def snomed() -> Mapping:
    """Return the shipped table."""
    content = json.loads(Path(__file__).with_name("snomed.json").read_text(encoding="utf-8"))
    entries = {entry["code"]: entry["statement"] for entry in content["codes"]} | content["words"]
    return Mapping(
        {
            code: tuple(CODES.index(name) for name in text.split("+") if name)
            for code, text in entries.items()
        },
        {entry["code"]: entry["name"] for entry in content["codes"]},
    )


def has_diagnoses(source: Path) -> bool:
    """Return whether a folder, or one inside it, has a header with diagnoses; the first few headers tell."""
    first = (file for _, file in zip(range(20), source.rglob("*.hea"), strict=False))
    return any(re.search(rb"^#\s*Dx\s*:", file.read_bytes(), re.MULTILINE) for file in first)


def challenge_table(source: Path) -> Listing:
    """Return all records of a folder and of the folders inside it, with the statements that their headers state.

    Folds follow from the records' names, as headers tell of no patients.
    """
    mapping = snomed()
    rows, unmapped = [], Counter[str]()
    for file in sorted(source.rglob("*.hea")):
        fields = _fields(file)
        codes = [code.strip() for code in re.split(r"[,;\s]+", fields.get("dx", ""))]
        codes = [code for code in codes if code.casefold() not in _NOTHING]
        present: set[int] = set()
        for code in codes:
            stands_for = mapping.statements.get(code, ())
            present.update(stands_for)
            if not stands_for:
                unmapped[f"{code} {mapping.names.get(code, '')}".strip()] += 1
        age, sex = patient_of(fields.get("age", ""), fields.get("sex", ""))
        labels = tuple(sorted(present))
        record = file.relative_to(source).with_suffix("").as_posix()
        rows.append(TableRow(file, record, labels, hashed_fold(file.stem), age, sex, stated=labels))
    taken_for = {"#Dx": "labels, by SNOMED CT codes", "#Age": "age", "#Sex": "sex"}
    return Listing(CODES, rows, taken_for, dict(unmapped.most_common()))


def _fields(file: Path) -> dict[str, str]:
    """Return the comments of a header by their names in lower case; none if it cannot be read."""
    try:
        comments = read_header(file).comments
    except (RecordingError, OSError):
        return {}
    pairs = (comment.partition(":") for comment in comments)
    return {name.strip().casefold(): value.strip() for name, colon, value in pairs if colon}


def patient_of(age: str, sex: str) -> tuple[float, float]:
    """Return age in years and sex (0 male, 1 female) of a header, each NaN where the text is neither."""
    return _known(age, "")[0], _known("", sex)[1]


def _known(age: str, sex: str) -> tuple[float, float]:
    """Return age and sex of a header; unknown where it says something that is neither."""
    try:
        return from_cells(age, sex)
    except ValueError:
        return np.nan, np.nan
