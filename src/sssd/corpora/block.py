"""A block: some records as columns of equal length n, by name.

index      (n,) int64, the records' numbers
requested  (n,) str, the statements that were asked for, such as "AFIB+LVH"; "" where they were drawn
labels     (n, K) uint8, 0 or 1
signal_uv  (n, 12, L) int16 in microvolts, leads I II III aVR aVL aVF V1..V6
age        (n,) float32 in years, NaN where unknown; only in corpora that have it
sex        (n,) str, "female", "male" or "" where unknown; only in corpora that have it
heart_rate (n,) float32 in beats per minute, NaN where unknown; only in corpora that have it
source     (n,) str, the name of the recording that the record was made of; only in corpora that are made of recordings
annotations (n,) str, JSON of `beside.as_text`; only in corpora that have them
clean_uv   (n, 12, L) int16, signal_uv without the noise that was added; only in corpora with noise
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Block = dict[str, NDArray[Any]]

Planned = Literal["age", "sex", "heart_rate", "source"]  # columns that not every corpus has, of its plan
PLANNED: tuple[Planned, ...] = get_args(Planned)
Extra = Literal["age", "sex", "heart_rate", "source", "annotations"]  # and those that follow from the signal
EXTRA: tuple[Extra, ...] = get_args(Extra)
NUMBERS = ("age", "heart_rate")  # those of EXTRA that are float32; the others are text
SIGNALS = ("signal_uv", "clean_uv")
COLUMNS = ("index", "requested", "labels", *SIGNALS, *EXTRA)
LIMIT_UV = 32767  # larger values are cut off here
NOT_FINITE = -32768  # stands for NaN and infinity in signals that a GPU rounded; no shard is written with it
GROUP = 128  # records in a row group of Parquet, and at once in memory


def cut(block: Block, start: int, stop: int) -> Block:
    """Return rows start .. stop - 1."""
    return {name: column[start:stop] for name, column in block.items()}


def join(blocks: list[Block]) -> Block:
    """Return the rows of several blocks, one block after the other."""
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def rows(block: Block) -> int:
    """Return the number of records."""
    return len(block["index"])
