"""One ECG as a CSV table: time_s and the 12 leads in mV, one row per sample, with a resolution of 1 uV."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..record import Ecg
from .each import write_each


def write(path: str | Path, ecg: Ecg, *, overwrite: bool = False) -> Path:
    """Write the table and return its path; FileExistsError if it exists and `overwrite` is not set.

    The `clean` record of one with noise is a table beside it, NAME_clean.csv.
    """
    return write_each(path, ecg, render, overwrite=overwrite)


def render(ecg: Ecg) -> bytes:
    """Return the content of the table."""
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
    return text.getvalue().encode("ascii")
