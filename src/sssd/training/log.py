"""Keeps the log of a run, with one row of log.csv for every `iters_per_logging` iterations."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ..checks import counted, warn
from ..io.files import replacing

LOG = "log.csv"


@dataclass(frozen=True)
class Progress:
    """One row of the log: iteration, mean loss since the last row, last validation loss, and seconds so far."""

    iteration: int
    loss: float
    val_loss: float | None
    seconds: float


def write_log(path: Path, rows: list[Progress]) -> None:
    """Replace the log by these rows."""
    with replacing(path, overwrite=True) as (part,), part.open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(["iteration", "loss", "val_loss", "seconds"])
        for r in rows:
            val_loss = "" if r.val_loss is None else repr(r.val_loss)
            writer.writerow([r.iteration, repr(r.loss), val_loss, f"{r.seconds:.1f}"])


def read_log(path: Path, iteration: int) -> list[Progress]:
    """The rows of an earlier run up to the iteration that it is resumed from; none where there is no log.

    A log that was cut off, or changed by hand, ends no run: rows that cannot be read are left out, with a warning.
    """
    if not path.exists() or not iteration:
        return []
    rows, odd = [], 0
    with path.open(newline="", encoding="utf-8", errors="replace") as f:
        for row in csv.DictReader(line.replace("\0", "") for line in f):
            try:
                val_loss = float(row["val_loss"]) if row["val_loss"] else None
                if row["val_loss"] is None:  # cut off before it
                    raise ValueError
                rows.append(
                    Progress(int(row["iteration"]), float(row["loss"]), val_loss, float(row["seconds"]))
                )
            except (ValueError, TypeError, KeyError):
                odd += 1
    if odd:
        warn(f"{path}: {counted(odd, 'row')} of this log cannot be read and will be missing in it")
    return [r for r in rows if r.iteration <= iteration]
