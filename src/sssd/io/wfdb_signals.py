"""The signals of a WFDB record in memory, in the formats of ECGs: 16, 212, 24, 32 and 80 (WFDB, signal(5)).

The WFDB library reads files only. Recordings that somebody sends to a service are not written to the disk, so they are
read here; files on the disk are read by the library (`raw.read_wfdb`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .raw import Raw, scale_of
from .wfdb_header import Header, RecordingError, parse_header

GAIN = 200.0  # units per mV, where a header states none, by the WFDB standard
_SIGNAL = re.compile(
    r"(?P<file>\S+) (?P<format>\d+)(?P<more>x\d+)?(?::(?P<skew>\d+))?(?:\+(?P<start>\d+))?"
    r"(?: (?P<gain>[\d.eE+-]+)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?"
    r"(?: \d+(?: (?P<zero>-?\d+)(?: -?\d+(?: -?\d+(?: \d+(?: (?P<name>.*))?)?)?)?)?)?)?"
)


@dataclass(frozen=True)
class _Format:
    """How samples are stored. bits: of a sample. missing: the number that stands for a missing one."""

    bits: int
    missing: int
    decode: Callable[[bytes], NDArray[np.int64]]


def _of_212(data: bytes) -> NDArray[np.int64]:
    """Return samples of 12 bits, of which two are in three bytes."""
    whole = np.frombuffer(data + bytes(-len(data) % 3), np.uint8).astype(np.int64).reshape(-1, 3)
    first = whole[:, 0] | (whole[:, 1] & 0x0F) << 8
    second = whole[:, 2] | (whole[:, 1] & 0xF0) << 4
    both = np.stack((first, second), axis=1).reshape(-1)
    return np.where(both >= 2048, both - 4096, both)


def _of_24(data: bytes) -> NDArray[np.int64]:
    three = np.frombuffer(data, np.uint8).astype(np.int64).reshape(-1, 3)
    value = three[:, 0] | three[:, 1] << 8 | three[:, 2] << 16
    return np.where(value >= 2**23, value - 2**24, value)


_FORMATS = {
    16: _Format(16, -(2**15), lambda data: np.frombuffer(data, "<i2").astype(np.int64)),
    80: _Format(8, -(2**7), lambda data: np.frombuffer(data, np.uint8).astype(np.int64) - 128),
    24: _Format(24, -(2**23), _of_24),
    32: _Format(32, -(2**31), lambda data: np.frombuffer(data, "<i4").astype(np.int64)),
    212: _Format(12, -(2**11), _of_212),
}


def read(header: bytes, files: Mapping[str, bytes]) -> Raw:
    """Return the record of a header, whose signal files are given by name.

    RecordingError if it cannot be read, a file is missing or shorter than the header says, or it has segments, several
    samples of a lead in a frame, or another format.
    """
    stated = parse_header(header)
    if stated.segments:
        raise RecordingError("unreadable header", "consists of segments: send one of them")
    lines = [_parsed(line) for line in stated.text.splitlines()[1:]]
    if not lines:
        raise RecordingError("unreadable header", "the header states no signals")
    rows: list[NDArray[np.float64]] = []
    while len(rows) < len(lines):
        at = len(rows)
        own = next((k for k in range(at, len(lines)) if lines[k]["file"] != lines[at]["file"]), len(lines))
        rows += _of_file(stated, lines[at:own], files)
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise RecordingError("cut signal file", f"has signals of {min(lengths)} to {max(lengths)} samples")
    names = tuple(line["name"] or "" for line in lines)
    return Raw(np.stack(rows), names, stated.fs_hz, _gain(lines[0]), stated.comments, stated.notes)


def _parsed(line: str) -> dict[str, str | None]:
    match = _SIGNAL.fullmatch(re.sub(r"\s+", " ", line.strip()))
    if match is None:
        raise RecordingError("unreadable header", f"the header has the signal line {line[:80]!r}")
    if match["more"] not in (None, "x1") or match["skew"] not in (None, "0"):
        raise RecordingError(
            "unreadable header", "has several samples in a frame, or a skew: send it in another form"
        )
    return match.groupdict()


def _gain(line: Mapping[str, str | None]) -> float:
    try:
        return float(line["gain"] or 0.0) or GAIN
    except ValueError:
        raise RecordingError("unreadable header", f"the header states a gain of {line['gain']!r}") from None


def _of_file(
    header: Header, lines: list[dict[str, str | None]], files: Mapping[str, bytes]
) -> list[NDArray[np.float64]]:
    """Return the rows (L,) in mV that one file holds, sample after sample."""
    short = str(lines[0]["file"])
    name = header.files.get(short, short)
    content = files.get(name)
    if content is None:
        raise RecordingError("missing file", f"its signal file {name!r} is missing")
    kind = int(lines[0]["format"] or 0)
    if kind not in _FORMATS or {line["format"] for line in lines} != {lines[0]["format"]}:
        known = ", ".join(map(str, _FORMATS))
        raise RecordingError("unreadable", f"has signals of format {kind}: expected one of {known}")
    form, count = _FORMATS[kind], len(lines)
    data = content[int(lines[0]["start"] or 0) :]
    there = len(data) * 8 // (form.bits * count)
    samples = header.samples or there
    if there < samples:
        raise RecordingError(
            "cut signal file",
            f"its signal file {name!r} has {there} samples, and the header states {samples}",
        )
    needed = data[: -(-samples * count * form.bits // 8)]
    units = form.decode(needed)[: samples * count].reshape(samples, count).T
    rows = []
    for line, row in zip(lines, units, strict=True):
        baseline = float(line["baseline"] or line["zero"] or 0)
        scale = scale_of(line["unit"] or "mV", line["name"] or "")
        rows.append(np.where(row == form.missing, np.nan, (row - baseline) / _gain(line) * scale))
    return rows
