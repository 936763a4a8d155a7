"""The sets of records that are compared: real training and test records, generated ones, and which belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .. import labels as statements
from ..checks import counted
from ..data.recordings import Recordings, subset
from ..io.recording import resampled
from ..labels import find
from ..signals.rates import COARSE_HZ
from .manifold import NEAREST

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")  # of PTB-XL's diagnostic statements
UNEQUAL = 1.5  # sets whose sizes differ by a larger factor are not compared without a warning


def split(real: Recordings, holdout: Recordings | None = None) -> tuple[Recordings, Recordings, str]:
    """Return training records, test records, and a description of the test records."""
    if holdout is not None:
        train, test, words = real, holdout, "the records held out"
    elif real.strat_fold is not None and 0 < (real.strat_fold == 9).sum() < len(real):
        train, test = subset(real, real.strat_fold < 9), subset(real, real.strat_fold == 9)
        words = "fold 9 of the real records"
    else:
        shuffled = np.random.default_rng(0).permutation(len(real))
        cut = len(real) // 4
        train, test = subset(real, np.sort(shuffled[cut:])), subset(real, np.sort(shuffled[:cut]))
        words = "a random quarter of the real records, which the generator may have been trained on"
    fewest = NEAREST + 1
    for name, part in (("real training", train), ("real test", test)):
        if len(part) < fewest:
            raise ValueError(f"got {counted(len(part), f'{name} record')}: expected {fewest} or more")
    return train, test, words


def aligned(name: str, records: Recordings, train: Recordings) -> Recordings:
    """Return the records with the label names of the training records, in their order.

    A label that they lack counts as absent and not stated (see `unshared`). ValueError for sets without a common label,
    for another rate or length, or too few records.
    """
    if len(records) <= NEAREST:
        raise ValueError(
            f"the {name} set has {counted(len(records), 'record')}: expected {NEAREST + 1} or more"
        )
    here, there = (r.signal_uv.shape[-1] for r in (records, train))
    if records.fs_hz != train.fs_hz or here != there:
        raise ValueError(
            f"the {name} records are {here} samples at {records.fs_hz:g} Hz, the real ones {there} at "
            f"{train.fs_hz:g} Hz: prepare all sets with the same rate and length"
        )
    columns = _columns(records, train)
    if None in columns and not any(column is not None for column in columns):
        raise ValueError(
            f"the {name} set and the real one have no label in common: they have {', '.join(records.label_names[:4])} "
            f"and {', '.join(train.label_names[:4])}; prepare both with the same names"
        )
    labels = np.zeros((len(records), len(columns)), records.labels.dtype)
    stated = np.zeros_like(labels)
    for k, column in enumerate(columns):
        if column is not None:
            labels[:, k] = records.labels[:, column]
            stated[:, k] = 1 if records.stated is None else records.stated[:, column]
    return Recordings(
        records.signal_uv,
        labels,
        train.label_names,
        fs_hz=records.fs_hz,
        strat_fold=records.strat_fold,
        record_id=records.record_id,
        stated=None if stated.all() else stated,
    )


def at_100_hz(records: Recordings) -> Recordings:
    """Return the records at 100 Hz, for classifiers and the search for copies; slower ones stay as they are."""
    if records.fs_hz <= COARSE_HZ:
        return records
    slow = [np.rint(resampled(one.astype(np.float64), records.fs_hz, COARSE_HZ)) for one in records.signal_uv]
    signal_uv = np.clip(slow, -32767, 32767).astype(np.int16)
    return replace(records, signal_uv=signal_uv, fs_hz=COARSE_HZ)


def unshared(name: str, records: Recordings, train: Recordings) -> list[str]:
    """Return what a reader must know about labels that one of two sets lacks."""
    columns, found = _columns(records, train), []
    lacking = [label for label, column in zip(train.label_names, columns, strict=True) if column is None]
    if lacking:
        found.append(
            f"the {name} set has no label {_listed(lacking)}: it counts as absent in all of its records."
        )
    more = [label for k, label in enumerate(records.label_names) if k not in columns]
    if more:
        found.append(
            f"the real set has no label {_listed(more)}, which only the {name} set has: it is not used."
        )
    return found


def _columns(records: Recordings, train: Recordings) -> list[int | None]:
    """Return the column of each label of the training records in the labels of others; None where there is none."""
    columns: list[int | None] = []
    for label in train.label_names:
        try:
            columns.append(find(label, records.label_names))
        except ValueError:
            columns.append(None)
    return columns


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def superclasses(names: Sequence[str]) -> dict[str, list[int]]:
    """Return columns of the statements of each superclass of PTB-XL that are among the label names."""
    of = {s.code: s.superclass for s in statements.STATEMENTS}
    columns = {c: [k for k, name in enumerate(names) if of.get(name) == c] for c in SUPERCLASSES}
    return {c: k for c, k in columns.items() if k}


def pair_rows(
    recorded: NDArray[np.integer], generated: NDArray[np.integer], *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Pair rows of recorded (n, K) and generated (m, K) labels; return the pairs and the share with the same labels.

    Each row is used at most once. If at least half of the smaller set finds a partner with the same label vector, only
    those pairs are returned. Else the rest is paired at random, as many as there are.
    """
    rng = np.random.default_rng(seed)
    waiting: dict[bytes, list[int]] = defaultdict(list)
    for i in rng.permutation(len(generated)):
        waiting[np.ascontiguousarray(generated[i]).tobytes()].append(int(i))
    pairs = []
    for i in rng.permutation(len(recorded)):
        alike = waiting[np.ascontiguousarray(recorded[i]).tobytes()]
        if alike:
            pairs.append((int(i), alike.pop()))
    same = len(pairs)
    smaller = min(len(recorded), len(generated))
    if 2 * same < smaller:
        used, taken = ({pair[side] for pair in pairs} for side in (0, 1))
        left = [i for i in rng.permutation(len(recorded)).tolist() if i not in used]
        right = [i for i in rng.permutation(len(generated)).tolist() if i not in taken]
        pairs += list(zip(left, right, strict=False))
    rows = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1], same / max(len(rows), 1)


def size_warnings(train: Recordings, test: Recordings, synthetic: Recordings) -> list[str]:
    """Return what a reader must know about sets of unequal size."""
    found = []
    larger, smaller = max(len(train), len(synthetic)), min(len(train), len(synthetic))
    if larger > UNEQUAL * smaller:
        found.append(
            f"utility compares training on {len(synthetic)} generated records with training on {len(train)} real "
            "ones for as many epochs, so its ratio depends on these numbers. Generate as many as there are real ones."
        )
    if len(synthetic) * UNEQUAL < len(test):
        found.append(
            f"there are {len(synthetic)} generated records for {len(test)} test records: distances and intervals of so "
            "few are wide. Generate as many as there are test records."
        )
    return found
