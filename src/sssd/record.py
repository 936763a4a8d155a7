"""One 12-lead ECG and what is known about it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np

from .checks import number
from .drawing import Drawing
from .labels import LONGEST_NAME
from .leads import CLINICAL, lead_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 200  # characters that a statement has in ASCII, by `escaped`, to fit into a line of a WFDB header
_PLAIN = "".join(chr(k) for k in range(33, 127) if chr(k) != "%")
CLEAN, ANNOTATIONS = "_clean", "_annotations"  # end the names of files beside those of a record
PROVENANCE_NAME = r"[\w.-]{1,40}"


def as_statement(name: str) -> str:
    """Turn a label into a code that a record can carry: at most 40 printable characters, no space or comma.

    In scripts other than Latin there is room for fewer, see `LONGEST`.
    """
    text = re.sub(" +", "_", "".join(char if _allowed(char) else " " for char in name))[:LONGEST_NAME]
    while len(escaped(text)) > LONGEST:
        text = text[:-1]
    return text


def escaped(statement: str) -> str:
    """Return a statement in ASCII: "%" and what is not ASCII as in a web address (RFC 3986), "Ä" as "%C3%84"."""
    return quote(statement, safe=_PLAIN)


def unescaped(text: str) -> str:
    """Return the statement that `escaped` wrote."""
    return unquote(text)


def is_statement(code: object) -> bool:
    """Return whether a record can carry this code."""
    return (
        isinstance(code, str)
        and 0 < len(code) <= LONGEST_NAME
        and all(map(_allowed, code))
        and len(escaped(code)) <= LONGEST
    )


def _allowed(char: str) -> bool:
    return char.isprintable() and not char.isspace() and char != ","


@dataclass(frozen=True)
class Annotation:
    """What is marked at one sample of a record.

    sample: its number, from 0. symbol: one of WFDB: "(" onset, ")" end, "p" and "t" peaks, "N", "L", "R", "V", "/" and
    "Q" beats, "+" a change of rhythm, '"' a note. wave: "P", "QRS" or "T", or "". note: a text.
    """

    sample: int
    symbol: str
    wave: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class Ecg:
    """A 12-lead ECG.

    signal      (12, L) float32 in mV, finite; it is copied and made read-only
    fs_hz       samples per second
    leads       names of the rows: the 12 standard leads in any order
    statements  SCP-ECG codes such as ("NORM", "SR")
    provenance  where the record comes from, as a mapping of names to JSON values; generated records have
                {"synthetic": True, ...}
    annotations what is marked in it, in the order of samples (sssd.annotations)
    clean       the same record without the noise that was added to it (sssd.added_noise); None if none was

    ValueError says which of these does not hold.
    """

    signal: np.ndarray = field(repr=False)
    fs_hz: float = 100.0
    leads: tuple[str, ...] = CLINICAL
    statements: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = field(default=(), repr=False)
    clean: Ecg | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        signal = np.array(self.signal, dtype=np.float32)
        if signal.ndim != 2 or signal.shape[0] != 12 or signal.shape[1] < 2:
            raise ValueError(f"signal has shape {signal.shape}; an ECG needs (12, L) in mV with L at least 2")
        leads = lead_names(self.leads)
        if not np.isfinite(signal).all():
            bad = [name for name, row in zip(leads, signal, strict=True) if not np.isfinite(row).all()]
            raise ValueError(
                f"signal holds NaN or infinite values in {', '.join(bad)}; every value must be finite"
            )
        if not 0 < number(self.fs_hz) < np.inf:
            raise ValueError(f"fs_hz must be a positive number of samples per second; got {self.fs_hz!r}")
        if isinstance(self.statements, str):
            raise ValueError(
                f"statements must be a tuple of codes; got {self.statements!r}, write ({self.statements!r},)"
            )
        for code in self.statements:
            if not is_statement(code):
                raise ValueError(
                    f"a statement is a code without spaces or commas, such as 'NORM'; got {code!r}"
                )
        if not isinstance(self.provenance, Mapping):
            raise ValueError(f"provenance must be a mapping of names to JSON values; got {self.provenance!r}")
        for name in self.provenance:
            if not isinstance(name, str) or not re.fullmatch(PROVENANCE_NAME, name, re.ASCII):
                raise ValueError(
                    f"a provenance name holds letters, digits, '_', '.' and '-' only; got {name!r}"
                )
        try:
            provenance = json.loads(json.dumps(self.provenance, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"provenance must hold JSON values only: {error}") from None
        samples = [one.sample for one in self.annotations]
        if samples != sorted(samples) or any(not 0 <= at < signal.shape[1] for at in samples):
            raise ValueError(f"annotations must be at samples 0 to {signal.shape[1] - 1}, in this order")
        if self.clean is not None and (
            self.clean.signal.shape != signal.shape
            or self.clean.leads != leads
            or self.clean.fs_hz != self.fs_hz
        ):
            raise ValueError("clean must be a record of the same leads, length and rate")
        signal.flags.writeable = False
        object.__setattr__(self, "signal", signal)
        object.__setattr__(self, "fs_hz", float(self.fs_hz))
        object.__setattr__(self, "leads", leads)
        object.__setattr__(self, "statements", tuple(self.statements))
        object.__setattr__(self, "provenance", provenance)
        object.__setattr__(self, "annotations", tuple(self.annotations))

    @property
    def duration_s(self) -> float:
        """The length of the record in seconds, L / fs_hz."""
        return int(self.signal.shape[1]) / self.fs_hz

    @property
    def synthetic(self) -> bool:
        """Whether the provenance says that the record was generated."""
        return bool(self.provenance.get("synthetic", False))

    def lead(self, name: str) -> np.ndarray:
        """Return one lead (L,) in mV. ValueError if there is no lead of this name."""
        if name not in self.leads:
            raise ValueError(f"no lead {name!r}; choose one of {', '.join(self.leads)}")
        row: np.ndarray = self.signal[self.leads.index(name)]
        return row

    def plot(self, *, layout: str = "3x4", speed: int = 25, gain: int = 10, rhythm: str = "II") -> Figure:
        """Draw the ECG on paper, true to scale. `Drawing` says what the values mean; ValueError for unknown ones."""
        from .plot import paper

        return paper(self, Drawing(layout, speed, gain, rhythm))

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the ECG in the format that the suffix of `path` names, and return the path.

        No suffix, .hea or .dat: WFDB (two files); .npz: a set of one; .csv: a table; .edf: EDF+; .dcm: DICOM; .mat: the
        form of the PhysioNet challenges (.hea beside it); .png, .svg, .pdf: a picture.
        The `clean` record of one with noise is beside it, as NAME_clean in the same form, or in the archive.
        FileExistsError if the file exists and `overwrite` is not set; ValueError for any other suffix.
        """
        from .io.save import save

        return save(self, path, overwrite=overwrite)


def parts_of(ecg: Ecg) -> list[tuple[tuple[str, ...], float, float]]:
    """Return the statements of each part of a record, and where it begins and ends in s.

    Parts begin at the notes that the provenance lists (sssd.records); a note of another program says something else.
    """
    told = ecg.provenance.get("parts")
    parts = told if isinstance(told, list) else []
    notes = [one for one in ecg.annotations if one.symbol == '"' and one.note in parts]
    if not notes or notes[0].sample > 0:
        return [(ecg.statements, 0.0, ecg.duration_s)]
    starts = [one.sample / ecg.fs_hz for one in notes]
    ends = [*starts[1:], ecg.duration_s]
    named = [tuple(one.note.split("+")) for one in notes]
    return list(zip(named, starts, ends, strict=True))


def with_clean(name: str, ecg: Ecg) -> list[tuple[str, Ecg]]:
    """Return a record with its name, and its `clean` record, if there is one, with the name NAME_clean."""
    return [(name, ecg)] if ecg.clean is None else [(name, ecg), (name + CLEAN, ecg.clean)]
