"""From the names of statements to label vectors: the 71 SCP-ECG statements of PTB-XL (Wagner et al. 2020).

A label vector is one row of (B, K) float32, 1 where a statement is present. K is 71, and the columns have the order of
SSSD-ECG, alphabetical by code. `encode` turns names or indices into rows, and `complete` adds statements that real
records have beside the requested ones. scripts/make_statements.py writes `statements.json`, which holds the
descriptions and counts.

A vector has those statements whose value is above 0.5. The whole package uses this one rule, `has`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import counted
from .containers import check_indices, is_integer, plain

Floats = NDArray[np.float64]

RARE = 20  # a model hardly learns statements with fewer training records than this
LONGEST_NAME = 40  # characters that a record carries
NEGATIONS = ("-", "\u2212", "!", "~", "\u00ac")  # before a name they may mean that it is absent
PRESENT = 0.5  # a vector has the statements whose value is above this


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement.

    superclass: NORM, MI, STTC, CD, HYP, or "" for statements that describe form or rhythm only.
    ptbxl_records: how many of the 21,799 records of PTB-XL have the statement.
    training_records: how many of those that the built-in model was trained on have it.
    """

    code: str
    description: str
    superclass: str
    ptbxl_records: int
    training_records: int
    aliases: tuple[str, ...]


_CONTENT: dict[str, Any] = json.loads(Path(__file__).with_name("statements.json").read_text(encoding="utf-8"))
STATEMENTS: tuple[Statement, ...] = tuple(
    Statement(**{**entry, "aliases": tuple(entry["aliases"])}) for entry in _CONTENT["statements"]
)
CODES: tuple[str, ...] = tuple(statement.code for statement in STATEMENTS)
RHYTHMS: frozenset[str] = frozenset(_CONTENT["rhythms"])


# --- names and indices -> vectors ---------------------------------------------------------------------------


def find(name: str, classes: Sequence[str] = CODES) -> int:
    """Return the index in `classes` of the statement called `name`: its code, its description or an alias, in any case.

    Words may be separated by spaces, hyphens or underscores. `classes` may differ from the 71 codes, as in a fine-tuned
    model; then a name is one of theirs, or a description or an alias of one that is a code.
    Raises ValueError, which suggests the nearest names; so it does for "-AFIB", which may mean that it is absent.
    """
    names = _names(tuple(classes))
    index = names.get(_spelled(name))
    if index is not None and (name in classes or str(name).strip()[:1] not in NEGATIONS):
        return index
    near: dict[str, int] = {}
    for known in difflib.get_close_matches(_spelled(name), names, n=6, cutoff=0.5):
        near.setdefault(classes[names[known]], names[known])
    hint = f"did you mean {' or '.join(list(near)[:3])}?" if near else f"known: {', '.join(classes[:8])} ..."
    raise ValueError(f"unknown statement {name!r}; {hint}")


def encode(labels: Any, classes: Sequence[str] = CODES) -> NDArray[np.float32]:
    """Return label vectors (B, K) float32 from names, class indices or vectors.

    "AFIB", 4                     one record
    ["AFIB", "CLBBB+LVH", 4]      one record per entry; "+" combines statements
    [["CLBBB", "LVH"], [4, 17]]   one record per inner list, which combines names or indices
    array or tensor (B,) of integers   class indices, one record each
    array or tensor (B, K) of reals    label vectors, taken as they are; every value is 0 (absent) to 1 (present)
    data frame                         label vectors; columns are named by statements, or there are K without names

    Series and indices of data frames are taken as lists. Inner lists hold names or indices; pass zeros and ones as an
    array. Raises ValueError for unknown names, indices outside 0..K-1, a wrong width, values outside 0..1, empty input,
    and for what may mean two things: K zeros and ones that are no row of an array.
    """
    classes = tuple(classes)
    if not classes:
        raise ValueError("there are no classes to encode labels for")
    labels = plain(labels, classes, find)
    if isinstance(labels, np.ndarray):
        return _from_array(labels, classes)
    if len(labels) == 0:
        raise ValueError("labels are empty: give at least one statement, for example 'NORM'")
    check_indices(labels, len(classes))
    return _one_hot([_members(entry, classes, i) for i, entry in enumerate(labels)], len(classes))


