"""Keeps the log of a run, with one row of log.csv for every `iters_per_logging` iterations."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

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
    """Read the rows of an earlier run up to the iteration that it is resumed from. There are none without a log."""
    if not path.exists() or not iteration:
        return []
    with path.open(newline="", encoding="utf-8") as f:
        rows = [
            Progress(
                int(r["iteration"]),
                float(r["loss"]),
                float(r["val_loss"]) if r["val_loss"] else None,
                float(r["seconds"]),
            )
            for r in csv.DictReader(f)
        ]
    return [r for r in rows if r.iteration <= iteration]
