"""Diagnoses as SNOMED CT codes, in the form of the PhysioNet challenges 2020 and 2021, and PTB-XL's statements.

`snomed.json` says which statement each code of the challenges stands for, and where that is from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .labels import CODES


@dataclass(frozen=True)
class Mapping:
    """The shipped table.

    statements: of a code or a word, as columns of the 71; empty where it stands for none. names: of the codes.
    codes: of a statement, the one code that is written for it.
    """

    statements: dict[str, tuple[int, ...]]
    names: dict[str, str]
    codes: dict[str, str]


@cache
def snomed() -> Mapping:
    """Return the shipped table. Of several codes for a statement, that of most records of PTB-XL is written."""
    content = json.loads(Path(__file__).with_name("snomed.json").read_text(encoding="utf-8"))
    entries = {entry["code"]: entry["statement"] for entry in content["codes"]} | content["words"]
    by_use = sorted(content["codes"], key=lambda entry: entry["ptbxl"])
    return Mapping(
        statements={
            code: tuple(CODES.index(name) for name in text.split("+") if name)
            for code, text in entries.items()
        },
        names={entry["code"]: entry["name"] for entry in content["codes"]},
        codes={entry["statement"]: entry["code"] for entry in by_use if entry["statement"]},
    )


def without_code(statements: Sequence[str]) -> tuple[str, ...]:
    """Return those of the statements for which the challenges have no code, such as NORM."""
    return tuple(name for name in statements if name not in snomed().codes)
