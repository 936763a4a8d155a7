"""A solver of few evaluations is fitted to a network: steps, noise and weights are found by trial, the network stays.

point ─▶ solver ─▶ records for real label vectors ─▶ rhythm, spectra, Frechet distance, amplitude ─▶ cost (trials.py)
  └────────────────────────────── CMA-ES (Hansen 2016) ──────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import write_sampling
from ..checks import needed_for
from ..config.schema import Fit
from ..model_wrapper import SSSDECG
from ..models.s4 import Cauchy
from ..samplers import key_of
from ..schedule import FloatArray, steps_at

POPULATION = 16  # solvers that are tried in a generation
SPREAD = 0.3  # of the first generation around its start; half of it where the start was fitted before
DECIDED = 5.0, 0.2  # sigma / alpha, between which fitted solvers have most of their steps
GAIN_UNIT = 0.1  # of ln gain, for a unit of a point

Solver = tuple[Fit, float]  # a fit, and the factor of its records for all leads


class OutOfTime(Exception):
    """The time is up while the solvers of a generation are tried."""


@dataclass(frozen=True)
class Generation:
    """What is reported: the number of a generation, how many there will be, its least cost and its median cost."""

    number: int
    of: int
    least: float
    median: float


def point_of(fit: Fit, gain: float) -> FloatArray:
    """Return a solver of S steps as a point of 4 S - 4 free numbers: ratios of steps, eta, slope, before, gain."""
    t, eta = np.array(fit.steps, dtype=np.float64), np.clip(fit.eta[:-1], 0.02, 0.98)
    ratio = np.clip(t[1:] / t[:-1], 0.02, 0.999)
    free = (_logit(ratio), _logit(eta), fit.slope[1:], fit.before[2:], [np.log(gain) / GAIN_UNIT])
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in free])


def solver_of(point: FloatArray, first: int) -> Solver:
    """Return the solver that a point stands for; `first` is its first step, which is not searched for."""
    S = (len(point) + 4) // 4
    ratio, eta, slope, before, gain = np.split(point, np.cumsum([S - 1, S - 1, S - 1, S - 2]))
    steps = [first]
    for share in _sigmoid(ratio):
        still_to_come = S - 1 - len(steps)
        steps.append(int(np.clip(round(steps[-1] * share), still_to_come, steps[-1] - 1)))

    def rounded(values: FloatArray, zeros: int) -> list[float]:
        return [0.0] * zeros + [round(float(v), 3) for v in values]

    fit = Fit(
        steps=steps, eta=[*rounded(_sigmoid(eta), 0), 0.0], slope=rounded(slope, 1), before=rounded(before, 2)
    )
    return fit, round(float(np.exp(GAIN_UNIT * gain[0])), 4)


def search(
    costs: Callable[[Sequence[Solver], int], Sequence[float]],
    begin: Solver,
    *,
    generations: int,
    spread: float = SPREAD,
    seed: int = 0,
    on_generation: Callable[[Generation], None] = lambda _: None,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Solver:
    """Return the solver at the centre of the last generation.

    costs(solvers, generation) gives one cost for each solver; lower is better. If it raises OutOfTime, or out_of_time,
    which is asked before each generation, says so, the search ends. NumPy's global generator is left as it was.
    ModuleNotFoundError without `cma`.
    """
    with needed_for("fitting needs", "train,eval"):
        import cma
    first = begin[0].steps[0]
    before = np.random.get_state()
    try:
        strategy = cma.CMAEvolutionStrategy(
            point_of(*begin), spread, {"popsize": POPULATION, "seed": seed + 1, "verbose": -9}
        )
        for number in range(generations):
            if out_of_time():
                break
            points = strategy.ask()
            try:
                found = list(costs([solver_of(point, first) for point in points], number))
            except OutOfTime:
                break
            strategy.tell(points, found)
            on_generation(Generation(number + 1, generations, min(found), float(np.median(found))))
        return solver_of(strategy.mean, first)
    finally:
        np.random.set_state(before)


def starting_solver(model: SSSDECG, steps: int) -> tuple[Solver, float]:
    """Return where a search begins, and its spread.

    It begins at the solver of so many steps that the model has, or else at one step of pure noise, the others at equal
    ratios of sigma / alpha over `DECIDED`, with less and less noise. ValueError where no solver of so many steps can be
    fitted.
    """
    if not 3 <= steps < model.schedule.T:
        raise ValueError(f"steps is {steps}: a solver can be fitted for 3 to {model.schedule.T - 1} of them")
    sampling = model.config.ddim_config
    for known in sampling.fits:
        if len(known.steps) == steps:
            gains = sampling.gains.get(key_of("fitted", steps), [1.0])
            return (known, float(np.mean(gains))), SPREAD / 2
    high, low = DECIDED
    high = min(high, float(np.exp(-model.schedule.lam[-2])))
    fit = Fit(
        steps=steps_at(model.schedule, [np.inf, *np.geomspace(high, low, steps - 1)]).tolist(),
        eta=[*np.linspace(0.4, 0.1, steps - 1).round(3), 0.0],
        slope=[0.0] + [0.5] * (steps - 1),
        before=[0.0] * steps,
    )
    return (fit, 1.0), SPREAD


def write_fit(source: Path, out: Path, solver: Solver, cauchy: Cauchy | None = None) -> Path:
    """Write the checkpoint `source` with the solver in its configuration, as .safetensors.

    It replaces a solver of as many steps.
    """
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
