"""What the cells of a table mean: zeros and ones, labels in one cell, folds, and who a patient is."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Any

from ..labels import CODES, NEGATIONS, find
from .cells import EMPTY

BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "0,0": 0, "1,0": 1, "false": 0, "true": 1}
JOINTS = "+,;|"  # what may stand between the labels of one cell; so a label's name holds none of them
_FAULT = re.compile(r"#[A-Z/0]+[!?]")  # what a spreadsheet writes where a formula fails, as #REF!
_ROUNDED = re.compile(r"\d+([.,]\d+)?E\+\d+")  # a number that a spreadsheet has rounded, as 1.64889E+08
_NUMBERS = re.compile(r"[\d.,]+(\s+[\d.,]+)+|\d*\.\d+|true|false", re.IGNORECASE)
_NOT_KNOWN = ("unknown", "unk", "not known", "missing", "-", "--", "?", ".")
_NOT = {"no", "not", "without"}
_BETWEEN = {"and", "or", "with", "und", *_NOT}
_STATEMENTS = {code.casefold().strip("_") for code in CODES}


def bit(cell: str) -> int:
    """Return 0 or 1, which "False" and "True" stand for as well; ValueError for anything else."""
    value = BITS.get(cell.casefold())
    if value is None:
        raise ValueError(f"{cell!r}; expected 0 or 1")
    return value


def names_in(cell: str) -> tuple[str, ...]:
    """Return the labels of one cell, each once, in their order.

    AFIB+LVH    AFIB,LVH    AFIB;LVH    AFIB|LVH    ['AFIB', 'LVH']    {'AFIB', 'LVH'}    {'AFIB': 100.0, 'SR': 0.0}

    In a mapping of labels to likelihoods, every label counts, as in PTB-XL, where 0 means that the likelihood is not
    known. What stands for an empty cell is no label, and a class number is one, also as 5.0. ValueError if it is none
    of these, or where it may mean another thing: likelihoods up to 1, numbers, or statements that are joined by other
    signs.
    """
    text = cell.strip()
    if _ROUNDED.fullmatch(text):
        raise ValueError(f"{cell!r} is a number that a spreadsheet has rounded; expected names joined by '+'")
    if text[:1] == "{":
        names = _keys(text)
    else:
        if text[:1] + text[-1:] in ("[]", "()"):
            text = text[1:-1]
        parts = [part.strip() for part in re.split(f"[{re.escape(JOINTS)}]", text)]
        names = [
            part[1:-1].strip() if part[:1] == part[-1:] and part[:1] in "'\"" else part for part in parts
        ]
    names = [re.sub(r"^(\d+)\.0+$", r"\1", name) for name in names if name.casefold() not in EMPTY]
    for name in names:
        if set(name) & set("'\"[]{}“”„") or "\n" in name or _NUMBERS.fullmatch(name) or _FAULT.match(name):
            raise ValueError(f"{cell!r} is no list of labels; expected names joined by '+'")
        _check_whole(name)
    return tuple(dict.fromkeys(names))


def _check_whole(name: str) -> None:
    """Raise ValueError for what looks like several statements, or like one with a number or a negation beside it."""
    try:
        find(name)
        return
    except ValueError:
        words = [word for word in re.split(r"[\W_]+", name.casefold()) if word]
    statements = [word for word in words if word in _STATEMENTS]
    others = [word for word in words if word not in _STATEMENTS and word not in _BETWEEN]
    valued = len(statements) == 1 and re.search(r"[:=(%]", name) and all(word.isdecimal() for word in others)
    negated = name.startswith(NEGATIONS) or _NOT & set(words)
    if statements and not others and (len(statements) > 1 or negated) or valued:
        raise ValueError(
            f"{name!r} looks like {', '.join(word.upper() for word in statements)} written in a way that is not known; "
            "expected the names of the labels that are present, joined by '+'"
        )


def _keys(text: str) -> list[str]:
    """Return the labels of a set or of a mapping of labels to likelihoods, written in Python or JSON."""
    found: Any = None
    for parse in (ast.literal_eval, json.loads):
        try:
            found = parse(text)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if not isinstance(found, dict | set) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{text[:60]!r} is no mapping of labels; expected names joined by '+'")
    if isinstance(found, set):
        return sorted(name.strip() for name in found)
    values = list(found.values())
    if values and all(isinstance(value, bool) for value in values):
        return [name.strip() for name, present in found.items() if present]
    wrong = [v for v in values if isinstance(v, str) or not isinstance(v, int | float) or not 0 <= v <= 100]
    if wrong:
        raise ValueError(f"{text[:60]!r} holds the likelihood {wrong[0]!r}; expected 0 to 100")
    if any(0 < value < 1 for value in values):
        raise ValueError(
            f"{text[:60]!r} holds likelihoods between 0 and 1, where PTB-XL has 0 to 100; name the labels that are "
            "present only"
        )
    if {float(v) for v in values} == {0.0, 1.0}:
        raise ValueError(
            f"{text[:60]!r} may mean that a label with 0 is absent, or, as in PTB-XL, that its likelihood is not "
            "known; name the labels that are present only"
        )
    return [name.strip() for name in found]


def fold(cell: str) -> int:
    """Return a fold from 1 to 10, also written as 9.0 or 9,0; ValueError for anything else."""
    number = re.fullmatch(r"(\d{1,2})([.,]0*)?", cell, re.ASCII)
    if number is None or int(number[1]) not in range(1, 11):
        raise ValueError(f"strat_fold {cell!r}; expected 1 to 10")
    return int(number[1])


def patient(cell: str) -> str:
    """Return who a patient is; "" is unknown.

    Numbers are alike however they are written, as 77, 77.0, 77,0 and 077. Names are alike in every form of their
    letters, and signs that are not seen do not count. ValueError for a fault of a spreadsheet.
    """
    text = unicodedata.normalize("NFKC", cell)
    text = " ".join("".join(sign for sign in text if unicodedata.category(sign) != "Cf").split()).lstrip("'")
    if _FAULT.match(text):
        raise ValueError(f"patient {cell!r}; expected a number or a name")
    if text.casefold() in _NOT_KNOWN:
        return ""
    number = re.sub(r",(?=0*$)", ".", text)
    if re.fullmatch(r"[+-]?[\d.]+([eE][+-]?\d{1,3})?", number, re.ASCII):
        try:
            value = Decimal(number)
        except InvalidOperation:
            return text
        if value == value.to_integral_value():
            return str(int(value))
    return text
