"""Statements and provenance of a record as lines of text, which files carry as comments or annotations:

    statements: NORM, SR
    provenance.seed: 7

A line in the files of generated records says that their statements are what was asked for.
A statement that is not in ASCII is escaped, as in a web address: "%C3%84" is "Ä".
A line of a WFDB header is limited to 255 characters. A value that is too long for one line goes on in the next line of
the same name. Lines of other programs are left alone, even if they begin with the same words.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from ..record import PROVENANCE_NAME, Ecg, escaped, is_statement, unescaped
from ..snomed import snomed

ASKED = "statements of a synthetic record are what it was asked for, not what was found in its signal"
_LINE = 200  # characters of a value; its name takes up to 53 more, with "# provenance." and ": "


def written(ecg: Ecg) -> list[str]:
    """Return the lines of a record's statements and provenance, of at most 253 characters of ASCII each."""
    listed = textwrap.wrap(
        ", ".join(map(escaped, ecg.statements)), _LINE, break_long_words=False, break_on_hyphens=False
    )
    lines = [f"statements: {text}" for text in listed]
    lines += [ASKED] if ecg.synthetic and listed else []
    for name, value in sorted(ecg.provenance.items()):
        text = _short(value)
        if len(text) > _LINE:
            text = _long(value)
        lines += [f"provenance.{name}: {text[i : i + _LINE]}" for i in range(0, len(text), _LINE)]
    return lines


def clinical(ecg: Ecg) -> dict[str, str]:
    """Return age, sex and diagnoses, where they are known, as headers of the PhysioNet challenges state them."""
    age, sex = ecg.provenance.get("age"), ecg.provenance.get("sex")
    codes = [snomed().codes[name] for name in ecg.statements if name in snomed().codes]
    fields = {
        "Age": str(round(age)) if isinstance(age, int | float) else "",
        "Sex": sex.capitalize() if isinstance(sex, str) else "",
        "Dx": ",".join(codes),
    }
    return {name: text for name, text in fields.items() if text}


def _short(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _long(value: Any) -> str:
    """Return JSON to be cut into lines, without spaces and '#', because readers strip both from the ends of a line."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text.replace(" ", "\\u0020").replace("#", "\\u0023")


def parsed(comments: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Read back what `written` wrote; a comment that it could not have written is another program's."""
    statements: tuple[str, ...] = ()
    texts: dict[str, list[str]] = {}  # by name, one text for each value
    for line in comments:
        name, _, text = line.partition(": ")
        if name == "statements":
            codes = [unescaped(code) for code in text.removesuffix(",").split(", ")]
            if all(map(is_statement, codes)):
                statements += tuple(codes)
        elif name.startswith("provenance."):
            values = texts.setdefault(name.removeprefix("provenance."), [])
            if values and values[-1] and len(values[-1]) % _LINE == 0:  # the line before it was full
                values[-1] += text
            else:
                values.append(text)
    provenance = {}
    for name, values in texts.items():
        ours = [value for text in values for value in _value_of(text)]
        if ours and re.fullmatch(PROVENANCE_NAME, name, re.ASCII):
            provenance[name] = ours[0]
    return statements, provenance


def statements_in(comments: Sequence[str]) -> tuple[str, ...]:
    """Return the statements among the comments of a header, if this program wrote them."""
    return parsed(comments)[0]


def _value_of(text: str) -> list[Any]:
    """Return the value in a list, or nothing if the text is not exactly what we write for a value."""
    try:
        value = json.loads(text)
    except ValueError:
        return []
    long = _long(value)  # '#' stood for itself in earlier versions
    return [value] if text in (_short(value), long, long.replace("\\u0023", "#")) else []
