"""Records on their way: blocks, columns of equal length n by name.

index (n,) int64, requested (n,) str, labels (n, K) uint8, signal_uv (n, 12, L) int16 in microvolts, I II III aVR
aVL aVF V1..V6; where the plan has them, age (n,) float32 in years and sex (n,) str, NaN and "" where unknown
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Block = dict[str, NDArray[Any]]

COLUMNS = ("index", "requested", "labels", "signal_uv", "age", "sex")
LIMIT = 32767  # microvolts: what is beyond is cut off here
ROWS = 128  # records per row group of Parquet, and at once in memory


def cut(block: Block, start: int, stop: int) -> Block:
    return {name: column[start:stop] for name, column in block.items()}


def join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def rows(block: Block) -> int:
    return len(block["index"])
