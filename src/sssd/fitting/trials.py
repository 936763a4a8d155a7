"""What a solver costs: how far the records that it makes are from real ones, by what evaluation calls quality.

The cost is turned round from sssd.evaluation.quality: how much farther a set is from real records than other real
records are, as a multiple of the same for DDPM over all steps. Each generation of solvers gets other noise, so that no
solver is fitted to one noise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import counted
from ..data.recordings import Recordings, eight_leads_mv
from ..evaluation import classifier
from ..evaluation.amplitude import median_amplitude_ratio
from ..evaluation.frechet import frechet_distance
from ..evaluation.quality import SMALLEST, rhythm_distance
from ..evaluation.rhythm import rhythm_and_shape
from ..evaluation.spectrum import band_levels, level_distance
from ..model_wrapper import SSSDECG
from ..samplers import StepTable, ddpm, fitted
from .solver import OutOfTime, Solver

PLAIN = ("ddim", "unipc", "sde-dpmpp-2m")  # samplers that a fitted one has to beat
PARTS = 16  # of a set, one for each process that measures it
TOLERANCE = 0.05  # of the amplitude, within which it costs nothing
AT_ONCE_GPU, AT_ONCE_CPU = 1024, 8  # records in a batch


@dataclass(frozen=True)
class Figures:
    """A set's distances to the real records, and its amplitude as a share of theirs.

    The distances are those of rhythm and shape, of features of a classifier (Frechet), and of spectra.
    """

    rhythm: float
    frechet: float
    spectrum: float
    amplitude: float


DISTANCES = ("rhythm", "frechet", "spectrum")
DDPM_COST = 1.0 + 0.2 * len(DISTANCES)


class Trials:
    """Tries solvers with a model, on the label vectors of real records; a context that ends its processes.

    records: how many of the real ones are drawn; as many others tell what distance chance gives. Needs the `eval`
    extra. ValueError if there are fewer than 20 recordings.
    """

    def __init__(
        self,
        model: SSSDECG,
        real: Recordings,
        *,
        records: int = 870,
        seed: int = 0,
        workers: int | None = None,
    ) -> None:
        if len(real) < 20:
            raise ValueError(f"got {counted(len(real), 'recording')}; expected 20 or more")
        self.model, self.seed, self.fs_hz = model, seed, real.fs_hz
        cuda = model.device.type == "cuda"
        order = np.random.default_rng(seed).permutation(len(real))
        n = min(records, len(real) // 2)
        drawn, others = np.sort(order[:n]), np.sort(order[n : 2 * n])
        x = eight_leads_mv(real)
        self.vectors, self.real = real.labels[drawn].astype(np.float32), x[drawn]
        self.classifier = classifier.train(
            x, real.labels, seed=seed, epochs=30, width=32 if cuda else 16, device=model.device
        )
        self.features = classifier.features(self.classifier, self.real)
        self.pool: Executor = ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn"))
        self.real_measures = self._measured(self.real)()
        self.chance = self._figures(x[others], self._measured(x[others]))
        self.ddpm = self.figures([(ddpm(model.schedule), 1.0)], 0)[0]

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: Any) -> None:
        self.pool.shutdown(cancel_futures=True)

    def costs(
        self, solvers: Sequence[Solver], generation: int, out_of_time: Callable[[], bool] = lambda: False
    ) -> list[float]:
        """Return the costs of the solvers of one generation, all with the same noise; DDPM costs `DDPM_COST`.

        OutOfTime if `out_of_time`, which is asked before each solver, says so.
        """
        tables = [(fitted(self.model.schedule, **fit.model_dump()), gain) for fit, gain in solvers]
        return [self.cost(figures) for figures in self.figures(tables, generation + 1, out_of_time)]

    def plain_costs(self, steps: int, generation: int) -> dict[str, float]:
        """Return the costs of samplers that need no fit, in as many steps, with the noise of this generation."""
        tables = {name: self.model.step_table(sampler=name, steps=steps) for name in PLAIN}
        figures = self.figures([(table, 1.0) for table in tables.values()], generation + 1)
        return dict(zip(tables, map(self.cost, figures), strict=True))

    def cost(self, of: Figures) -> float:
        """Return the cost of a set with these figures."""
        excess = []
        for name in DISTANCES:
            mine, ddpms, chance = (getattr(f, name) for f in (of, self.ddpm, self.chance))
            excess.append((mine - chance) / max(ddpms - chance, SMALLEST * chance))
        return max(excess) + 0.2 * sum(excess) + 2.0 * max(0.0, abs(of.amplitude - 1.0) - TOLERANCE)

    def figures(
        self,
        tables: Sequence[tuple[StepTable, float]],
        noise: int,
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> list[Figures]:
        """Return the figures of one set for each table and gain, all with the same noise.

        One set is measured while the next is made. OutOfTime as in `costs`.
        """
        made = []
        for table, gain in tables:
            if out_of_time():
                raise OutOfTime
            x = np.float32(gain) * self._generated(table, noise)
            made.append((x, self._measured(x)))
        return [self._figures(x, measured) for x, measured in made]

    def _generated(self, table: StepTable, noise: int) -> NDArray[np.float32]:
        n = len(self.vectors)
        size = AT_ONCE_GPU if self.model.device.type == "cuda" else AT_ONCE_CPU
        seed = self.seed + 1_000_003 * noise
        parts = [
            self.model.generate_batch(
                self.vectors[i : i + size], [seed] * min(size, n - i), range(i, min(i + size, n)), table
            )
            for i in range(0, n, size)
        ]
        return np.concatenate([part.numpy() for part in parts])

    def _measured(self, x: NDArray[np.float32]) -> Callable[[], dict[str, NDArray[Any]]]:
        """Start to measure records (n, 8, L) in the processes; call the result to wait for them."""
        jobs: list[Future[dict[str, NDArray[Any]]]] = [
            self.pool.submit(_measures, part, self.fs_hz) for part in np.array_split(x, PARTS)
        ]

        def gathered() -> dict[str, NDArray[Any]]:
            parts = [job.result() for job in jobs]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

        return gathered

    def _figures(self, x: NDArray[np.float32], measured: Callable[[], dict[str, NDArray[Any]]]) -> Figures:
        measures = measured()
        return Figures(
            rhythm=rhythm_distance(measures, self.real_measures),
            frechet=frechet_distance(classifier.features(self.classifier, x), self.features),
            spectrum=level_distance(measures["levels"], self.real_measures["levels"]),
            amplitude=float(np.mean(median_amplitude_ratio(x, self.real))),
        )


def _measures(x: NDArray[np.float32], fs_hz: float) -> dict[str, NDArray[Any]]:
    """Return rhythm and shape of records (n, 8, L), each (n,), and their levels in bands (n, 8, B)."""
    return {**rhythm_and_shape(x, fs_hz), "levels": band_levels(x, fs_hz=fs_hz)}