def check_names(names: Sequence[str], where: str) -> None:
    """ValueError, which says where they stand, unless each of these names of labels can be asked for by its name.

    A name has a letter or a digit, none of the signs that join names, and differs from the others in more than case
    and signs.
    """
    for name in names:
        if not _spelled(name) or set(name) & set("+,;|") or not name.isprintable():
            raise ValueError(
                f"{where!r}: nobody could ask for a label called {name!r}; a name has a letter or a digit, and none "
                "of + , ; |"
            )
    short: dict[str, str] = {}
    for name in names:
        other = short.setdefault(_spelled(name[:LONGEST_NAME]), name)
        if other != name and _spelled(other) != _spelled(name):
            raise ValueError(
                f"{where!r}: the labels {other!r} and {name!r} differ after {LONGEST_NAME} characters only, and "
                "records carry no more of a name; give them shorter names"
            )
    try:
        _names(tuple(names))
    except ValueError:
        alike: dict[str, str] = {}
        for name in names:
            other = alike.setdefault(_spelled(name), name)
            if other != name:
                raise ValueError(
                    f"{where!r}: the labels {other!r} and {name!r} differ in case or signs only, so that nobody could "
                    "ask for one of them; write them alike, or give them other names"
                ) from None
        raise


def has(vectors: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether each statement of label vectors is present, which means above 0.5; in the shape of `vectors`."""
    return np.asarray(np.asarray(vectors) > PRESENT)


def names_of(vector: NDArray[Any], classes: Sequence[str] = CODES) -> tuple[str, ...]:
    """Return the names of the statements that one label vector (K,) has."""
    return tuple(classes[k] for k in np.flatnonzero(has(vector)).tolist())


def are_vectors(labels: Any, classes: Sequence[str] = CODES) -> bool:
    """Return whether labels are an array, tensor or data frame (B, K) of numbers, which `encode` takes as they are."""
    array = plain(labels, classes, find)
    return isinstance(array, np.ndarray) and array.ndim == 2


def rare_statements() -> dict[str, int]:
    """Return the statements that the built-in model saw in fewer than 20 training records, with these numbers."""
    return {s.code: s.training_records for s in STATEMENTS if s.training_records < RARE}


def learnt(records: int) -> str:
    """Say what can have been learnt from so few records: "1 training record: not learnt"."""
    return f"{counted(records, 'training record')}: {'not' if records < 5 else 'hardly'} learnt"


def rare_among(vectors: NDArray[Any]) -> list[tuple[str, int]]:
    """Return (code, training records) of statements that the built-in model saw fewer than 20 times, the rarest first.

    Only statements that one of the `vectors` (B, 71) has are listed.
    """
    vectors = _check_71(vectors)
    used = [STATEMENTS[k] for k in np.flatnonzero(has(vectors).any(axis=0)).tolist()]
    rare = [s for s in used if s.training_records < RARE]
    return [(s.code, s.training_records) for s in sorted(rare, key=lambda s: s.training_records)]


def rare_note(vectors: NDArray[Any]) -> str | None:
    """Return a sentence on the statements of vectors (B, 71) of which the built-in model saw few; None without any."""
    listed = ", ".join(f"{code} ({count})" for code, count in rare_among(vectors))
    told = f"the built-in model has seen fewer than {RARE} training records of {listed}: do not expect much of them"
    return told if listed else None


def _spelled(name: str) -> str:
    """Return the name in lower case.

    Each run of other characters than letters and digits is one space: 'ISC_' -> 'isc'.
    """
    return re.sub(r"[\W_]+", " ", str(name).casefold()).strip()


@cache
def _names(classes: tuple[str, ...]) -> dict[str, int]:
    """Return the index of each plain name. The name of a class takes precedence over an alias of another."""
    names: dict[str, int] = {}
    for index, name in enumerate(classes):
        if names.setdefault(_spelled(name), index) != index:
            raise ValueError(
                f"two of the classes are called {name!r}; names must differ in letters or digits"
            )
    known = {statement.code: statement for statement in STATEMENTS}
    for index, name in enumerate(classes):
        if name in known:
            for alias in (known[name].description, *known[name].aliases):
                names.setdefault(_spelled(alias), index)
    return names


def _members(entry: Any, classes: tuple[str, ...], record: int) -> list[int]:
    """Return the class indices that one entry of a list of labels combines."""
    if hasattr(entry, "detach"):
        entry = entry.detach().cpu().numpy()
    if isinstance(entry, np.ndarray) and entry.ndim <= 1:
        entry = entry.tolist()
    if isinstance(entry, str):
        names = _names(classes)
        parts = [entry] if _spelled(entry) in names and entry in classes else entry.split("+")
        if not all(part.strip() for part in parts):
            raise ValueError(f"label {record} is {entry!r}; expected statement names joined by '+'")
        return sorted({find(part, classes) for part in parts})
    if is_integer(entry):
        if not 0 <= entry < len(classes):
            raise ValueError(
                f"label {record} is class index {int(entry)}; expected 0 to {len(classes) - 1}, "
                "or a statement's name"
            )
        return [int(entry)]
    if isinstance(entry, list | tuple | set | frozenset):
        if len(entry) == 0:
            raise ValueError(f"label {record} is empty; expected at least one statement")
        for part in entry:
            if not isinstance(part, str) and not is_integer(part):
                raise ValueError(
                    f"label {record} holds {part!r}; expected names or class indices "
                    f"(pass label vectors as an array or tensor of shape (B, {len(classes)}))"
                )
        indices = [index for part in entry for index in _members(part, classes, record)]
        if len(set(indices)) < len(indices):
            raise ValueError(
                f"label {record} names a statement twice; inner lists hold names or class indices "
                f"(pass label vectors as an array or tensor of shape (B, {len(classes)}))"
            )
        return sorted(indices)
    raise ValueError(
        f"label {record} is {entry!r} ({type(entry).__name__}); expected a statement's name, a class index, "
        "or a list of these"
    )


def _one_hot(members: list[list[int]], width: int) -> NDArray[np.float32]:
    vectors = np.zeros((len(members), width), np.float32)  # (B, K)
    for row, indices in zip(vectors, members, strict=True):
        row[indices] = 1.0
    return vectors


def _from_array(array: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.float32]:
    expected = f"expected integers (B,), one class index per record, or label vectors (B, {len(classes)})"
    if array.dtype.kind not in "iufb":
        raise ValueError(f"labels have type {array.dtype}; {expected}")
    if array.size == 0:
        raise ValueError("labels are empty: give at least one statement, for example 'NORM'")
    if array.ndim <= 1:
        check_indices(array.reshape(-1), len(classes))
        if array.dtype.kind not in "iu":
            raise ValueError(f"labels have type {array.dtype} and shape {array.shape}; {expected}")
        return _one_hot([_members(i, classes, n) for n, i in enumerate(array.reshape(-1))], len(classes))
    if array.ndim != 2 or array.shape[1] != len(classes):
        raise ValueError(f"labels have shape {array.shape}; {expected}")
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(
            f"label vector {row} is {array[row, column]} at {classes[column]}; expected finite values"
        )
    if ((array < 0) | (array > 1)).any():
        row, column = np.argwhere((array < 0) | (array > 1))[0]
        raise ValueError(
            f"label vector {row} is {array[row, column]:g} at {classes[column]}; expected 0 (absent) to 1 (present): "
            "divide likelihoods of 0 to 100 by 100, or take those above a limit as 1"
        )
    return array.astype(np.float32)


def _check_71(vectors: NDArray[Any]) -> NDArray[Any]:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] != len(CODES):
        raise ValueError(
            f"label vectors have shape {vectors.shape}; expected (B, {len(CODES)}), the statements of PTB-XL"
        )
    return vectors


# --- which statements occur together ------------------------------------------------------------------------

_SHRINK = 0.3  # records that are added to both the observed and the expected count of a pair
_NEVER = (
    0.1  # a pair is not drawn if it was seen less often than this share of the count expected by chance ...
)
_EXPECTED = 3.0  # ... and at least this many were expected
_TEMPER = 0.6  # exponent on the evidence of several statements, because it is not independent


@dataclass(frozen=True)
class Together:
    """How K statements occur together in folds 1 to 8, in records with n = 0 .. N statements."""

    log_share: Floats  # (K,) log of the share of records with j
    log_lift: (
        Floats  # (K, K) log of the observed over the expected count of a pair; -inf if never drawn together
    )
    log_size: Floats  # (N+1,) log of the number of records with n statements
    log_size_with: Floats  # (K, N+1) the same among the records with s
    size_ratio: Floats  # (K, N+1) P(n | j) / P(n)
    rhythm: NDArray[
        np.bool_
    ]  # (K,) whether it describes the rhythm; 97 % of records have exactly one such statement


@cache
def together() -> Together:
    """Return how the 71 statements occur together."""
    table = _CONTENT["together"]
    records = table["records"]
    counts = np.array(table["counts"], float)  # (K,)
    pairs = np.zeros((len(CODES), len(CODES)))
    i, j, n = np.array(table["pairs"]).T
    pairs[i, j] = pairs[j, i] = n
    expected = np.outer(counts, counts) / records
    lift = (pairs + _SHRINK) / (expected + _SHRINK)
    lift[(pairs < _NEVER * expected) & (expected >= _EXPECTED)] = 0.0

    with_s = np.array(table["sizes"], float)  # (K, N+1): records with s and n statements
    size = with_s.sum(axis=0) / np.maximum(np.arange(with_s.shape[1]), 1)  # a record of n counts n times
    share = size / size.sum()
    ratio = (with_s + share) / (counts[:, None] + 1.0) / np.maximum(share, 1e-12)
    with np.errstate(divide="ignore"):
        log_lift = np.log(lift)
    return Together(
        log_share=np.log(counts / records),
        log_lift=log_lift,
        log_size=np.log(size + 1e-3),
        log_size_with=np.log(with_s + 1e-3),
        size_ratio=ratio,
        rhythm=np.isin(CODES, list(RHYTHMS)),
    )


def complete(requested: NDArray[Any], *, seed: int, index: Sequence[int]) -> NDArray[np.float32]:
    """Add to requested label vectors the statements that real records have beside them.

    Only 3 % of real records have a single statement; the mean is 2.8. For each record, the number of its statements is
    drawn first, given the requested ones. If none of these describes the rhythm, one that does is drawn next. Others
    follow one by one, with the odds of p(j | those so far) = p(j) (prod_s lift(j, s))^gamma. The lift is the observed
    over the expected count of a pair, shrunk, and zero for pairs that hardly ever occur (neither SR nor NORM beside
    AFIB). gamma is 1 for one statement and 0.6 for several, because their evidence is not independent.
    For single statements requested from real records, the frequencies of pairs then differ from the real ones by no
    more than one fold of PTB-XL differs from the others.

    requested: (B, 71). Drawn statements become 1, and all other values are kept.
    index: B record numbers; what is drawn depends on (seed, index, request) only.
    Returns (B, 71) float32. Raises ValueError for another width or number of indices.
    """
    vectors = _check_71(requested).astype(np.float32)  # a copy
    if len(index) != len(vectors):
        raise ValueError(
            f"got {counted(len(vectors), 'label vector')} and {counted(len(index), 'number')} of records; "
            "expected one per record"
        )
    for row, number in zip(vectors, index, strict=True):
        row[_draw(np.flatnonzero(has(row)).tolist(), _generator(seed, int(number)))] = 1.0
    return vectors


def _generator(seed: int, number: int) -> np.random.Generator:
    """Return a separate generator for each (seed, record number), both modulo 2^64."""
    words = [(value >> shift) & 0xFFFFFFFF for value in (int(seed), number) for shift in (0, 32)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _draw(request: list[int], generator: np.random.Generator) -> list[int]:
    """Return the statements to add to `request`."""
    tables = together()
    present = tuple(sorted(request))
    size = _choose(_size_weights(present), generator)
    if size > len(present) and not tables.rhythm[list(present)].any():
        rhythm = np.where(tables.rhythm, _probability(present), 0.0)
        # Rhythms exclude each other, so that 1 minus the sum of their probabilities is the chance of none.
        if generator.random() < rhythm.sum():
            present = _add(present, rhythm * tables.size_ratio[:, size], generator)
    while len(present) < size:
        probability = _probability(present)
        odds = probability / (1.0 - probability)
        grown = _add(present, odds * tables.size_ratio[:, size], generator)
        if grown == present:
            break  # no other statement occurs with these
        present = grown
    return sorted(set(present) - set(request))


def _add(present: tuple[int, ...], weights: Floats, generator: np.random.Generator) -> tuple[int, ...]:
    """Return `present` with one more statement, unless all weights are zero."""
    return tuple(sorted((*present, _choose(weights, generator)))) if weights.any() else present


@lru_cache(maxsize=4096)
def _size_weights(present: tuple[int, ...]) -> Floats:
    """Return the weights (N+1,) of the number n of statements of a record that has these m.

    Statements count as independent given n: P(n | S) ~ P(n) prod_s P(n | s) / P(n) * n (n-1) .. (n-m+1) / n^m.
    """
    tables = together()
    n = np.arange(len(tables.log_size))
    m = len(present)
    if m > n[-1]:
        return np.asarray(n == n[-1], float)  # more than any real record has, so that nothing is added
    log = tables.log_size + (tables.log_size_with[list(present)] - tables.log_size).sum(axis=0)
    distinct = np.ones(len(n))
    for k in range(m):
        distinct *= (n - k) / np.maximum(n, 1)
    allowed = n >= max(m, 1)
    weights: Floats = np.where(allowed, np.exp(log - log[allowed].max()) * distinct, 0.0)
    return weights


@lru_cache(maxsize=4096)
def _probability(present: tuple[int, ...]) -> Floats:
    """Return p(j | present) (K,), at most 0.97; 0 for statements that are present or do not occur with these."""
    tables = together()
    gamma = 1.0 if len(present) <= 1 else _TEMPER
    log = tables.log_share + gamma * tables.log_lift[list(present)].sum(axis=0)
    probability: Floats = np.minimum(np.exp(log), 0.97)
    probability[list(present)] = 0.0
    return probability


def _choose(weights: Floats, generator: np.random.Generator) -> int:
    """Return an index drawn in proportion to `weights`, with one uniform number."""
    cumulative = np.cumsum(weights)
    return int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))
