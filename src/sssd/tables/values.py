"""What the cells of a table mean: zeros and ones, labels in one cell, folds, and who a patient is."""

from __future__ import annotations

import ast
import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "0,0": 0, "1,0": 1, "false": 0, "true": 1}
JOINTS = "+,;|"  # what may stand between the labels of one cell; so a label's name holds none of them


def bit(cell: str) -> int:
    """Return 0 or 1, which "False" and "True" stand for as well; ValueError for anything else."""
    value = BITS.get(cell.casefold())
    if value is None:
        raise ValueError(f"{cell!r}; expected 0 or 1")
    return value


def names_in(cell: str) -> tuple[str, ...]:
    """Return the labels of one cell, each once, in their order.

    AFIB+LVH    AFIB,LVH    AFIB;LVH    AFIB|LVH    ['AFIB', 'LVH']    {'AFIB': 100.0, 'SR': 0.0}

    In a mapping of labels to likelihoods, every label counts, as in PTB-XL, where 0 means that the likelihood is not
    known. ValueError if it is none of these, or where the likelihoods are zeros and ones, which may mean absent.
    """
    text = cell.strip()
    if text[:1] == "{":
        names = _keys(text)
    else:
        if text[:1] + text[-1:] in ("[]", "()"):
            text = text[1:-1]
        parts = [part.strip() for part in re.split(f"[{re.escape(JOINTS)}]", text)]
        names = [
            part[1:-1].strip() if part[:1] == part[-1:] and part[:1] in "'\"" else part for part in parts
        ]
    wrong = next((name for name in names if set(name) & set("'\"[]{}") or "\n" in name), None)
    if wrong is not None:
        raise ValueError(f"{cell!r} is no list of labels; expected names joined by '+'")
    return tuple(dict.fromkeys(name for name in names if name))


def _keys(text: str) -> list[str]:
    """Return the keys of a mapping of labels to likelihoods, written in Python or JSON."""
    found: Any = None
    for parse in (ast.literal_eval, json.loads):
        try:
            found = parse(text)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{text[:60]!r} is no mapping of labels; expected names joined by '+'")
    values = list(found.values())
    wrong = [v for v in values if isinstance(v, str) or not isinstance(v, int | float) or not 0 <= v <= 100]
    if wrong:
        raise ValueError(f"{text[:60]!r} holds the likelihood {wrong[0]!r}; expected 0 to 100")
    if {float(v) for v in values} == {0.0, 1.0}:
        raise ValueError(
            f"{text[:60]!r} may mean that a label with 0 is absent, or, as in PTB-XL, that its likelihood is not "
            "known; name the labels that are present only"
        )
    return [name.strip() for name in found]


def fold(cell: str) -> int:
    """Return a fold from 1 to 10; ValueError for anything else."""
    try:
        number = float(cell)
    except ValueError:
        number = 0.0
    if number not in range(1, 11):
        raise ValueError(f"strat_fold {cell!r}; expected 1 to 10")
    return int(number)


def patient(cell: str) -> str:
    """Return who a patient is: numbers are alike however they are written, as 77, 77.0 and 077; "" is unknown."""
    text = cell.strip()
    if re.fullmatch(r"[+-]?[\d.]+([eE][+-]?\d{1,3})?", text, re.ASCII):
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text
        if number == number.to_integral_value():
            return str(int(number))
    return text
