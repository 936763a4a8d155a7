"""The plan of a corpus: the label vector, the patient and the heart rate of record i, as a function of i.

A plan holds the D different label vectors and a rule that chooses one for record i: either runs of records
("AFIB=2000,LVH=500", or the rows of a CSV file), or a draw in proportion to how often each vector occurs in PTB-XL.
Requests by name are completed, as in `generate`, with statements that occur beside them; this depends on (seed, i).
"""

from __future__ import annotations

import hashlib
import io
import re
from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import CODES, complete, encode, names_of
from ..mix import label_mix
from ..patient import SEXES, ages, heart_rates, sexes
from ..tables.requests import read_label_table
from .arrays import Shape, load_arrays
from .block import PLANNED, Planned

STORED: dict[str, tuple[str, Shape]] = {  # the arrays of requests.npz
    "label_names": ("U", (None,)),
    "records": ("<i8", ()),
    "vectors": ("u1", (None, None)),
    "requested": ("U", (None,)),
    "ends": ("<i8", (None,)),
    "which": ("<i4", (None,)),
    "by_name": ("?", ()),
    "drawn": ("?", ()),
    "step": ("<i8", ()),  # of the noise generator whose bits draw the vectors, where they are drawn
    "age": ("<f4", (None,)),
    "sex": ("U", (None,)),
    "heart_rate": ("<f4", (None,)),
    "source": ("U", (None,)),
    "source_sha256": ("U", (None,)),
}
SHA256 = "[0-9a-f]{64}"


