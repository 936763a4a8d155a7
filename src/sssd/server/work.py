"""Requests as arrays: `Work` is what one request asks of the model, `Batch` is what the model runs at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

EightLeads = NDArray[np.float32]  # records (n, 8, L) in mV, leads I V1..V6 aVF
OnStep = Callable[[int, Any], None]  # (row of the step table, predicted clean records (n, 8, L) in mV)


class Sampling(NamedTuple):
    """How records are sampled. Records with equal samplings can share a batch."""

    sampler: str
    steps: int
    eta: float
    weights: str = "default"  # the name of one of the generator's sets of weights


@dataclass(frozen=True, eq=False)
class Work:
    """The n records of one request.

    vectors: complete label vectors (n, K). requested: the statements that were asked for. seed, and first: the number
    of the first record under that seed. age in years and sex, the same for all records; None where unknown.
    """

    vectors: NDArray[np.float32]
    requested: str
    seed: int
    first: int
    sampling: Sampling
    age: float | None = None
    sex: str | None = None

    @property
    def records(self) -> int:
        return len(self.vectors)

    @property
    def cost(self) -> int:
        """Records times steps."""
        return self.records * self.sampling.steps

    def part(self, start: int, stop: int) -> Work:
        """Records start to stop - 1."""
        return replace(self, vectors=self.vectors[start:stop], first=self.first + start)


@dataclass(frozen=True, eq=False)
class Batch:
    """Records of several requests that run together: vectors (B, K); seeds, index, age and sex (B,)."""

    vectors: NDArray[np.float32]
    seeds: tuple[int, ...]
    index: tuple[int, ...]
    age: tuple[float | None, ...]
    sex: tuple[str | None, ...]
    sampling: Sampling

    @classmethod
    def of(cls, parts: list[Work]) -> Batch:
        """The records of these requests, which must have the same sampling."""
        return cls(
            vectors=np.concatenate([part.vectors for part in parts]),
            seeds=tuple(part.seed for part in parts for _ in range(part.records)),
            index=tuple(part.first + i for part in parts for i in range(part.records)),
            age=tuple(part.age for part in parts for _ in range(part.records)),
            sex=tuple(part.sex for part in parts for _ in range(part.records)),
            sampling=parts[0].sampling,
        )

    def padded(self) -> Batch:
        """The batch with its last row repeated until it has 1, 2, 4, 8, ... rows."""
        missing = 2 ** (len(self.seeds) - 1).bit_length() - len(self.seeds)
        last = slice(-1, None)
        return replace(
            self,
            vectors=np.concatenate([self.vectors, np.repeat(self.vectors[last], missing, axis=0)]),
            seeds=self.seeds + self.seeds[last] * missing,
            index=self.index + self.index[last] * missing,
            age=self.age + self.age[last] * missing,
            sex=self.sex + self.sex[last] * missing,
        )
