"""Notes: one small file for each finished shard, written by the one process that holds the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..io.files import write_bytes
from .files import SHARDS, file_hash, inside, size
from .formats import check_readable
from .manifest import repair_command
from .schema import Corpus, Note, parse_note


def note_name(shard: int) -> str:
    """Return the file of a shard's note, relative to the corpus."""
    return f"{SHARDS}/{shard:05d}.json"


def write_note(folder: Path, note: Note) -> None:
    """Write the note of a shard that is in place; from then on the shard counts."""
    content = (json.dumps(asdict(note), sort_keys=True) + "\n").encode()
    write_bytes(folder / note_name(note.shard), content, overwrite=True)


def read_note(folder: Path, corpus: Corpus, shard: int) -> Note | None:
    """Return the note of a shard, or None if it has none. ValueError if it is damaged or of another corpus."""
    name = note_name(shard)
    path = inside(folder, name)
    try:
        note = parse_note(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        return None
    except ValueError:
        raise ValueError(f"{name} is cut off or altered") from None
    span = corpus.span(shard)
    expected = (shard, span.start, len(span), corpus.file(shard), corpus.digest)
    if (note.shard, note.first, note.records, note.file, note.corpus) != expected:
        raise ValueError(f"{name} belongs to another corpus")
    if (len(note.lead_uv), len(note.label_counts)) != (len(corpus.leads), len(corpus.label_names)):
        raise ValueError(f"{name} is cut off or altered")
    return note


def read_notes(folder: Path, corpus: Corpus) -> Iterator[Note]:
    """Return the notes of all shards, one at a time. ValueError if a shard is not finished."""
    for shard in range(corpus.shards):
        note = read_note(folder, corpus, shard)
        if note is None or not inside(folder, corpus.file(shard)).exists():
            raise ValueError(
                f"{str(folder)!r} is not complete: shard {shard} of {corpus.shards} is missing; "
                f"to complete it: {repair_command(folder, corpus)}"
            )
        yield note


def finished(folder: Path, corpus: Corpus, shard: int, *, check: bool = False) -> bool:
    """Return whether a shard has its note and the size in the note; with `check`, also its SHA-256 and records."""
    try:
        note, path = read_note(folder, corpus, shard), inside(folder, corpus.file(shard))
        if note is None or size(path) != note.bytes:
            return False
        if check and file_hash(path)[1] != note.sha256:
            return False
        if check:
            check_readable(folder, corpus, shard)
        return True
    except (ValueError, FileNotFoundError):
        return False


def summary(corpus: Corpus, notes: Iterator[Note]) -> dict[str, Any]:
    """Return totals over shards: records, bytes, clipped samples, records of each label, and lead_uv (12, 4).

    lead_uv holds the least, the largest, the mean and the standard deviation of each lead in microvolts.
    """
    bytes_, clipped, records = 0, 0, 0
    counts = np.zeros(len(corpus.label_names), np.int64)
    low, high = np.full(len(corpus.leads), np.inf), np.full(len(corpus.leads), -np.inf)
    first, second = np.zeros(len(corpus.leads)), np.zeros(len(corpus.leads))  # moments, weighted by records
    for note in notes:
        lead = np.array(note.lead_uv)  # (12, 4)
        bytes_, clipped, records = bytes_ + note.bytes, clipped + note.clipped, records + note.records
        counts += np.array(note.label_counts, np.int64)
        low, high = np.minimum(low, lead[:, 0]), np.maximum(high, lead[:, 1])
        first += note.records * lead[:, 2]
        second += note.records * (lead[:, 2] ** 2 + lead[:, 3] ** 2)
    mean = first / max(records, 1)
    std = np.sqrt(np.maximum(second / max(records, 1) - mean**2, 0))
    return {
        "records": records,
        "bytes": bytes_,
        "clipped": clipped,
        "label_counts": counts.tolist(),
        "lead_uv": np.stack([low, high, mean, std], axis=1).tolist(),
    }
