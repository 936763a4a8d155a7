"""Requests as the queue handles them: `Work` is one client's request, `Batch` is what the model runs at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..added_noise import Noise
from ..batch import Given
from ..models.detail import FACTOR
from ..request import Request
from ..sampling import Sampling

EightLeads = NDArray[np.float32]  # records (n, 8, L) in mV, leads I V1..V6 aVF
OnStep = Callable[[int, Any], None]  # (row of the step table, predicted clean records (n, 8, L) in mV)


class Plan(NamedTuple):
    """How records are generated. Equal plans can share a batch.

    sampling: resolved. strength: of a change of recordings, see sssd.editing; None without one. rows: the number of
    steps in the table, if it is not that of the sampling. passes: evaluations of the network in each step. seconds: of
    the parts of strips, see sssd.strips; none where the network makes the whole record at once. windows: the number of
    windows of a strip. alone: a number that no other request has, where the records of a request must not share a batch
    with others.
    """

    sampling: Sampling
    strength: float | None = None
    rows: int | None = None
    passes: int = 1
    seconds: tuple[float, ...] = ()
    windows: int = 1
    alone: int | None = None

    @property
    def steps(self) -> int:
        """The steps of a record."""
        steps = self.sampling.steps if self.rows is None else self.rows
        assert steps is not None
        return steps

    @property
    def step_cost(self) -> int:
        """Evaluations of the network for each record in each step."""
        return self.passes * self.windows

    @property
    def cost(self) -> int:
        """Evaluations of the network for each record."""
        return self.steps * self.step_cost


@dataclass(frozen=True, eq=False)
class Work:
    """The request of one client, its seed and its plan.

    given: what the run takes from a recording (`batch.Given`). facts: about the recording, for the provenance. noise:
    what is added to each record (sssd.added_noise). annotated: whether each gets annotations (sssd.annotations). fine:
    whether records are brought to 500 Hz (sssd.detail). The queue and jobs hold them as the network makes them; the
    rest follows with the answer. called: how the names of files with the records begin (encode.called).
    """

    request: Request
    seed: int
    plan: Plan
    given: Given | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    noise: tuple[Noise, ...] = ()
    annotated: bool = False
    fine: bool = False
    called: str = "ecg"

    @property
    def records(self) -> int:
        return len(self.request)

    @property
    def room(self) -> int:
        """The room that the records take, in records of one window."""
        return self.records * self.plan.windows

    @property
    def answered_room(self) -> int:
        """The room that the records take in an answer."""
        return self.room * (FACTOR if self.fine else 1)

    @property
    def cost(self) -> int:
        """Evaluations of the network for all records."""
        return self.records * self.plan.cost

    def part(self, start: int, stop: int) -> Work:
        """Return records start to stop - 1."""
        rows = slice(start, stop)
        return replace(self, request=self.request.part(rows), given=self.given and self.given.part(rows))


@dataclass(frozen=True, eq=False)
class Batch:
    """Records of several requests that run together: vectors (B, K), or (B, G, K) for strips; seeds and index (B,).

    age in years, sex as 0 or 1, and heart_rate in beats per minute (B,), NaN where unknown. given: of recordings.
    """

    vectors: NDArray[np.float32]
    seeds: tuple[int, ...]
    index: tuple[int, ...]
    age: NDArray[np.float64]
    sex: NDArray[np.float64]
    heart_rate: NDArray[np.float64]
    plan: Plan
    given: Given | None = None

    @classmethod
    def of(cls, parts: list[Work]) -> Batch:
        """Return the records of these requests, which must have the same plan."""
        given, strips = [part.given for part in parts if part.given is not None], parts[0].plan.seconds
        return cls(
            vectors=np.concatenate([r.parts if strips else r.vectors for r in (p.request for p in parts)]),
            seeds=tuple(part.seed for part in parts for _ in range(part.records)),
            index=tuple(number for part in parts for number in part.request.numbers),
            age=np.concatenate([_known(part.request, "age") for part in parts]),
            sex=np.concatenate([_known(part.request, "sex") for part in parts]),
            heart_rate=np.concatenate([_known(part.request, "heart_rate") for part in parts]),
            plan=parts[0].plan,
            given=given[0].beside(given[1:]) if given else None,
        )

    def __len__(self) -> int:
        return len(self.seeds)

    def padded(self) -> Batch:
        """Return the batch with its last row repeated until it has 1, 2, 4, 8, ... rows."""
        rows = [*range(len(self)), *[len(self) - 1] * (2 ** (len(self) - 1).bit_length() - len(self))]
        return replace(
            self,
            vectors=self.vectors[rows],
            seeds=tuple(self.seeds[row] for row in rows),
            index=tuple(self.index[row] for row in rows),
            age=self.age[rows],
            sex=self.sex[rows],
            heart_rate=self.heart_rate[rows],
            given=self.given and self.given.part(rows),
        )


def _known(request: Request, name: str) -> NDArray[np.float64]:
    """Return age, sex or heart rate of each record (n,), NaN where unknown."""
    values = request.known[name]
    return np.full(len(request), np.nan) if values is None else values
