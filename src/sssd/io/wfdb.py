"""WFDB records (PhysioNet): a text header .hea and 16-bit samples .dat, 1 uV per unit.

Statements and provenance are comments at the end of the header:

    # statements: NORM, SR
    # provenance.seed: 7

A statement that is not in ASCII is escaped, as in a web address: "%C3%84" is "Ä".
A header line is limited to 255 characters. A value that is too long for one line goes on in the next line of the same
name. Comments of other programs are left alone, even if they begin with the same words.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..leads import CLINICAL, lead_of, twelve_from
from ..record import CLEAN, PROVENANCE_NAME, Ecg, escaped, is_statement, unescaped
from .files import write_files
from .raw import read_raw
from .units import microvolts
from .wfdb_header import RecordingError

_LINE = 200  # characters of a value; its name takes up to 53 more, with "# provenance." and ": "


def write(path: str | Path, ecg: Ecg, *, overwrite: bool = False) -> Path:
    """Write `path`.hea and `path`.dat (a suffix .hea or .dat is dropped) and return the path of the header.

    A record with noise has its `clean` record beside it, as `path`_clean. Either all files are written or none.
    ValueError for values beyond +-32.767 mV; FileExistsError if one of the files exists and `overwrite` is not set.
    """
    stem = _stem(path)
    if not re.fullmatch(r"[\w-]+", stem.name, re.ASCII):
        raise ValueError(f"a WFDB record name holds letters, digits, '_' and '-' only; got {stem.name!r}")
    write_files(stem.parent, render_files(stem.name, ecg), overwrite=overwrite)
    return stem.with_name(stem.name + ".hea")


def render_files(name: str, ecg: Ecg) -> dict[str, bytes]:
    """Return the contents of all files of a record, by their names; those of its `clean` record as well."""
    header, data = render(name, ecg)
    files = {f"{name}.dat": data, f"{name}.hea": header.encode("ascii")}
    return files if ecg.clean is None else {**files, **render_files(name + CLEAN, ecg.clean)}


def render(name: str, ecg: Ecg) -> tuple[str, bytes]:
    """Return the content of `name`.hea and `name`.dat. ValueError for values beyond +-32.767 mV."""
    units = microvolts(ecg.signal)  # (12, L)
    header = [f"{name} 12 {ecg.fs_hz:.15g} {units.shape[1]}"]
    for lead, row in zip(ecg.leads, units, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        header.append(f"{name}.dat 16 1000.0(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    header += [f"# {line}" for line in _comments(ecg)]
    return "\n".join(header) + "\n", units.T.astype("<i2").tobytes()


def read(path: str | Path) -> Ecg:
    """Read a 12-lead WFDB record, ours or another's (`path` with or without .hea or .dat).

    The leads keep their order where the file has all 12; others follow from two limb leads, in the clinical order.
    ValueError if it lacks leads, has missing samples or is not in uV, mV or V. FileNotFoundError if it is missing.
    """
    stem = _stem(path)
    header_file = stem.with_name(stem.name + ".hea")
    if not header_file.is_file():
        raise FileNotFoundError(f"there is no WFDB header {str(header_file)!r}")
    try:
        raw = read_raw(header_file)
        statements, provenance = _parse(list(raw.comments))
        signal, leads = (
            raw.signal_mv,
            tuple(lead for lead, sign in filter(None, map(lead_of, raw.names)) if sign == 1),
        )
        if len(leads) != len(raw.names) or sorted(leads) != sorted(CLINICAL):
            signal, leads = twelve_from(raw.signal_mv, raw.names)[0], CLINICAL
        return Ecg(signal=signal, fs_hz=raw.fs_hz, leads=leads, statements=statements, provenance=provenance)
    except ValueError as error:
        missing = isinstance(error, RecordingError) and error.reason == "missing file"
        raise (FileNotFoundError if missing else ValueError)(f"{str(header_file)!r}: {error}") from None


def _stem(path: str | Path) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix.lower() in (".hea", ".dat", ".mat") else path


def _comments(ecg: Ecg) -> list[str]:
    listed = textwrap.wrap(
        ", ".join(map(escaped, ecg.statements)), _LINE, break_long_words=False, break_on_hyphens=False
    )
    lines = [f"statements: {text}" for text in listed]
    for name, value in sorted(ecg.provenance.items()):
        text = _short(value)
        if len(text) > _LINE:
            text = _long(value)
        lines += [f"provenance.{name}: {text[i : i + _LINE]}" for i in range(0, len(text), _LINE)]
    return lines


def _short(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _long(value: Any) -> str:
    """Return JSON to be cut into lines, without spaces and '#', because readers strip both from the ends of a line."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text.replace(" ", "\\u0020").replace("#", "\\u0023")


def _parse(comments: list[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Read back what `_comments` wrote; a comment that it could not have written is another program's."""
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
    return _parse(list(comments))[0]


def _value_of(text: str) -> list[Any]:
    """Return the value in a list, or nothing if the text is not exactly what we write for a value."""
    try:
        value = json.loads(text)
    except ValueError:
        return []
    long = _long(value)  # '#' stood for itself in earlier versions
    return [value] if text in (_short(value), long, long.replace("\\u0023", "#")) else []
