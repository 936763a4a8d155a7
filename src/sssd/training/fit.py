"""A solver of few evaluations fitted to a network: its steps, noise and weights are found by trial, the network stays.

    point ─▶ step table ─▶ records for real ones' label vectors ─▶ rhythm, Frechet distance, amplitude ─▶ cost
      └─────────────────────────────── CMA-ES (Hansen 2016) ────────────────────────────────────────┘

Each generation has noise of its own, so that no solver is fitted to one. The cost is what evaluation calls quality
(sssd.evaluation.quality), turned round: how much farther a set is from real records than other real records are, as a
multiple of the same for DDPM over all steps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoints import write_sampling
from ..config.schema import Fit
from ..data.recordings import Recordings, eight_leads_mv
from ..evaluation import classifier
from ..evaluation.amplitude import median_amplitude_ratio
from ..evaluation.frechet import frechet_distance
from ..evaluation.quality import SMALLEST, rhythm_distance
from ..evaluation.rhythm import rhythm_and_shape
from ..model_wrapper import SSSDECG
from ..models.s4 import Cauchy
from ..samplers import StepTable, ddpm, fitted, key_of
from ..schedule import FloatArray, choose_steps

POPULATION = 16  # solvers of a generation
SPREAD = 0.3  # of the first generation about its start, half of it about a solver that was found before
GAIN = 0.1  # of ln gain, in a unit of a point
PARTS = 4  # of a set, for the processes that measure it
OFF = 0.05  # of the amplitude, for which there is no fine

Solver = tuple[Fit, float]  # and the factor of its records, for all leads


@dataclass(frozen=True)
class Figures:
    """Of one set: rhythm and Frechet distance to the real records, and amplitude as a share of theirs."""

    rhythm: float
    frechet: float
    amplitude: float


@dataclass(frozen=True)
class Generation:
    """What is reported: its number, how many there are to be, its least cost and its median."""

    number: int
    of: int
    least: float
    median: float


def point_of(fit: Fit, gain: float) -> FloatArray:
    """A solver of S steps as a point of 4 S - 4 free numbers: ratios of steps, eta, slope, before, gain."""
    t, eta = np.array(fit.steps, dtype=np.float64), np.clip(fit.eta[:-1], 0.02, 0.98)
    ratio = np.clip(t[1:] / t[:-1], 0.02, 0.999)
    free = (_logit(ratio), _logit(eta), fit.slope[1:], fit.before[2:], [np.log(gain) / GAIN])
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in free])


def fit_of(point: FloatArray, first: int) -> Solver:
    """The solver that a point stands for, with the first step where the fit began."""
    S = (len(point) + 4) // 4
    ratio, eta, slope, before, gain = np.split(point, np.cumsum([S - 1, S - 1, S - 1, S - 2]))
    steps = [first]
    for share in _sigmoid(ratio):
        later = S - 1 - len(steps)  # steps that are still to come below this one
        steps.append(int(np.clip(round(steps[-1] * share), later, steps[-1] - 1)))

    def told(values: FloatArray, zeros: int) -> list[float]:
        return [0.0] * zeros + [round(float(v), 3) for v in values]

    fit = Fit(steps=steps, eta=[*told(_sigmoid(eta), 0), 0.0], slope=told(slope, 1), before=told(before, 2))
    return fit, round(float(np.exp(GAIN * gain[0])), 4)


def search(
    costs: Callable[[Sequence[Solver], int], Sequence[float]],
    begin: Solver,
    *,
    generations: int,
    spread: float = SPREAD,
    seed: int = 0,
    on_generation: Callable[[Generation], None] = lambda _: None,
    over: Callable[[], bool] = lambda: False,
) -> Solver:
    """The solver at the centre of the last generation. costs(solvers, generation) -> one of each, the lower the better.

    ModuleNotFoundError without `cma`.
    """
    try:
        import cma
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "fitting needs cma, which is not installed: pip install 'sssd-ecg[train,eval]'"
        ) from error
    first = begin[0].steps[0]
    strategy = cma.CMAEvolutionStrategy(
        point_of(*begin), spread, {"popsize": POPULATION, "seed": seed + 1, "verbose": -9}
    )
    for number in range(generations):
        if over():
            break
        points = strategy.ask()
        found = list(costs([fit_of(point, first) for point in points], number))
        strategy.tell(points, found)
        on_generation(Generation(number + 1, generations, min(found), float(np.median(found))))
    return fit_of(strategy.mean, first)


def beginning(model: SSSDECG, steps: int) -> tuple[Solver, float]:
    """Where a search begins, and its spread: the solver of so many steps that the model has, or trailing steps with
    half of DDPM's noise, and less of it later."""
    if not 3 <= steps < model.schedule.T:
        raise ValueError(f"steps is {steps}: a solver can be fitted for 3 to {model.schedule.T - 1} of them")
    sampling = model.config.ddim_config
    for known in sampling.fits:
        if len(known.steps) == steps:
            gains = sampling.gains.get(key_of("fitted", steps), [1.0])
            return (known, float(np.mean(gains))), SPREAD / 2
    fit = Fit(
        steps=choose_steps(model.schedule, steps, "trailing").tolist(),
        eta=[*np.linspace(0.5, 0.1, steps - 1).round(3), 0.0],
        slope=[0.0] + [0.3] * (steps - 1),
        before=[0.0] * steps,
    )
    return (fit, 1.0), SPREAD


