"""How records are sampled: a sampler, its steps, its noise and the spacing of the steps.

`Sampling` is what a user asks for. `resolve` fills in what the configuration says, and it is the only place where
settings are checked against each other; `table` builds the coefficients. `sample` runs them on one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from .config.schema import Config, DdimConfig, Fit
from .engine.bound import bind
from .models.denoiser import Denoiser
from .noise import normal
from .samplers import (
    BY_STEPS,
    SAMPLERS,
    StepTable,
    ddim,
    ddpm,
    default_spacing,
    eps_denoiser,
    fitted,
    key_of,
    run,
    v_denoiser,
)
from .samplers.adapter import Scheduler, adapt, is_scheduler, run_scheduler
from .schedule import SPACINGS, Schedule, check_steps, choose_steps


class SamplingKeywords(TypedDict, total=False):
    """The keywords of `generate` that choose the sampler; None, or a key left out, means the configuration's value."""

    sampler: Any  # one of sssd.samplers.SAMPLERS, or a scheduler of diffusers
    steps: int | None  # number of network evaluations
    spacing: str | None  # how the steps are spread, see sssd.schedule.choose_steps
    use_ddim: bool | None  # SSSD-ECG's names: True for sampler="ddim", False for sampler="ddpm",
    ddim_timesteps: int | None  # steps of DDIM,
    ddim_eta: float | None  # and its eta, from 0 (deterministic) to 1 (as much noise as DDPM)


@dataclass(frozen=True)
class Sampling:
    """A sampler (a name, or a scheduler of diffusers), its number of steps, its eta and the spacing of its steps.

    None stands for the configuration's value. After `resolve`, None means that the sampler has no such setting.
    """

    sampler: Any = None
    steps: int | None = None
    eta: float | None = None
    spacing: str | None = None
    steps_name: str = field(
        default="steps", repr=False, compare=False
    )  # how the user called them, for messages

    @classmethod
    def of(
        cls,
        *,
        sampler: Any = None,
        steps: int | None = None,
        spacing: str | None = None,
        use_ddim: bool | None = None,
        ddim_timesteps: int | None = None,
        ddim_eta: float | None = None,
    ) -> Sampling:
        """What the keywords of `generate` ask for; see `SamplingKeywords`.

        As in SSSD-ECG, use_ddim=False alone means DDPM, and ddim_timesteps and ddim_eta then have no effect.
        ValueError where two keywords contradict each other.
        """
        if use_ddim is not None and is_scheduler(sampler):
            raise ValueError("use_ddim and ddim_eta do not go with a scheduler of diffusers: leave them out")
        if None not in (use_ddim, sampler) and bool(use_ddim) != (sampler == "ddim"):
            if use_ddim or sampler == "ddim":
                raise ValueError(f"sampler is {sampler!r} and use_ddim is {use_ddim}: give one of them")
        if steps is not None and ddim_timesteps not in (None, steps):
            raise ValueError(f"steps is {steps} and ddim_timesteps is {ddim_timesteps}: give one of them")
        if sampler is None and use_ddim is not None and not use_ddim:
            return cls("ddpm", steps, None, spacing)
        if sampler is None and (use_ddim or ddim_timesteps is not None or ddim_eta is not None):
            sampler = "ddim"
        if steps is None:
            return cls(sampler, ddim_timesteps, ddim_eta, spacing, "ddim_timesteps")
        return cls(sampler, steps, ddim_eta, spacing)

    def resolve(self, config: Config) -> Sampling:
        """The same with all that the configuration says filled in; resolving it again changes nothing.

        ValueError where a value is wrong, or the sampler has no such setting.
        """
        own, T = config.ddim_config, config.diffusion_config.T
        sampler = _default_sampler(self, own) if self.sampler is None else self.sampler
        if is_scheduler(sampler):
            return self._resolve_scheduler(own, T)
        if sampler not in SAMPLERS:
            known = ", ".join(SAMPLERS)
            raise ValueError(f"sampler is {sampler!r}: expected one of {known}, or a scheduler of diffusers")
        if self.spacing is not None and self.spacing not in SPACINGS:
            raise ValueError(f"spacing is {self.spacing!r}: expected one of {', '.join(SPACINGS)}")
        if self.eta is not None and sampler != "ddim":
            raise ValueError(
                f"eta is {self.eta}: {sampler} has no eta, only ddim has it; leave it out with {sampler}"
            )
        if sampler == "ddpm":
            return self._resolve_ddpm(T)
        if sampler == "fitted" and self.spacing is not None:
            raise ValueError(
                f"spacing is {self.spacing!r}: a fitted solver brings its own steps; leave it out"
            )
        steps = _default_steps(sampler, own) if self.steps is None else self.steps
        steps = check_steps(steps, T, self.steps_name)
        if sampler == "fitted":
            _fit(own, steps)
            return Sampling(sampler, steps)
        eta = _check_eta(own.ddim_eta if self.eta is None else self.eta) if sampler == "ddim" else None
        return Sampling(sampler, steps, eta, self.spacing or default_spacing(sampler))

    def table(self, schedule: Schedule, config: Config) -> StepTable | Scheduler:
        """The coefficients of each step on the model's schedule, with the gain that the model was calibrated to.

        A scheduler of diffusers has no table: it is returned set up for the schedule. ValueError as `resolve`.
        """
        chosen, own = self.resolve(config), config.ddim_config
        assert chosen.steps is not None
        if is_scheduler(chosen.sampler):
            return adapt(chosen.sampler, schedule, chosen.steps, config.diffusion_config.prediction)
        if chosen.sampler == "ddpm":
            return ddpm(schedule)
        if chosen.sampler == "fitted":
            table = fitted(schedule, **_fit(own, chosen.steps).model_dump())
        else:
            times = choose_steps(schedule, chosen.steps, chosen.spacing or "")
            if chosen.eta is not None:
                table = ddim(schedule, times, chosen.eta)
            else:
                table = BY_STEPS[chosen.sampler](schedule, times)
            table = replace(table, settings={**table.settings, "spacing": chosen.spacing})
        gain = own.gains.get(key_of(chosen.sampler, chosen.steps, chosen.eta or 0.0))
        if gain is None or chosen.spacing not in (None, default_spacing(chosen.sampler)):
            return table
        return replace(table, gain=np.array(gain))

    def _resolve_ddpm(self, T: int) -> Sampling:
        if self.steps not in (None, T):
            raise ValueError(
                f"{self.steps_name} is {self.steps}: ddpm always takes all {T} steps; leave it out"
            )
        if self.spacing is not None:
            raise ValueError(f"spacing is {self.spacing!r}: ddpm visits every step; leave it out")
        return Sampling("ddpm", T)

    def _resolve_scheduler(self, own: DdimConfig, T: int) -> Sampling:
        for name in ("eta", "spacing"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}: use_ddim, ddim_eta and spacing do not go with a scheduler of "
                    "diffusers, which has its own settings: leave them out"
                )
        steps = own.ddim_timesteps if self.steps is None else self.steps
        return replace(self, steps=check_steps(steps, T, self.steps_name))


