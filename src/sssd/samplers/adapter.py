"""Runs a scheduler of `diffusers` on this schedule and network, in place of a step table.

The library computes the steps with its float32 coefficients. Where it asks for a time between two steps, the network is
evaluated at the nearest whole one, since it was trained at those only. Noise is drawn for each record separately.
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

from ..checks import counted
from ..schedule import FloatArray, Schedule
from .loop import BoundNetwork


@dataclass(frozen=True, eq=False)
class Scheduler:
    """A `diffusers` scheduler, set to a schedule and a number of steps.

    name: "diffusers." and the name of its class. make: returns a new scheduler, ready for one batch. steps: (S,) the
    whole time steps at which the network is evaluated, in that order; a method with two evaluations per step has more
    than were asked for. config: its options as plain values.
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
        """What it was made with, in the form of `StepTable.settings`."""
        return {"scheduler": self.config}

    @property
    def gain(self) -> FloatArray:
        """1, since models are calibrated for the samplers of this package only."""
        return np.ones(1)


def is_scheduler(given: object) -> bool:
    """Return whether this looks like a scheduler of diffusers; the library is not imported to find out."""
    return all(hasattr(given, name) for name in ("set_timesteps", "step", "config"))


def adapt(scheduler: Any, schedule: Schedule, S: int, prediction: Literal["eps", "v"]) -> Scheduler:
    """Return a scheduler like the given one, set to the schedule, a network that predicts eps or v, and S steps.

    This replaces its betas, T, prediction type, and its clipping of images to -1 .. 1. ValueError if it cannot take
    these, or if it cannot draw the noise of each record separately.
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
        raise ValueError(
            f"{name} draws noise for a whole batch at once: use a scheduler that takes a generator"
        )
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
        raise ValueError(
            f"{name} cannot take {counted(S, 'step')} of this model's schedule: {error}"
        ) from error
    if not np.isfinite(scale):
        raise ValueError(f"{name} cannot start at a step without signal: use dpmpp-2m or unipc")
    plain = {k: str(v) if isinstance(v, float) and not np.isfinite(v) else v for k, v in given.items()}
    return Scheduler(name, make, tuple(steps.tolist()), json.loads(json.dumps(plain, default=str)))


def run_scheduler(
    adapted: Scheduler,
    net: BoundNetwork,
    x: Tensor,
    seeds: Sequence[tuple[int, int]],
    *,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Take standard normal x (B, C, L) to the clean end; on_step(i, x) is called with x after step i.

    seeds: (seed, index) of each record; the noise that the scheduler adds depends on them.
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
