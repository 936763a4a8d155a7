"""How records are sampled: the sampler, the number and the spacing of its steps, and its eta.

`Sampling` holds what a user asks for. Its `resolve` fills in the values of the configuration, and is the only place
where the settings are checked against each other. Its `table` builds the coefficients; `sssd.batch` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, TypedDict

import numpy as np

from .checks import flag, one_of, whole
from .config.schema import Config, DdimConfig, Fit
from .models.settings import isolated
from .presets import check_alone, choose, suited
from .progress import ShowProgress
from .samplers import BY_STEPS, SAMPLERS, StepTable, ddim, ddpm, default_spacing, fitted, key_of
from .samplers.adapter import Scheduler, adapt, is_scheduler
from .schedule import SPACINGS, IntArray, Schedule, check_steps, choose_steps


class SamplingKeywords(TypedDict, total=False):
    """The keywords of `SSSDECG.generate`, which describes them, that choose the sampler."""

    quality: str | None
    sampler: Any
    steps: int | None
    spacing: str | None
    use_ddim: bool | None
    ddim_timesteps: int | None
    ddim_eta: float | None


class RunKeywords(TypedDict, total=False):
    """The keywords of `SSSDECG.generate` that say how to compute. They change records by rounding only."""

    batch_size: int | None
    progress: ShowProgress
    precision: str


@dataclass(frozen=True)
class Sampling:
    """A sampler (its name, or a scheduler of diffusers), the number of its steps, its eta, and their spacing.

    None stands for the value of the configuration. After `resolve`, None means that the sampler has no such setting.
    quality: draft, standard or best, in the place of the others (sssd.presets); None after `resolve`.
    """

    sampler: Any = None
    steps: int | None = None
    eta: float | None = None
    spacing: str | None = None
    steps_name: str = field(default="steps", repr=False, compare=False)  # what messages call them
    quality: str | None = None

    @classmethod
    def of(
        cls,
        *,
        quality: str | None = None,
        sampler: Any = None,
        steps: int | None = None,
        spacing: str | None = None,
        use_ddim: bool | None = None,
        ddim_timesteps: int | None = None,
        ddim_eta: float | None = None,
    ) -> Sampling:
        """Return the sampling that keywords of `SSSDECG.generate` ask for.

        As in SSSD-ECG, use_ddim=False without a sampler means DDPM, which has no use for ddim_timesteps and ddim_eta.
        ValueError if two keywords contradict each other.
        """
        older: dict[str, Any] = {"use_ddim": use_ddim, "ddim_timesteps": ddim_timesteps, "ddim_eta": ddim_eta}
        check_alone(quality, sampler=sampler, steps=steps, spacing=spacing, **older)
        if quality is not None:
            return cls(quality=quality)
        _check_sampler(sampler)
        use_ddim = None if use_ddim is None else flag("use_ddim", use_ddim)
        if steps is not None and ddim_timesteps is not None:
            steps, ddim_timesteps = whole("steps", steps), whole("ddim_timesteps", ddim_timesteps)
        if use_ddim is not None and is_scheduler(sampler):
            raise ValueError("use_ddim and ddim_eta do not go with a scheduler of diffusers: leave them out")
        if None not in (use_ddim, sampler) and use_ddim != (sampler == "ddim"):
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
        """Fill in the values of the configuration. To resolve the result again changes nothing.

        ValueError if a value is wrong, or the sampler has no such setting.
        """
        own, T = config.ddim_config, config.diffusion_config.T
        check_alone(self.quality, sampler=self.sampler, steps=self.steps, eta=self.eta, spacing=self.spacing)
        left = self.is_left_to(config)
        if left and self.steps is not None:
            if self.steps in [len(fit.steps) for fit in own.fits]:
                return replace(self, sampler="fitted").resolve(config)
            like = suited(check_steps(self.steps, T, self.steps_name))
            return replace(self, sampler=like.sampler, spacing=like.spacing).resolve(config)
        if self.quality is not None or left:
            chosen = choose(self.quality or "standard", config)
            return Sampling(chosen.sampler, chosen.steps, chosen.eta, chosen.spacing).resolve(config)
        _check_sampler(self.sampler)
        sampler = _default_sampler(self, config) if self.sampler is None else self.sampler
        if is_scheduler(sampler):
            return self._resolve_scheduler(own, T)
        if self.spacing is not None:
            one_of("spacing", self.spacing, SPACINGS)
        if self.eta is not None and sampler != "ddim":
            raise ValueError(
                f"eta is {self.eta}: {sampler} has no eta, only ddim has it; leave it out with {sampler}"
            )
        if sampler == "ddpm":
            return self._resolve_ddpm(T)
        if sampler == "consistency" and own.sampler != "consistency":
            raise ValueError(
                "sampler is 'consistency': only distilled models have it, and this model is not one of them"
            )
        if sampler == "fitted" and self.spacing is not None:
            raise ValueError(
                f"spacing is {self.spacing!r}: a fitted solver brings its own steps; leave it out"
            )
        steps = _default_steps(sampler, own) if self.steps is None else self.steps
        steps = check_steps(steps, T, self.steps_name)
        if sampler == "fitted":
            _fit(own, steps)
            return Sampling(sampler, steps)
        if sampler == "consistency" and self.spacing is None and steps <= len(own.nodes or []):
            return Sampling(sampler, steps)
        eta = _check_eta(own.ddim_eta if self.eta is None else self.eta) if sampler == "ddim" else None
        return Sampling(sampler, steps, eta, self.spacing or default_spacing(sampler))

    @isolated()
    def table(self, schedule: Schedule, config: Config) -> StepTable | Scheduler:
        """Build the coefficients of each step on a schedule, with the gain for which the model was calibrated.

        A scheduler of diffusers has no table and is returned set up for the schedule. Raises ValueError as `resolve`.
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
            if chosen.spacing is None:
                times = nodes_for(own.nodes or [], chosen.steps)
            else:
                times = choose_steps(schedule, chosen.steps, chosen.spacing)
            if chosen.eta is not None:
                table = ddim(schedule, times, chosen.eta)
            else:
                table = BY_STEPS[chosen.sampler](schedule, times)
            table = replace(table, settings={**table.settings, "spacing": chosen.spacing})
        gain = own.gains.get(key_of(chosen.sampler, chosen.steps, chosen.eta or 0.0, chosen.spacing))
        return table if gain is None else replace(table, gain=np.array(gain))

    def is_left_to(self, config: Config) -> bool:
        """Return whether neither the caller nor the configuration of a transformer names a sampler; steps may be given.

        Configurations of S4 networks always do, by the use_ddim of SSSD-ECG.
        """
        given = (self.sampler, self.eta, self.spacing, self.quality)
        named = config.transformer_config is None or config.ddim_config.sampler is not None
        return not named and all(value is None for value in given)

    def _resolve_ddpm(self, T: int) -> Sampling:
        if self.steps is not None and not np.array_equal(self.steps, T):
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


