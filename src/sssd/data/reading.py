"""Reading the recordings of a list: those that can be used, those that cannot with the reason, and what is odd."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import counted
from ..io.recording import SAMPLES, Recording, read_recording
from ..io.units import microvolts
from ..io.wfdb_header import RecordingError
from .tables import TableRow

_TOLD = 5  # examples in a message
_USUAL_MV = (0.45, 4.0)  # the median amplitude of a set; of seven public sets it is 1.0 to 1.84
_ENOUGH = 5  # recordings, for that median to mean something
_HINTS = {"unit": " (--unit says what the numbers are)", "short": " (--short tile repeats it)", "": ""}


@dataclass(frozen=True)
class Skipped:
    """A recording that was left out. reason: the kind, by which they are counted. what: what is wrong with it."""

    record: str
    file: Path
    reason: str
    what: str


@dataclass(frozen=True, eq=False)
class Read:
    """What was read: the rows whose recordings can be used, their signals, what was done to each, and the others.

    signal_uv: (n, 12, 1000) int16. recordings: (n,) without their signals.
    """

    rows: list[TableRow]
    signal_uv: NDArray[np.int16]
    recordings: list[Recording]
    skipped: list[Skipped]


def read_all(
    rows: Sequence[TableRow],
    *,
    unit: str | None = None,
    short: str = "skip",
    progress: Callable[[int, int], None] | None = None,
) -> Read:
    """Read the recordings of a list, 10 s of each at 100 Hz; see `sssd.io.recording.read_recording`."""
    signal = np.zeros((len(rows), 12, SAMPLES), np.int16)
    kept: list[TableRow] = []
    recordings: list[Recording] = []
    skipped: list[Skipped] = []
    for n, row in enumerate(rows, start=1):
        try:
            found = read_recording(row.file, unit=unit, short=short)
            signal[len(kept)] = _microvolts(found.signal_mv)
        except RecordingError as error:
            skipped.append(
                Skipped(str(row.record_id), row.file, error.reason, f"{error}{_HINTS[error.helps]}")
            )
        else:
            kept.append(row)
            recordings.append(replace(found, signal_mv=found.signal_mv[:, :0]))
        if progress is not None:
            progress(n, len(rows))
    return Read(kept, signal[: len(kept)], recordings, skipped)


def _microvolts(signal_mv: NDArray[np.float64]) -> NDArray[np.int16]:
    try:
        return microvolts(signal_mv)
    except ValueError as error:
        text = f"{error}: the file may state a wrong gain or unit"
        raise RecordingError("amplitude", text, "unit") from None


def check_skipped(read: Read, *, strict: bool) -> None:
    """ValueError, which tells of all kinds at once, where too many recordings cannot be used.

    These are more than half of them, or with `strict` a single one.
    """
    total = len(read.rows) + len(read.skipped)
    if 2 * len(read.skipped) > total or (strict and read.skipped):
        raise ValueError(f"{len(read.skipped)} of {total} recordings cannot be used: {told(read.skipped)}")


def told(skipped: Sequence[Skipped]) -> str:
    """Return reasons with their numbers and a few examples of each."""
    parts = []
    for reason, count in Counter(one.reason for one in skipped).most_common():
        examples = [one for one in skipped if one.reason == reason][:_TOLD]
        listed = "; ".join(f"{str(one.file)!r}: {one.what}" for one in examples)
        parts.append(f"{reason} ({count}): {listed}" + ("; ..." if count > _TOLD else ""))
    return " -- ".join(parts)


def skipped_csv(skipped: Sequence[Skipped]) -> str:
    """Return the text of skipped.csv."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("record", "reason", "file", "what"))
    writer.writerows((one.record, one.reason, str(one.file), one.what) for one in skipped)
    return text.getvalue()


def facts(read: Read) -> dict[str, Any]:
    """Return what prepare.json says of the reading; empty entries are left out but for the numbers."""
    names = [str(row.record_id) for row in read.rows]
    each = list(zip(names, read.recordings, strict=True))
    return {
        "skipped": dict(Counter(one.reason for one in read.skipped).most_common()),
        "cut_to_first_10_s": sum(found.cut for found in read.recordings),
        "repeated_to_10_s": sum(found.repeated for found in read.recordings),
        "leads_derived_in_records": sum(bool(found.derived) for found in read.recordings),
        "flat_leads": {name: list(found.flat) for name, found in each if found.flat},
        "implausible_amplitude_mv": {
            name: round(found.amplitude_mv, 4) for name, found in each if not found.plausible
        },
        "implausible_gains": _implausible_gains(read.recordings),
        "identical_in_several_folds": _identical(read),
    }


def warnings(read: Read) -> list[str]:
    """Return what a user should look at, in words."""
    found = facts(read)
    said = []
    if found["skipped"]:
        listed = "; ".join(
            f"{count} {reason}: {_names(read, reason)}" for reason, count in found["skipped"].items()
        )
        said.append(f"skipped {counted(len(read.skipped), 'recording')} ({listed}); skipped.csv lists them")
    if found["flat_leads"]:
        examples = [
            f"{', '.join(leads)} of {name}" for name, leads in list(found["flat_leads"].items())[:_TOLD]
        ]
        said.append(
            f"flat leads in {counted(len(found['flat_leads']), 'recording')}: "
            f"{_some(examples, len(found['flat_leads']))}"
        )
    odd = found["implausible_amplitude_mv"]
    if odd:
        examples = [f"{name} {value:g} mV" for name, value in list(odd.items())[:_TOLD]]
        said.append(
            f"an amplitude that ECGs do not have in {counted(len(odd), 'recording')} ({_some(examples, len(odd))}): "
            "files may state a wrong gain or unit; --unit says what the numbers are"
        )
    for gain, entry in found["implausible_gains"].items():
        said.append(
            f"the {entry['records']} recordings whose headers state {gain} units per mV have a median amplitude of "
            f"{entry['median_amplitude_mv']:g} mV, where sets of ECGs have 1 to 2 mV; --unit says what the numbers are"
        )
    for pair in found["identical_in_several_folds"][:_TOLD]:
        said.append(f"the recordings {pair[0]} and {pair[1]} are identical and in different folds")
    return said


def _names(read: Read, reason: str) -> str:
    names = [one.record for one in read.skipped if one.reason == reason]
    return _some(names[:_TOLD], len(names))


def _some(examples: list[str], total: int) -> str:
    return ", ".join(examples) + (" ..." if total > len(examples) else "")


def _implausible_gains(recordings: Sequence[Recording]) -> dict[str, dict[str, Any]]:
    """Return gains of headers whose recordings have an unlikely median amplitude though each may be plausible."""
    by_gain: dict[str, list[float]] = {}
    for found in recordings:
        if found.gain is not None:
            by_gain.setdefault(f"{found.gain:g}", []).append(found.amplitude_mv)
    medians = {gain: float(np.median(values)) for gain, values in by_gain.items() if len(values) >= _ENOUGH}
    return {
        gain: {"records": len(by_gain[gain]), "median_amplitude_mv": round(median, 4)}
        for gain, median in medians.items()
        if not _USUAL_MV[0] <= median <= _USUAL_MV[1]
    }


def _identical(read: Read) -> list[list[str]]:
    """Return pairs of recordings with the same samples in different folds."""
    first: dict[bytes, TableRow] = {}
    pairs = []
    for row, signal in zip(read.rows, read.signal_uv, strict=True):
        other = first.setdefault(hashlib.sha256(signal.tobytes()).digest(), row)
        if other.fold != row.fold:
            pairs.append([str(other.record_id), str(row.record_id)])
    return pairs
