"""WFDB records (PhysioNet): a text header .hea beside 16-bit samples .dat, 1 uV per unit.

Statements and provenance are comments at the end of the header:

    # statements: NORM, SR
    # provenance.seed: 7
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from ..record import Ecg
from .files import microvolts, replacing

_LINE = 200  # characters of a value; with its name, a header line holds at most 255


def write(path: str | Path, ecg: Ecg, *, overwrite: bool = False) -> Path:
    """Write `path`.hea and `path`.dat (a suffix .hea or .dat is dropped) and return the path of the header.

    ValueError for values beyond +-32.767 mV; FileExistsError where a file exists. Both files or neither.
    """
    stem = _stem(path)
    if not re.fullmatch(r"[\w-]+", stem.name, re.ASCII):
        raise ValueError(f"a WFDB record name holds letters, digits, '_' and '-' only; got {stem.name!r}")
    header, data = render(stem.name, ecg)
    data_file, header_file = stem.with_name(stem.name + ".dat"), stem.with_name(stem.name + ".hea")
    with replacing(data_file, header_file, overwrite=overwrite) as (data_part, header_part):
        data_part.write_bytes(data)
        header_part.write_text(header, encoding="ascii", newline="\n")
    return header_file


def render(name: str, ecg: Ecg) -> tuple[str, bytes]:
    """The content of `name`.hea and `name`.dat. ValueError for values beyond +-32.767 mV."""
    units = microvolts(ecg.signal)  # (12, L)
    header = [f"{name} 12 {ecg.fs_hz:.15g} {units.shape[1]}"]
    for lead, row in zip(ecg.leads, units, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        header.append(f"{name}.dat 16 1000.0(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    header += [f"# {line}" for line in _comments(ecg)]
    return "\n".join(header) + "\n", units.T.astype("<i2").tobytes()


def read(path: str | Path) -> Ecg:
    """Read a 12-lead WFDB record, ours or another's (`path` with or without .hea or .dat).

    ValueError where it lacks one of the 12 leads, has missing samples or is not in a unit of volts.
    """
    stem = _stem(path)
    header_file = stem.with_name(stem.name + ".hea")
    if not header_file.is_file():
        raise FileNotFoundError(f"there is no WFDB header {str(header_file)!r}")
    import wfdb

    record = wfdb.rdrecord(str(stem))
    try:
        scales = [{"uV": 1e-3, "mV": 1.0, "V": 1e3}[unit] for unit in record.units]
    except KeyError as error:
        raise ValueError(f"{str(header_file)!r} is in {error.args[0]}; expected uV, mV or V") from None
    statements, provenance = _parse(record.comments)
    try:
        return Ecg(
            signal=record.p_signal.T * np.asarray(scales)[:, None],
            fs_hz=record.fs,
            leads=tuple(record.sig_name),
            statements=statements,
            provenance=provenance,
        )
    except ValueError as error:
        raise ValueError(f"{str(header_file)!r}: {error}") from None


def _stem(path: str | Path) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix.lower() in (".hea", ".dat") else path


def _comments(ecg: Ecg) -> list[str]:
    listed = textwrap.wrap(", ".join(ecg.statements), _LINE, break_long_words=False, break_on_hyphens=False)
    lines = [f"statements: {text}" for text in listed]
    for name, value in sorted(ecg.provenance.items()):
        text = json.dumps(value, sort_keys=True)
        if (
            len(text) > _LINE
        ):  # several lines of the same name; without spaces, which would be lost at the ends
            text = json.dumps(value, sort_keys=True, separators=(",", ":")).replace(" ", "\\u0020")
        lines += [f"provenance.{name}: {text[i : i + _LINE]}" for i in range(0, len(text), _LINE)]
    return lines


def _parse(comments: list[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    statements: tuple[str, ...] = ()
    texts: dict[str, str] = {}
    for line in comments:
        name, _, value = line.partition(": ")
        if name == "statements":
            statements += tuple(value.replace(",", " ").split())
        elif name.startswith("provenance."):
            name = name.removeprefix("provenance.")
            texts[name] = texts.get(name, "") + value
    return statements, {name: json.loads(text) for name, text in texts.items()}
