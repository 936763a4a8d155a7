"""One ECG as a CSV table: time_s and the 12 leads in mV, one row per sample, with a resolution of 1 uV.

A generated record has three more columns, which say the same in each row: synthetic (1), requested (the statements that
were asked for) and statements (all of them), separated by spaces.
"""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ..record import Ecg, as_statement
from .each import write_each


def write(path: str | Path, ecg: Ecg, *, overwrite: bool = False) -> Path:
    """Write the table and return its path; FileExistsError if it exists and `overwrite` is not set.

    Annotations are a table beside it, NAME_annotations.csv, and the `clean` record of one with noise, NAME_clean.csv.
    """
    return write_each(path, ecg, render, overwrite=overwrite)


def render(ecg: Ecg) -> bytes:
    """Return the content of the table."""
    more = _origin(ecg) if ecg.synthetic else {}
    time_s = np.arange(ecg.signal.shape[1]) / ecg.fs_hz
    millivolts = np.round(ecg.signal.T.astype(np.float64), 3) + 0.0  # + 0.0 turns -0.0 into 0.0
    text = io.StringIO()
    np.savetxt(
        text,
        np.column_stack([time_s, millivolts]),  # (L, 13)
        fmt=["%.6f"] + ["%.3f"] * 12,
        delimiter=",",
        header=",".join(("time_s", *ecg.leads)),
        comments="",
    )
    header, *rows = text.getvalue().splitlines()
    lines = [",".join((header, *more)), *(",".join((row, *more.values())) for row in rows), ""]
    return "\n".join(lines).encode("ascii")


def _origin(ecg: Ecg) -> dict[str, str]:
    """Return the columns of a generated record. Statements are escaped as in a web address where they need it."""
    requested = str(ecg.provenance.get("requested", "")).split("+")
    asked = [name for name in ecg.statements if name in map(as_statement, requested)]
    return {
        "synthetic": "1",
        "requested": " ".join(quote(name, safe="/()") for name in asked),
        "statements": " ".join(quote(name, safe="/()") for name in ecg.statements),
    }
