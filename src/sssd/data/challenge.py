"""Recordings in the form of the PhysioNet challenges 2020 and 2021: headers tell age, sex and diagnoses.

    #Age: 74
    #Sex: Female
    #Dx: 426783006,164889003

Diagnoses are SNOMED CT codes. `sssd.snomed` says which of PTB-XL's 71 statements each stands for, and where that is
from. Some old headers have the words of the China Physiological Signal Challenge 2018 in place of codes.

Records that `generate` wrote in this form have their statements in a comment as well, since some have no code.

A code that a header lacks is not stated, which is not the same as absent: other sets have other annotators, who looked
for other things.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from ..io.comments import statements_in
from ..io.wfdb_header import RecordingError, read_header
from ..labels import CODES
from ..patient import from_cells
from ..snomed import snomed
from .tables import Listing, TableRow, hashed_fold

_NOTHING = ("", "unknown", "nan", "none")


def has_diagnoses(source: Path) -> bool:
    """Return whether a folder, or one inside it, has a header with diagnoses; the first few headers tell."""
    first = (file for _, file in zip(range(20), source.rglob("*.hea"), strict=False))
    return any(re.search(rb"^#\s*Dx\s*:", file.read_bytes(), re.MULTILINE | re.IGNORECASE) for file in first)


def challenge_table(source: Path) -> Listing:
    """Return all records of a folder and of the folders inside it, with the statements that their headers state.

    Folds follow from the records' names, as headers tell of no patients.
    """
    mapping = snomed()
    rows, unmapped = [], Counter[str]()
    for file in sorted(source.rglob("*.hea")):
        comments = _comments(file)
        pairs = (comment.partition(":") for comment in comments)
        fields = {name.strip().casefold(): value.strip() for name, colon, value in pairs if colon}
        codes = [code.strip() for code in re.split(r"[,;\s]+", fields.get("dx", ""))]
        codes = [code for code in codes if code.casefold() not in _NOTHING]
        present = {CODES.index(name) for name in statements_in(comments) if name in CODES}
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


def _comments(file: Path) -> tuple[str, ...]:
    """Return the comments of a header; none if it cannot be read."""
    try:
        return read_header(file).comments
    except (RecordingError, OSError):
        return ()


def patient_of(age: str, sex: str) -> tuple[float, float]:
    """Return age in years and sex (0 male, 1 female) of a header, each NaN where the text is neither."""
    return _known(age, "")[0], _known("", sex)[1]


def _known(age: str, sex: str) -> tuple[float, float]:
    """Return age and sex of a header; unknown where it says something that is neither."""
    try:
        return from_cells(age, sex)
    except ValueError:
        return np.nan, np.nan
