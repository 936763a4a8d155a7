"""Brings WFDB headers into the form that the WFDB library reads, if it refuses one although the signal is fine.

The record line is, by header(5) of the WFDB Applications Guide (Moody),

    RECORD_NAME[/SEGMENTS] LEADS [RATE[/COUNTER] [SAMPLES [TIME [DATE]]]]

Headers of public sets have "E1.mat" or "dir/name" as the record's name, a rate of "5e2", 0 samples for an unknown
number, dates of a year only, and units with a micro sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..checks import counted

_MICRO = str.maketrans({"µ": "u", "μ": "u", "Â": ""})  # Â: a micro sign in UTF-8 that was read as Latin-1
_BREAKS = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")  # where Python ends lines, and WFDB does not
RATE = 250.0  # Hz, where a header states none, by the WFDB standard


class RecordingError(ValueError):
    """A recording that cannot be used.

    reason: the fault in a word or two, by which recordings are counted. helps: the argument of
    `sssd.io.recording.read_recording` with which the recording may be used, "unit" or "short"; "" if none helps.
    """

    def __init__(self, reason: str, message: str, helps: str = "") -> None:
        super().__init__(message)
        self.reason, self.helps = reason, helps


@dataclass(frozen=True)
class Header:
    """A header that the WFDB library reads.

    fs_hz, samples: as stated; 0 samples are an unknown number. text: in ASCII. files: names of the signal files in the
    text -> in the folder. changed: whether the text differs from the file in more than comments. segments: names and
    numbers of samples, of a record that has them in place of signals; "~" is a gap, and 0 samples a list of the leads.
    comments: the lines after "#". notes: what the user should know of it.
    """

    fs_hz: float
    samples: int
    text: str
    files: dict[str, str]
    changed: bool
    segments: tuple[tuple[str, int], ...]
    comments: tuple[str, ...]
    notes: tuple[str, ...]


def read_header(file: Path) -> Header:
    """Read a header file; see `parse_header`."""
    return parse_header(file.read_bytes())


def parse_header(content: bytes) -> Header:
    """Return what the content of a header file says.

    RecordingError if its rate is no rate, its lines are not as many as its signals, or a file is outside of the folder.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [
        line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()
    ]  # comments may hold other breaks
    comments = tuple(line[1:].strip() for line in lines if line.startswith("#"))
    specified = [line for line in lines if not line.startswith("#")]
    if not specified:
        raise RecordingError("unreadable header", "the header has no record line")
    several = re.fullmatch(r".*/\d+", specified[0].split()[0]) and all(
        len(x.split()) <= 2 for x in specified[1:]
    )
    record, notes = _record_line(specified[0])
    _, signals, rate, *samples = record.split()
    stated = int(specified[0].split()[0].rpartition("/")[2]) if several else int(signals)
    if len(specified) - 1 != stated:
        raise RecordingError(
            "unreadable header",
            f"the header states {counted(stated, 'segment' if several else 'signal')} and has "
            f"{counted(len(specified) - 1, 'line')} for them",
        )
    files: dict[str, str] = {}
    lines = [record, *(_signal_line(line, files) for line in ([] if several else specified[1:]))]
    return Header(
        fs_hz=float(rate),
        samples=int(samples[0]) if samples else 0,
        text="\n".join(lines) + "\n",
        files=files,
        changed=lines != specified or _BREAKS.search(text) is not None,
        segments=tuple(map(_segment_line, specified[1:])) if several else (),
        comments=comments,
        notes=notes,
    )


def _record_line(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the record line with a plain name and rate, without time and date, and what the user should know."""
    name, *fields = line.split()
    if not fields or not fields[0].isdecimal():
        raise RecordingError("unreadable header", f"the record line {line[:80]!r} states no number of leads")
    notes: tuple[str, ...] = ()
    if len(fields) == 1:
        rate = f"{RATE:g}"
        notes = (f"the header states no sampling rate; {RATE:g} Hz is taken, as WFDB says",)
    else:
        rate = _rate(fields[1].split("/")[0].split("(")[0])
    samples = fields[2] if len(fields) > 2 else "0"
    if not samples.isdecimal():
        raise RecordingError("unreadable header", f"the header states {samples!r} samples")
    plain = name if re.fullmatch(r"[-\w]+", name, re.ASCII) else "record"
    return " ".join((plain, fields[0], rate, *([samples] if int(samples) else []))), notes


def _rate(text: str) -> str:
    """Return a sampling rate in Hz as a plain decimal number."""
    try:
        rate = float(text)
    except ValueError:
        rate = float("nan")
    if not 0 < rate < np.inf:
        raise RecordingError(
            "sampling rate", f"the header states a sampling rate of {text!r}; expected a number above 0"
        )
    return (
        text if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else np.format_float_positional(rate, trim="-")
    )


def _segment_line(line: str) -> tuple[str, int]:
    """Return the name of a segment and its number of samples."""
    match = re.fullmatch(r"(~|[-\w]+)\s+(\d+)", line)
    if match is None:
        raise RecordingError(
            "unreadable header",
            f"the header has the segment {line[:80]!r}; expected a name and a number of samples",
        )
    return match[1], int(match[2])


def _signal_line(line: str, files: dict[str, str]) -> str:
    """Return a signal line with units in ASCII, and with a plain file name, which `files` gets."""
    name, _, rest = line.partition(" ") if "\t" not in line else re.sub(r"\s+", " ", line).partition(" ")
    if name != "~":
        if "/" in name or "\\" in name or name in ("..", "."):
            raise RecordingError(
                "unreadable header", f"the header names a signal file outside of its folder, {name!r}"
            )
        plain = name if re.fullmatch(r"[-\w]*\.?\w*", name, re.ASCII) else None
        known = next((short for short, long in files.items() if long == name), None)
        short = known or plain or f"signal{len(files)}{re.sub(r'[^.A-Za-z0-9]', '', Path(name).suffix)}"
        files[short] = name
        name = short
    return f"{name} {rest.translate(_MICRO).encode('ascii', 'replace').decode('ascii')}"
