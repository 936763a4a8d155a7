"""Which statements real recordings carry together: the label vectors of PTB-XL, folds 1 to 8, and how many carry each.

The built-in model learnt from a part of them (`Statement.training_records`): what none carries, it has never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .labels import CODES, RARE
from .signals.rules import rate_hints

FILE = Path(__file__).with_name("label_mix.npz")  # made by scripts/make_label_mix.py
MANY = 6  # more statements than this are a hint of their own
NAMED = 3  # how many pairs are named
UNLIKELY = 0.1  # of the recordings that would carry a pair by chance, if statements were independent


@cache
def label_mix() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the different label vectors (D, 71), of zeros and ones, and how many recordings carry each (D,)."""
    with np.load(FILE, allow_pickle=False) as data:
        vectors, counts = np.unpackbits(data["bits"], axis=1, count=len(CODES)), data["counts"]
    vectors.flags.writeable = counts.flags.writeable = False
    return vectors, counts


def carrying(statements: Sequence[str]) -> int:
    """Return how many recordings carry all of the statements, given as codes; ValueError for an unknown one."""
    vectors, counts = label_mix()
    columns = [CODES.index(code) for code in statements]
    return int(counts[vectors[:, columns].all(axis=1)].sum())


def hints(statements: Sequence[str], heart_rate: float | None = None) -> list[str]:
    """Say in words what contradicts the heart rate, what hardly ever occurs together, and if there are many statements.

    statements: codes without repetitions. heart_rate: the one that is asked for, in beats per minute. Pairs are named,
    those that the fewest recordings carry first, if both statements are learnt but fewer than `labels.RARE` recordings
    carry both, or less than a tenth of the number that would by chance. The list is empty if there is nothing to say.
    """
    vectors, counts = label_mix()
    total, alone = int(counts.sum()), {code: carrying([code]) for code in statements}
    seldom = []
    for one, other in combinations([code for code in statements if alone[code] >= RARE], 2):
        both = carrying([one, other])
        if both < max(RARE, UNLIKELY * alone[one] * alone[other] / total):
            seldom.append((both, f"both {one} and {other}"))
    said = [] if heart_rate is None else rate_hints(statements, heart_rate)
    said += [_recordings(both, total, pair) for both, pair in sorted(seldom)[:NAMED]]
    if len(seldom) > NAMED:
        said.append(f"{len(seldom) - NAMED} more of these pairs hardly ever occur together")
    together = carrying(statements)
    if len(statements) > 2 and not seldom and together < RARE <= min(alone.values()):
        said.append(_recordings(together, total, f"all of {', '.join(statements)}"))
    if len(statements) > MANY:
        sizes = vectors.sum(axis=1, dtype=np.int64)
        mean, more = float(sizes @ counts) / total, int(counts[sizes > MANY].sum())
        said.append(
            f"{len(statements)} statements are many: recordings carry {mean:.1f} on average, and {more} of {total} of "
            f"PTB-XL carry more than {MANY}"
        )
    return said


def _recordings(n: int, total: int, what: str) -> str:
    return f"{n or 'None'} of {total} recordings of PTB-XL {'carry' if n > 1 else 'carries'} {what}"
