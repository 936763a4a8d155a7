"""Requests: what a user asks for becomes what the network takes, one vector of labels and the rest per record.

    names, indices, vectors, a CSV file  ->  Rows, as they were given  ->  Request, completed and numbered

sssd.patient checks ages, sexes and heart rates. They are refused here if the model does not take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from . import labels as statements
from .checks import durations, flag, whole
from .patient import LABELS_ONLY, Takes, ages, each, heart_rates, sexes

Floats = NDArray[np.float64]


class RequestKeywords(TypedDict, total=False):
    """The keywords of `SSSDECG.generate`, which describes them, that say which records to make for the labels."""

    num_samples: int | None
    exact: bool
    duration: Any
    age: Any
    sex: Any
    heart_rate: Any


@dataclass(frozen=True, eq=False)
class Request:
    """The records to generate, one row each.

    vectors: (B, K) float32, complete label vectors. requested: (B,) the statements that were asked for, as "AFIB+LVH".
    index: (B,) the records' numbers, on which their noise depends; None for 0 .. B - 1.
    age: (B,) in years. sex: (B,) 0 (male) or 1 (female). heart_rate: (B,) in beats per minute. Each is NaN where
    unknown, and None if unknown for all.
    seconds: (G,) lengths of the parts of each record; none for what the network makes. course: (B, G, K), the label
    vectors of the parts, where they differ; `vectors` has all statements of the parts then.
    """

    vectors: NDArray[np.float32]
    requested: tuple[str, ...]
    index: tuple[int, ...] | None = None
    age: Floats | None = None
    sex: Floats | None = None
    heart_rate: Floats | None = None
    seconds: tuple[float, ...] = ()
    course: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def parts(self) -> NDArray[np.float32]:
        """The label vectors of the parts, (B, G, K), or (B, 1, K)."""
        return self.vectors[:, None] if self.course is None else self.course

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers (B,) of the records."""
        return range(len(self)) if self.index is None else self.index

    @property
    def known(self) -> dict[str, Floats | None]:
        """Ages, sexes and heart rates, as keywords."""
        return {"age": self.age, "sex": self.sex, "heart_rate": self.heart_rate}

    def part(self, rows: slice) -> Request:
        """Return the request for these rows only."""
        return self.pick(range(len(self))[rows])

    def pick(self, rows: Sequence[int]) -> Request:
        """Return the request for the rows with these places."""
        places = list(rows)
        arrays = {"vectors": self.vectors, "course": self.course, **self.known}
        chosen: dict[str, Any] = {k: None if v is None else v[places] for k, v in arrays.items()}
        chosen["requested"] = tuple(self.requested[row] for row in places)
        chosen["index"] = tuple(self.numbers[row] for row in places)
        return replace(self, **chosen)


@dataclass(frozen=True, eq=False)
class Rows:
    """Records as they were asked for, before other statements are drawn beside theirs.

    vectors: (n, K) float32. by_name: (n,) whether the row was given by names or indices, so that it may be completed.
    age: (n,) in years. sex: (n,) 0 (male) or 1 (female). heart_rate: (n,) in beats per minute. Each is NaN where
    unknown.
    """

    vectors: NDArray[np.float32]
    by_name: NDArray[np.bool_]
    age: Floats
    sex: Floats
    heart_rate: Floats

    def __len__(self) -> int:
        return len(self.vectors)

    def part(self, rows: slice) -> Rows:
        """Return these rows only."""
        return Rows(*(part[rows] for part in vars(self).values()))

    def repeated(self, count: int) -> Rows:
        """Return the rows, each repeated `count` times."""
        return Rows(*(part.repeat(count, axis=0) for part in vars(self).values()))


@dataclass(frozen=True)
class Classes:
    """What a model can be asked for.

    names: (K,) of the label columns. takes: whether it takes an age and a sex, and a heart rate. named: whether the
    names come from the configuration; otherwise they are PTB-XL's codes or class_0, class_1, ...
    """

    names: tuple[str, ...]
    takes: Takes = LABELS_ONLY
    named: bool = True

    @property
    def standard(self) -> bool:
        """Whether these are the 71 statements of PTB-XL, for which it is known which occur together."""
        return self.names == statements.CODES


def make_request(
    labels: Any,
    classes: Classes,
    *,
    seed: int,
    num_samples: int | None = None,
    exact: bool = False,
    duration: Any = None,
    age: Any = None,
    sex: Any = None,
    heart_rate: Any = None,
    first: int = 0,
) -> Request:
    """Turn the arguments of a call of `SSSDECG.generate`, which describes them, into a request.

    classes: of the model. seed: decides which statements are drawn beside the named ones. first: the number of the
    first record. ValueError if an argument is wrong.
    """
    exact = flag("exact", exact)
    if isinstance(labels, Request):
        records = {"num_samples": num_samples, "exact": exact or None, "duration": duration}
        given = {**records, "age": age, "sex": sex, "heart_rate": heart_rate}
        for name in (name for name, value in given.items() if value is not None):
            raise ValueError(f"{name} is part of a Request: leave it out when the labels are one")
        return labels
    if num_samples is not None:
        num_samples = whole("num_samples", num_samples)
    seconds = durations(duration)
    several = len(seconds) > 1
    if labels is None and several:
        raise ValueError(
            f"duration has {len(seconds)} parts, and there are no labels: give a label for each part, or one duration"
        )
    if labels is None:
        vectors = _no_labels(classes, num_samples, exact)
    else:
        vectors = np.repeat(_encode(labels, classes), 1 if several else num_samples or 1, axis=0)
    by_name = np.full(len(vectors), labels is None or not statements.are_vectors(labels, classes.names))
    checked = {"age": ages(age), "sex": sexes(sex), "heart_rate": heart_rates(heart_rate)}
    if several:  # the rows are parts of strips, and these are values of strips
        strips, unknown = num_samples or 1, np.full(len(vectors), np.nan)
        rows = Rows(vectors, by_name, unknown, unknown, unknown)
        made = in_sequence(rows, seconds, classes, strips=strips, seed=seed, exact=exact, first=first)
        told: Any = known(classes, **{name: each(values, strips, name) for name, values in checked.items()})
        return replace(made, **told)
    told = {name: each(values, len(vectors), name) for name, values in checked.items()}
    rows = Rows(vectors, by_name, **told)
    return replace(complete_rows(rows, classes, seed=seed, exact=exact, first=first), seconds=seconds)