class Trials:
    """Solvers tried with a model, on the label vectors of real records; a context that ends its processes.

    records: how many of the real ones are drawn; as many others tell what chance gives. Needs the `eval` extra.
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
            raise ValueError(f"there are {len(real)} recordings: expected 20 or more")
        self.model, self.seed, self.fs_hz = model, seed, real.fs_hz
        cuda = model.device.type == "cuda"
        order = np.random.default_rng(seed).permutation(len(real))
        n = min(records, len(real) // 2)
        drawn, others = np.sort(order[:n]), np.sort(order[n : 2 * n])
        x = eight_leads_mv(real)
        self.vectors, self.real = real.labels[drawn].astype(np.float32), x[drawn]
        self.judge = classifier.train(
            x, real.labels, seed=seed, epochs=30, width=32 if cuda else 16, device=model.device
        )
        self.features = classifier.features(self.judge, self.real)
        self.pool: Executor = ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn"))
        self.shape = self._measured(self.real)()
        self.chance = self._figures(x[others], self._measured(x[others]))
        self.ddpm = self.figures([(ddpm(model.schedule), 1.0)], 0)[0]

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: Any) -> None:
        self.pool.shutdown(cancel_futures=True)

    def costs(self, solvers: Sequence[Solver], generation: int) -> list[float]:
        """Of one generation, all with the same noise; 1.4 is what DDPM's records cost."""
        tables = [(fitted(self.model.schedule, **fit.model_dump()), gain) for fit, gain in solvers]
        return [self.cost(figures) for figures in self.figures(tables, generation + 1)]

    def cost(self, of: Figures) -> float:
        excess = []
        for name in ("rhythm", "frechet"):
            mine, ddpms, chance = (getattr(f, name) for f in (of, self.ddpm, self.chance))
            excess.append((mine - chance) / max(ddpms - chance, SMALLEST * chance))
        return max(excess) + 0.2 * sum(excess) + 2.0 * max(0.0, abs(of.amplitude - 1.0) - OFF)

    def figures(self, tables: Sequence[tuple[StepTable, float]], number: int) -> list[Figures]:
        """Of sets made with noise `number`; measured while the next is made."""
        made = []
        for table, gain in tables:
            x = np.float32(gain) * self._made(table, number)
            made.append((x, self._measured(x)))
        return [self._figures(x, measured) for x, measured in made]

    def _made(self, table: StepTable, number: int) -> NDArray[np.float32]:
        n, size = len(self.vectors), 1024 if self.model.device.type == "cuda" else 8
        seed = self.seed + 1_000_003 * number
        parts = [
            self.model.generate_batch(
                self.vectors[i : i + size], [seed] * min(size, n - i), range(i, min(i + size, n)), table
            )
            for i in range(0, n, size)
        ]
        return np.concatenate([part.numpy() for part in parts])

    def _measured(self, x: NDArray[np.float32]) -> Callable[[], dict[str, NDArray[Any]]]:
        jobs: list[Future[dict[str, NDArray[Any]]]] = [
            self.pool.submit(rhythm_and_shape, part, self.fs_hz) for part in np.array_split(x, PARTS)
        ]

        def gathered() -> dict[str, NDArray[Any]]:
            parts = [job.result() for job in jobs]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

        return gathered

    def _figures(self, x: NDArray[np.float32], measured: Callable[[], dict[str, NDArray[Any]]]) -> Figures:
        return Figures(
            rhythm=rhythm_distance(measured(), self.shape),
            frechet=frechet_distance(classifier.features(self.judge, x), self.features),
            amplitude=float(np.mean(median_amplitude_ratio(x, self.real))),
        )


def write_fit(source: Path, out: Path, solver: Solver, cauchy: Cauchy | None = None) -> Path:
    """The checkpoint `source` with a solver in its configuration, in place of one of as many steps, as .safetensors."""
    fit, gain = solver

    def change(sampling: dict[str, Any]) -> None:
        others = [one for one in sampling["fits"] if len(one["steps"]) != len(fit.steps)]
        sampling["fits"] = sorted([*others, fit.model_dump()], key=lambda one: len(one["steps"]))
        sampling["gains"][key_of("fitted", len(fit.steps))] = [gain] * 8

    return write_sampling(source, out, change, cauchy)


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-x)), dtype=np.float64)


def _logit(q: FloatArray) -> FloatArray:
    return np.asarray(np.log(q / (1.0 - q)), dtype=np.float64)