@dataclass(frozen=True, eq=False)
class Plan:
    """Which labels the records have, which patients and heart rates.

    records    their number
    vectors    (D, K) uint8, the different label vectors that are asked for
    requested  (D,) the statements of these vectors, such as "AFIB+LVH"; "" where vectors are drawn
    ends       (R,) int64, for each run the number of the record after its last one; where vectors are drawn, R is D
               and these are cumulative counts
    which      (R,) int32, the row of `vectors` for each run
    by_name    whether statements were asked for by name, so that the vectors are completed
    drawn      whether vectors are drawn
    age        (R,) float32 in years, NaN where unknown; None where no record has an age
    sex        (R,) "male", "female" or "" where unknown; None where no record has one
    heart_rate (R,) float32 in beats per minute, NaN where unknown; None where no record has one
    source     (R,) the names of the recordings that records are made of; None where they are made of labels alone
    source_sha256 (R,) of these recordings
    """

    label_names: tuple[str, ...]
    records: int
    vectors: NDArray[np.uint8]
    requested: tuple[str, ...]
    ends: NDArray[np.int64]
    which: NDArray[np.int32]
    by_name: bool = False
    drawn: bool = False
    age: NDArray[np.float32] | None = None
    sex: NDArray[np.str_] | None = None
    heart_rate: NDArray[np.float32] | None = None
    source: NDArray[np.str_] | None = None
    source_sha256: NDArray[np.str_] | None = None

    @property
    def extra(self) -> tuple[Planned, ...]:
        """Which of the columns that not every corpus has some record has."""
        return tuple(name for name in PLANNED if getattr(self, name) is not None)

    def rows(self, index: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
        """Return the columns of records `index` (n,): labels (n, K) uint8, requested (n,), and `extra`.

        A number beyond the last record gets the columns of the last record; such numbers fill up a batch.
        """
        run = self._run(np.minimum(index, self.records - 1), seed)
        which = self.which[run]
        labels = self.vectors[which]
        if self.by_name:
            labels = complete(labels, seed=seed, index=index.tolist()).astype(np.uint8)
        columns: dict[str, NDArray[Any]] = {
            "labels": labels,
            "requested": np.array([self.requested[k] for k in which.tolist()], dtype=np.str_),
        }
        return columns | {name: getattr(self, name)[run] for name in self.extra}

    def _run(self, index: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        if not self.drawn:
            return np.searchsorted(self.ends, index, side="right").astype(np.int64)
        import torch

        from ..noise import Reserved, integers, origin

        state = origin(seed, torch.from_numpy(index))
        number = integers(state, Reserved.LABELS, int(self.ends[-1])).numpy()
        return np.searchsorted(self.ends, number, side="right").astype(np.int64)

    def to_bytes(self) -> bytes:
        """Return the plan as an NPZ archive, which is the contents of requests.npz.

        The same plan gives the same bytes with the same versions of NumPy and zlib.
        """
        from ..noise import Reserved

        optional: dict[str, Any] = {name: getattr(self, name) for name in self.extra}
        if self.drawn:
            optional["step"] = np.int64(Reserved.LABELS)
        if self.source_sha256 is not None:
            optional["source_sha256"] = self.source_sha256
        file = io.BytesIO()
        np.savez_compressed(
            file,
            **optional,
            label_names=np.array(self.label_names, np.str_),
            records=np.int64(self.records),
            vectors=self.vectors,
            requested=np.array(self.requested, np.str_),
            ends=self.ends,
            which=self.which,
            by_name=np.bool_(self.by_name),
            drawn=np.bool_(self.drawn),
        )
        return file.getvalue()

    @property
    def sha256(self) -> str:
        """SHA-256 of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def from_bytes(content: bytes, label_names: tuple[str, ...], records: int) -> Plan:
    """Return the plan of `Plan.to_bytes`.

    ValueError unless it has these labels and this number of records, or if its labels are drawn as in earlier versions,
    which drew them with the bits of another step.
    """
    from ..noise import Reserved

    arrays = load_arrays(io.BytesIO(content), STORED, optional=(*PLANNED, "source_sha256", "step"))
    if bool(arrays["drawn"]) and arrays.get("step") != Reserved.LABELS:
        raise ValueError(
            "the corpus was begun with an earlier version, which draws other labels for its records: complete it with "
            "that version, or create it anew"
        )
    plan = Plan(
        label_names=tuple(arrays["label_names"].tolist()),
        records=int(arrays["records"]),
        vectors=arrays["vectors"],
        requested=tuple(arrays["requested"].tolist()),
        ends=arrays["ends"],
        which=arrays["which"],
        by_name=bool(arrays["by_name"]),
        drawn=bool(arrays["drawn"]),
        age=arrays.get("age"),
        sex=arrays.get("sex"),
        heart_rate=arrays.get("heart_rate"),
        source=arrays.get("source"),
        source_sha256=arrays.get("source_sha256"),
    )
    different, runs = len(plan.vectors), len(plan.which)
    last = 0 if not len(plan.ends) else int(plan.ends[-1])
    for right, what in (
        ((plan.label_names, plan.records) == (label_names, records), "its labels and its number of records"),
        (plan.vectors.shape[1] == len(label_names) and plan.vectors.max(initial=0) <= 1, "the vectors"),
        (len(plan.requested) == different, "the requests"),
        (0 < runs == len(plan.ends) and bool((np.diff(plan.ends, prepend=0) >= 0).all()), "the runs"),
        (0 < last < 2**32 if plan.drawn else last == records, "the number of records in the runs"),
        (bool(((plan.which >= 0) & (plan.which < different)).all()), "the requests of the runs"),
        (not plan.by_name or label_names == CODES, "completion by statements"),
        (all(len(getattr(plan, name)) == runs for name in plan.extra), " or ".join(PLANNED)),
        (_sources_fit(plan), "the recordings"),
    ):
        if not right:
            raise ValueError(f"requests.npz does not fit the corpus: {what} cannot be right")
    ages(plan.age)
    heart_rates(plan.heart_rate)
    if plan.sex is not None:
        sexes([sex or None for sex in plan.sex.tolist()])
    return plan


def _sources_fit(plan: Plan) -> bool:
    if plan.source is None or plan.source_sha256 is None:
        return plan.source is plan.source_sha256
    names, hashes = plan.source.tolist(), plan.source_sha256.tolist()
    return (
        len(hashes) == len(names) == len(set(names))
        and all(name and name.isprintable() for name in names)
        and all(re.fullmatch(SHA256, one) for one in hashes)
    )


def by_counts(counts: str, label_names: tuple[str, ...] = CODES, *, exact: bool = False) -> Plan:
    """Return the plan of "AFIB=2000,CLBBB+LVH=500": that many records of each, in this order.

    exact: draw no statements that occur beside these. ValueError if an entry is wrong.
    """
    requested, numbers = [], []
    for entry in counts.split(","):
        name, _, number = entry.rpartition("=")
        if not name.strip() or not number.strip().isdecimal() or int(number) < 1:
            raise ValueError(
                f"counts hold {entry.strip()!r}; expected STATEMENT=NUMBER, as in AFIB=2000,CLBBB+LVH=500"
            )
        requested.append(name.strip())
        numbers.append(int(number))
    vectors = encode(requested, label_names).astype(np.uint8)
    ends = np.cumsum(numbers, dtype=np.int64)
    return Plan(
        label_names,
        int(ends[-1]),
        vectors,
        tuple(_joined(row, label_names) for row in vectors),
        ends,
        np.arange(len(ends), dtype=np.int32),
        by_name=not exact and label_names == CODES,
    )


def like_ptbxl(records: int, label_names: tuple[str, ...] = CODES) -> Plan:
    """Return a plan that draws label vectors as in folds 1 to 8 of PTB-XL, which have 3,436 different ones."""
    if label_names != CODES:
        raise ValueError("the mix of PTB-XL consists of its 71 statements, and this model has other labels")
    if records < 1:
        raise ValueError(f"{records} records are asked for; expected at least 1")
    vectors, counts = label_mix()
    ends = np.cumsum(counts, dtype=np.int64)
    which = np.arange(len(ends), dtype=np.int32)
    return Plan(label_names, records, vectors, ("",) * len(ends), ends, which, drawn=True)


def from_csv(
    file: Path, label_names: tuple[str, ...] = CODES, *, per_row: int = 1, exact: bool = False
) -> Plan:
    """Return the plan of a CSV file (see sssd.tables.requests) with `per_row` records for each row.

    It takes 12 bytes of memory for each row, and 28 with age and sex, 32 with the heart rate as well.
    FileNotFoundError or ValueError, with the row, where the file is missing or wrong.
    """
    table = read_label_table(file, label_names)
    known: dict[bytes, int] = {}  # label vector -> its place among the different ones
    which, years, numbers, rates = array("i"), array("f"), array("f"), array("f")
    for vector, age, sex, rate in table.rows:
        which.append(known.setdefault(vector.tobytes(), len(known)))
        years.append(age)
        numbers.append(sex)
        rates.append(rate)
    vectors = np.stack([np.frombuffer(key, np.uint8) for key in known])
    return Plan(
        label_names,
        per_row * len(which),
        vectors,
        tuple(_joined(row, label_names) for row in vectors),
        np.arange(1, len(which) + 1, dtype=np.int64) * per_row,
        np.asarray(which, np.int32),
        by_name=table.by_name and not exact and label_names == CODES,
        age=np.asarray(years, np.float32) if "age" in table.has else None,
        sex=_names(np.asarray(numbers)) if "sex" in table.has else None,
        heart_rate=np.asarray(rates, np.float32) if "heart_rate" in table.has else None,
    )


def with_patients(plan: Plan, age: float | None, sex: str | None, heart_rate: float | None = None) -> Plan:
    """Return the plan with this age, sex and heart rate for all records that have none.

    ValueError if one of them is wrong.
    """
    runs = len(plan.which)
    if age is not None:
        plan = replace(plan, age=_filled(plan.age, ages(age), runs))
    if heart_rate is not None:
        plan = replace(plan, heart_rate=_filled(plan.heart_rate, heart_rates(heart_rate), runs))
    if sex is not None:
        named = np.full(runs, "") if plan.sex is None else plan.sex
        plan = replace(plan, sex=np.where(named == "", _names(sexes(sex)), named))
    return plan


def _filled(given: NDArray[np.float32] | None, value: NDArray[np.float64], runs: int) -> NDArray[np.float32]:
    """Return numbers (R,) with the value (1,) where they are unknown."""
    known = np.full(runs, np.nan, np.float32) if given is None else given
    return np.where(np.isnan(known), value, known).astype(np.float32)


def _names(numbers: NDArray[np.floating[Any]]) -> NDArray[np.str_]:
    """Return the names of sexes that are given by number, "" where unknown."""
    return np.array((*SEXES, ""))[np.where(np.isnan(numbers), len(SEXES), numbers).astype(int)]


def _joined(vector: NDArray[np.uint8], label_names: tuple[str, ...]) -> str:
    return "+".join(names_of(vector, label_names))