def nodes_for(nodes: Sequence[int], evaluations: int) -> IntArray:
    """Return the steps (evaluations,) of a distilled network: evenly chosen ones of its nodes, the noisiest first."""
    return np.array(nodes)[np.arange(evaluations) * len(nodes) // evaluations]


def _check_sampler(sampler: Any) -> None:
    """Raise ValueError unless it is None, the name of a sampler, or a scheduler of diffusers."""
    if sampler is not None and not is_scheduler(sampler):
        one_of("sampler", sampler, SAMPLERS, ", or a scheduler of diffusers")


def _default_sampler(asked: Sampling, config: Config) -> str:
    """Use DDIM if an eta is given, else the sampler of the configuration; if that is DDPM and steps are given, DDIM.

    A transformer whose configuration names none has the one that suits the number of steps.
    """
    own = config.ddim_config
    if asked.eta is not None:
        return "ddim"
    if own.sampler is None and config.transformer_config is not None:
        steps = asked.steps
        if steps is not None:
            steps = check_steps(steps, config.diffusion_config.T, asked.steps_name)
        return suited(steps).sampler
    return own.sampler or ("ddim" if own.use_ddim or asked.steps is not None else "ddpm")


def _default_steps(sampler: str, own: DdimConfig) -> int:
    """Return the configuration's steps, or those of its largest solver for fitted if that is not its default."""
    if sampler == "fitted" and own.sampler != "fitted" and own.fits:
        return max(len(fit.steps) for fit in own.fits)
    return own.ddim_timesteps


def _fit(own: DdimConfig, steps: int) -> Fit:
    """Return the solver that was fitted for this number of evaluations; ValueError if there is none."""
    fits: Mapping[int, Fit] = {len(fit.steps): fit for fit in own.fits}
    if steps not in fits:
        known = (
            f"fitted solvers for {' or '.join(map(str, sorted(fits)))} steps" if fits else "no fitted solvers"
        )
        raise ValueError(f"steps is {steps}: this model has {known}; sde-ode-dpmpp-2m takes any number")
    return fits[steps]


def _check_eta(eta: Any) -> float:
    if isinstance(eta, bool) or not isinstance(eta, Real) or not 0.0 <= float(eta) <= 1.0:
        raise ValueError(f"eta is {eta!r}: expected 0 (deterministic) to 1 (as much noise as DDPM)")
    return float(eta)
