"""Any scheduler of `diffusers` on this schedule and network: the library's own steps in place of a table.

Its coefficients are float32 and its steps its own; where it asks between two time steps, the network, which was
trained at whole ones, is asked at the nearest. Noise is drawn for each record by itself.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..schedule import FloatArray, Schedule
from .loop import Network


@dataclass(frozen=True, eq=False)
class Scheduler:
    """A `diffusers` scheduler, set to a schedule and a number of steps.

    name: "diffusers." and its class. make: a fresh one, ready for one batch. steps: (S,) whole time steps at which
    the network is asked, in that order; more than the steps asked for where the method takes two evaluations each.
    config: its options as plain values.
    """

    name: str
    make: Callable[[], Any]
    steps: tuple[int, ...]
    config: dict[str, Any]

    @property
    def S(self) -> int:
        """Number of network evaluations."""
        return len(self.steps)

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as `StepTable.settings`."""
        return {"scheduler": self.config}

    @property
    def gain(self) -> FloatArray:
        """One: models are calibrated for this package's samplers only."""
        return np.ones(1)


def is_scheduler(given: object) -> bool:
    """Whether this looks like a scheduler of diffusers, without importing it."""
    return all(hasattr(given, name) for name in ("set_timesteps", "step", "config"))


def adapt(scheduler: Any, schedule: Schedule, S: int, prediction: Literal["eps", "v"]) -> Scheduler:
    """The scheduler's class and options on this schedule, for a network that predicts eps or v, in S steps.

    Its own betas, T, prediction type and clipping (of images to -1 .. 1) are replaced. ValueError where it
    cannot take them, or cannot draw each record's noise by itself.
    """
    kind = type(scheduler)
    name = f"diffusers.{kind.__name__}"
    known = inspect.signature(kind.__init__).parameters
    if "trained_betas" not in known or "prediction_type" not in known:
        raise ValueError(
            f"{name} cannot take this model's schedule (it has no trained_betas or prediction_type): "
            "use one for discrete variance-preserving schedules, such as DPMSolverMultistepScheduler"
        )
    if hasattr(scheduler, "noise_sampler"):
        raise ValueError(f"{name} draws its noise for a whole batch: use a scheduler that takes a generator")
    given = {k: v for k, v in scheduler.config.items() if k != "trained_betas" and not k.startswith("_")}
    options = {
        **given,
        "num_train_timesteps": schedule.T,
        "trained_betas": schedule.beta.tolist(),
        "prediction_type": {"eps": "epsilon", "v": "v_prediction"}[prediction],
        **{option: False for option in ("clip_sample", "thresholding") if option in known},
    }

    def make() -> Any:
        fresh = kind.from_config(options)
        fresh.set_timesteps(S)
        return fresh

    try:
        first = make()
        steps = np.clip(np.rint(first.timesteps.double().numpy()), 0, schedule.T - 1).astype(int)
        scale = float(first.init_noise_sigma)
    except (ValueError, TypeError, ImportError, IndexError) as error:
        raise ValueError(f"{name} cannot take {S} steps of this model's schedule: {error}") from error
    if not np.isfinite(scale):
        raise ValueError(f"{name} cannot start at a step without signal: use dpmpp-2m or unipc")
    plain = {k: str(v) if isinstance(v, float) and not np.isfinite(v) else v for k, v in given.items()}
    return Scheduler(name, make, tuple(steps.tolist()), json.loads(json.dumps(plain, default=str)))


def run_scheduler(
    adapted: Scheduler,
    net: Network,
    x: Tensor,
    seeds: Sequence[tuple[int, int]],
    *,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Take standard normal x (B, C, L) to the clean end; on_step(i, x) sees x behind step i.

    seeds: (seed, index) of each record, on which the noise that the scheduler adds depends.
    """
    scheduler = adapted.make()
    options: dict[str, Any] = {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        options["generator"] = [_generator(*pair) for pair in seeds]
    x = x * scheduler.init_noise_sigma
    for i, (t, whole) in enumerate(zip(scheduler.timesteps, adapted.steps, strict=True)):
        prediction = net(scheduler.scale_model_input(x, t), whole).to(x.dtype)
        x = scheduler.step(prediction, t, x, **options).prev_sample
        if on_step is not None:
            on_step(i, x)
    return x


def _generator(seed: int, index: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) % 2**63)
