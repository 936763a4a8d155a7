"""Requests as the queue handles them: `Work` is one client's request, `Batch` is what the model runs at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..request import Request
from ..sampling import Sampling

EightLeads = NDArray[np.float32]  # records (n, 8, L) in mV, leads I V1..V6 aVF
OnStep = Callable[[int, Any], None]  # (row of the step table, predicted clean records (n, 8, L) in mV)
OWN = "default"  # the weights of the model itself


class Plan(NamedTuple):
    """How records are generated: a resolved sampling, and the name of the weights. Equal plans can share a batch."""

    sampling: Sampling
    weights: str = OWN

    @property
    def steps(self) -> int:
        assert self.sampling.steps is not None
        return self.sampling.steps


@dataclass(frozen=True, eq=False)
class Work:
    """The request of one client, its seed and its plan."""

    request: Request
    seed: int
    plan: Plan

    @property
    def records(self) -> int:
        return len(self.request)

    @property
    def cost(self) -> int:
        """Records times steps."""
        return self.records * self.plan.steps

    def part(self, start: int, stop: int) -> Work:
        """Return records start to stop - 1."""
        return replace(self, request=self.request.part(slice(start, stop)))


@dataclass(frozen=True, eq=False)
class Batch:
    """Records of several requests that run together: vectors (B, K); seeds and index (B,).

    age in years, sex as 0 or 1, and heart_rate in beats per minute (B,), NaN where unknown.
    """

    vectors: NDArray[np.float32]
    seeds: tuple[int, ...]
    index: tuple[int, ...]
    age: NDArray[np.float64]
    sex: NDArray[np.float64]
    heart_rate: NDArray[np.float64]
    plan: Plan

    @classmethod
    def of(cls, parts: list[Work]) -> Batch:
        """Return the records of these requests, which must have the same plan."""
        return cls(
            vectors=np.concatenate([part.request.vectors for part in parts]),
            seeds=tuple(part.seed for part in parts for _ in range(part.records)),
            index=tuple(number for part in parts for number in part.request.numbers),
            age=np.concatenate([_known(part.request, "age") for part in parts]),
            sex=np.concatenate([_known(part.request, "sex") for part in parts]),
            heart_rate=np.concatenate([_known(part.request, "heart_rate") for part in parts]),
            plan=parts[0].plan,
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
        )


def _known(request: Request, name: str) -> NDArray[np.float64]:
    """Return age, sex or heart rate of each record (n,), NaN where unknown."""
    values = request.known[name]
    return np.full(len(request), np.nan) if values is None else values