@torch.no_grad()
def sample(
    network: Denoiser,
    table: StepTable | Scheduler,
    cond: Tensor,
    seeds: Sequence[int],
    index: Sequence[int],
    *,
    T: int,
    length: int,
    dtype: torch.dtype,
    on_step: Callable[[int, Tensor], None],
) -> Tensor:
    """Noise -> loop(denoiser) -> clean records (B, 8, length), on the scale and the device of the network.

    cond: (B, K). seeds, index: (B,) of each record, on which its noise depends. T: steps of the schedule. dtype: of
    matrix products. on_step(i, x0): called with the clean records as predicted at row i.
    """
    times = [int(t) for t in table.steps]
    visited = sorted(set(times), reverse=True)  # a scheduler of diffusers may visit a step twice
    predict = bind(network, cond, visited, length=length, dtype=dtype)

    def net(x: Tensor, t: int) -> Tensor:
        return predict(x, visited.index(t))

    def noise(t: int) -> Tensor:  # drawn on the CPU for devices that have no float64
        where = cond.device if cond.device.type == "cuda" else torch.device("cpu")
        return normal(seeds, index, t, (8, length), where).to(cond.device)

    x_T = noise(T)
    if isinstance(table, Scheduler):
        return run_scheduler(table, net, x_T, list(zip(seeds, index, strict=True)), on_step=on_step)
    denoise = (v_denoiser if network.velocity else eps_denoiser)(table, net)
    return run(table, denoise, x_T, lambda i: noise(times[i]), on_step=on_step)


def _default_sampler(asked: Sampling, own: DdimConfig) -> str:
    """The configuration's sampler; DDIM where an eta is given, and in place of DDPM where steps are."""
    if asked.eta is not None:
        return "ddim"
    return own.sampler or ("ddim" if own.use_ddim or asked.steps is not None else "ddpm")


def _default_steps(sampler: str, own: DdimConfig) -> int:
    """The configuration's steps; for a fitted solver that is not its default, the largest number there is one for."""
    if sampler == "fitted" and own.sampler != "fitted" and own.fits:
        return max(len(fit.steps) for fit in own.fits)
    return own.ddim_timesteps


def _fit(own: DdimConfig, steps: int) -> Fit:
    """The solver that was fitted for so many evaluations; ValueError where there is none."""
    fits: Mapping[int, Fit] = {len(fit.steps): fit for fit in own.fits}
    if steps not in fits:
        known = ", ".join(map(str, sorted(fits))) or "no number of them"
        raise ValueError(f"steps is {steps}: this model's solvers were fitted for {known}; unipc takes any")
    return fits[steps]


def _check_eta(eta: Any) -> float:
    if isinstance(eta, bool) or not isinstance(eta, Real) or not 0.0 <= float(eta) <= 1.0:
        raise ValueError(f"eta is {eta!r}: expected 0 (deterministic) to 1 (as much noise as DDPM)")
    return float(eta)