def in_sequence(
    rows: Rows,
    seconds: tuple[float, ...],
    classes: Classes,
    *,
    strips: int,
    seed: int,
    exact: bool = False,
    first: int = 0,
) -> Request:
    """Return a request for strips in which the rows follow each other, each for so many seconds.

    Age, sex and heart rate are those of the first row. ValueError unless there is one row for each of the seconds.
    """
    if len(rows) != len(seconds):
        raise ValueError(f"there are {len(rows)} labels for {len(seconds)} durations: expected one for each")
    parts = [
        complete_rows(
            rows.part(slice(k, k + 1)).repeated(strips), classes, seed=seed, exact=exact, first=first
        )
        for k in range(len(rows))
    ]
    course = np.stack([part.vectors for part in parts], axis=1)
    named = [name for part in parts for name in part.requested[0].split("+")]
    requested = "+".join(dict.fromkeys(name for name in named if name))
    return replace(
        parts[0], vectors=course.max(axis=1), requested=(requested,) * strips, seconds=seconds, course=course
    )


def complete_rows(rows: Rows, classes: Classes, *, seed: int, exact: bool = False, first: int = 0) -> Request:
    """Turn rows into a request: number them from `first`, and draw statements beside those given by name.

    exact: if True, no statements are drawn. ValueError if an age, a sex or a heart rate is given that the model does
    not take.
    """
    vectors, index = rows.vectors, range(first, first + len(rows))
    requested = tuple("+".join(statements.names_of(row, classes.names)) for row in vectors)
    told: dict[str, Any] = {**known(classes, age=rows.age, sex=rows.sex, heart_rate=rows.heart_rate)}
    if classes.standard and not exact and rows.by_name.any():
        drawn = statements.complete(vectors, seed=seed, index=index)
        vectors = np.where(rows.by_name[:, None], drawn, vectors)
    return Request(vectors, requested, tuple(index) if first else None, **told)


def known(
    classes: Classes, *, age: Any = None, sex: Any = None, heart_rate: Any = None
) -> dict[str, Floats | None]:
    """Return by name ages (n,) in years, sexes (n,) as 0 and 1, and heart rates (n,) in beats per minute.

    Each is None if all of its values are unknown. ValueError if one is wrong, or if it is given and the model does not
    take it.
    """
    found = {"age": ages(age), "sex": sexes(sex), "heart_rate": heart_rates(heart_rate)}
    given = {name: values for name, values in found.items() if not np.isnan(values).all()}
    for name in given:
        if name not in classes.takes:
            raise ValueError(f"{name} is given, but this model does not take it: leave {name} out")
    return {name: given.get(name) for name in found}


def conditions(
    vectors: NDArray[np.floating[Any]],
    records: int,
    classes: Classes,
    *,
    age: Any = None,
    sex: Any = None,
    heart_rate: Any = None,
) -> NDArray[np.float32]:
    """Return the conditions of the network: label vectors (B, K), and the columns that it takes behind them.

    Those of the parts of strips are (B, G, K), one for each part. age, sex, heart_rate: one for all records or one for
    each, or (B, G) for each part. ValueError unless there is one vector of K values per record.
    """
    vectors, shape = np.asarray(vectors, np.float32), (records, len(classes.names))
    if vectors.ndim == 3 and len(vectors) == records:
        told = {"age": age, "sex": sex, "heart_rate": heart_rate}
        parts = vectors.shape[1]
        repeated = {
            name: None if v is None else np.ravel(v) if np.ndim(v) == 2 else np.repeat(v, parts)
            for name, v in told.items()
        }
        flat = conditions(vectors.reshape(-1, shape[1]), records * parts, classes, **repeated)
        return flat.reshape(*vectors.shape[:2], -1)
    if vectors.shape != shape:
        raise ValueError(f"label vectors have shape {vectors.shape}: expected {shape}, one row per record")
    given = known(classes, age=age, sex=sex, heart_rate=heart_rate)
    return np.hstack((vectors, classes.takes.values(records=records, **given)))


def _encode(labels: Any, classes: Classes) -> NDArray[np.float32]:
    names = classes.names
    try:
        return statements.encode(labels, names)
    except ValueError as error:
        if names and not classes.named and "unknown statement" in str(error):
            hint = f"the {len(names)} classes of this model have no names: give class indices or vectors"
            raise ValueError(f"{error} ({hint}, or set trainset_config.label_names)") from None
        raise


def _no_labels(classes: Classes, num_samples: int | None, exact: bool) -> NDArray[np.float32]:
    """Return rows of zeros, which are right without classes; those of the 71 statements are completed later."""
    if num_samples is None:
        raise ValueError("there is nothing to generate: give labels, such as 'AFIB', or num_samples")
    if classes.names and (exact or not classes.standard):
        raise ValueError(
            "labels are missing: they are drawn for the 71 statements of PTB-XL only, not with exact"
        )
    return np.zeros((num_samples, len(classes.names)), np.float32)
