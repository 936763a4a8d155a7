"""How records are sampled: the sampler, the number and the spacing of its steps, and its eta.

`Sampling` holds what a user asks for. Its `resolve` fills in the values of the configuration, and is the only place
where the settings are checked against each other. Its `table` builds the coefficients, and `sample` runs one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from .checks import checked_index, checked_seed, counted, flag, one_of, whole
from .circumstances import with_circumstances
from .config.schema import Config, DdimConfig, Fit
from .engine.bound import bind
from .models.network import Network
from .models.precision import float32_products
from .models.settings import settled
from .noise import normal
from .progress import Progress
from .samplers import (
    BY_STEPS,
    SAMPLERS,
    StepTable,
    away_from,
    ddim,
    ddpm,
    default_spacing,
    eps_denoiser,
    fitted,
    holding,
    invert,
    key_of,
    remainders,
    run,
    v_denoiser,
)
from .samplers.adapter import Scheduler, adapt, is_scheduler, run_scheduler
from .scale import Scale
from .schedule import SPACINGS, IntArray, Schedule, check_steps, choose_steps
from .strips import Strip


class SamplingKeywords(TypedDict, total=False):
    """The keywords of `SSSDECG.generate`, which describes them, that choose the sampler."""

    sampler: Any
    steps: int | None
    spacing: str | None
    use_ddim: bool | None
    ddim_timesteps: int | None
    ddim_eta: float | None


class RunKeywords(TypedDict, total=False):
    """The keywords of `SSSDECG.generate` that say how to compute. They change records by rounding only."""

    batch_size: int | None
    progress: Progress
    precision: str


@dataclass(frozen=True)
class Sampling:
    """A sampler (its name, or a scheduler of diffusers), the number of its steps, its eta, and their spacing.

    None stands for the value of the configuration. After `resolve`, None means that the sampler has no such setting.
    """

    sampler: Any = None
    steps: int | None = None
    eta: float | None = None
    spacing: str | None = None
    steps_name: str = field(default="steps", repr=False, compare=False)  # what messages call them

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
        """Return the sampling that keywords of `SSSDECG.generate` ask for.

        As in SSSD-ECG, use_ddim=False without a sampler means DDPM, which has no use for ddim_timesteps and ddim_eta.
        ValueError if two keywords contradict each other.
        """
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
        _check_sampler(self.sampler)
        sampler = _default_sampler(self, own) if self.sampler is None else self.sampler
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

    @settled()
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
        gain = own.gains.get(key_of(chosen.sampler, chosen.steps, chosen.eta or 0.0))
        if gain is None or chosen.spacing not in (None, default_spacing(chosen.sampler)):
            return table
        return replace(table, gain=np.array(gain))

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


@dataclass(frozen=True, eq=False)
class Given:
    """What a run is given of its records (B, 8, L) beside labels: where it starts, and what it holds fixed.

    start: clean records, to which noise is added up to the noise level at which the table starts (Meng et al. 2022,
    SDEdit). noise: in place of the noise by seed. known: projects clean records (B, 8, L) onto what is known of them.
    spread: (L,) factors by which the records are moved away, in the end, from what `known` makes of zeros.
    own: (B, K) conditions of `start`. The noise of each step is then the one by which the run gives `start` back under
    these conditions, and only what differs in the conditions of the run changes it. guidance: how much further than
    that it goes. circumstances: (B, 16) of the records, see sssd.circumstances; NaN where they are to be drawn.
    """

    start: Tensor | None = None
    noise: Tensor | None = None
    known: Callable[[Tensor], Tensor] | None = None
    spread: Tensor | None = None
    own: Tensor | None = None
    guidance: float = 0.0
    circumstances: Tensor | None = None

    def part(self, rows: slice | Sequence[int]) -> Given:
        """Return what is given of these records only."""
        chosen: dict[str, Any] = {name: value[rows] for name, value in self._rows.items()}
        return replace(self, **chosen)

    def beside(self, others: Sequence[Given]) -> Given:
        """Return what is given of these records and those of others, which have the same of everything else."""
        rows: dict[str, Any] = {
            name: torch.cat([value, *(getattr(other, name) for other in others)])
            for name, value in self._rows.items()
        }
        return replace(self, **rows)

    def scaled(self, scale: Scale, device: torch.device) -> Given:
        """Return the same on a device, with records on the scale of the network instead of in mV."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in self._rows.items()}
        if "start" in moved:
            moved["start"] = scale.to_network(moved["start"])
        known = self.known
        if self.spread is not None:
            moved["spread"] = self.spread.to(device)
        if known is not None:
            moved["known"] = lambda x: scale.to_network(known(scale.to_mv(x)))
        return replace(self, **moved)

    @property
    def _rows(self) -> dict[str, Any]:
        """What has a row for each record."""
        rows = {name: getattr(self, name) for name in ("start", "noise", "own", "circumstances")}
        return {name: value for name, value in rows.items() if value is not None}


def nodes_for(nodes: Sequence[int], evaluations: int) -> IntArray:
    """Return the steps (evaluations,) of a distilled network: evenly chosen ones of its nodes, the noisiest first."""
    return np.array(nodes)[np.arange(evaluations) * len(nodes) // evaluations]


@settled()
@float32_products("highest")
@torch.no_grad()
def sample(
    network: Network,
    table: StepTable | Scheduler,
    cond: Tensor,
    seeds: Sequence[int] | IntArray,
    index: Sequence[int] | IntArray,
    *,
    T: int,
    length: int,
    dtype: torch.dtype,
    on_step: Callable[[int, Tensor], None],
    given: Given | None = None,
    strip: Strip | None = None,
    rows: int = 1,
) -> Tensor:
    """Sample one batch: noise -> loop(denoiser) -> clean records (B, 8, length), scaled as the network sees them.

    cond: (B, K) labels and patient. seeds, index: (B,) numbers on which the noise of each record depends. T: number of
    steps of the schedule. dtype: of matrix products. on_step(i, x0): called with the clean records predicted at row i.
    given: where the run starts and what it holds fixed, in the network's units; otherwise it starts from noise.
    strip: makes strips (B, 8, strip.padded) instead, of windows of `length` samples, of which the network reads `rows`
    at once; cond is (B, G, K) then, for each part of the strip.
    """
    seeds, index = [checked_seed(seed) for seed in seeds], [checked_index(i) for i in index]
    if len({len(seeds), len(index), len(cond)}) > 1:
        raise ValueError(
            f"got {counted(len(seeds), 'seed')} and {counted(len(index), 'number')} for {counted(len(cond), 'record')}"
        )
    if not index:
        return torch.zeros(0, 8, length, dtype=torch.float32, device=cond.device)
    times, given = [int(t) for t in table.steps], given or Given()

    def noise(t: int) -> Tensor:  # drawn on the CPU for devices that have no float64
        where = cond.device if cond.device.type == "cuda" else torch.device("cpu")
        if strip is not None:
            return strip.noise(seeds, index, t, where).to(cond.device)
        return normal(seeds, index, t, (8, length), where).to(cond.device)

    def network_of_windows(strips: list[int], parts: list[int]) -> Callable[[Tensor, int], Tensor]:
        which = [seeds[i] for i in strips], [index[i] for i in strips]
        full = with_circumstances(network, cond[strips, parts], *which)
        return _bound(network, full, times, length=length, dtype=dtype)

    def network_under(cond: Tensor) -> Callable[[Tensor, int], Tensor]:
        full = with_circumstances(network, cond, seeds, index, given.circumstances)
        return _bound(network, full, times, length=length, dtype=dtype)

    if strip is None:
        net = network_under(cond)
    else:
        net = strip.stitched(network_of_windows, len(index), rows)
    x_T = noise(T) if given.noise is None else given.noise
    if isinstance(table, Scheduler):
        if given._rows or given.known:
            raise ValueError(f"{table.name} is a scheduler of diffusers, which starts from noise only")
        return run_scheduler(table, net, x_T, list(zip(seeds, index, strict=True)), on_step=on_step)
    denoiser = v_denoiser if network.velocity else eps_denoiser
    denoise = denoiser(table, net)
    if given.start is not None and given.own is not None:
        own = denoiser(table, network_under(given.own))
        path = [
            float(alpha) * given.start + float(sigma) * z
            for alpha, sigma, z in zip(table.alpha, table.sigma, [x_T, *map(noise, times)], strict=True)
        ]
        left = remainders(table, own, path)
        guided = away_from(denoise, own, given.guidance) if given.guidance else denoise
        x = run(table, guided, path[0], lambda i: left[i] / float(table.c[i]), on_step=on_step)
        return x + left[-1]
    if given.start is not None:
        x_T = float(table.alpha[0]) * given.start + float(table.sigma[0]) * x_T
    if given.known is not None:
        denoise = holding(table, denoise, given.known)
    x = run(table, denoise, x_T, lambda i: noise(times[i]), on_step=on_step)
    return x if given.known is None or given.spread is None else given.known(given.spread * x)


@settled()
@float32_products("highest")
@torch.no_grad()
def noise_of(
    network: Network,
    table: StepTable,
    cond: Tensor,
    x0: Tensor,
    *,
    rounds: int,
    dtype: torch.dtype,
    circumstances: Tensor | None = None,
) -> Tensor:
    """Return the noise (B, 8, L) from which, with the records x0 as start, a table of DDIM gives these records.

    x0 is scaled as the network sees it. cond: (B, K) labels and patient, which describe x0. circumstances: (B, 16) of
    x0. See `samplers.invert`.
    """
    if circumstances is not None:
        cond = with_circumstances(network, cond, [], [], circumstances)
    net = _bound(network, cond, [int(t) for t in table.steps], length=x0.shape[-1], dtype=dtype)
    denoise = (v_denoiser if network.velocity else eps_denoiser)(table, net)
    x = invert(table, denoise, x0, rounds=rounds)
    noise: Tensor = (x - float(table.alpha[0]) * x0) / float(table.sigma[0])
    return noise


def _bound(
    network: Network, cond: Tensor, times: Sequence[int], *, length: int, dtype: torch.dtype
) -> Callable[[Tensor, int], Tensor]:
    """Return the network as a function of x and the time step, for these steps."""
    visited = sorted(set(times), reverse=True)  # a scheduler of diffusers may visit a step twice
    predict = bind(network, cond, visited, length=length, dtype=dtype)
    return lambda x, t: predict(x, visited.index(t))


def _check_sampler(sampler: Any) -> None:
    """Raise ValueError unless it is None, the name of a sampler, or a scheduler of diffusers."""
    if sampler is not None and not is_scheduler(sampler):
        one_of("sampler", sampler, SAMPLERS, ", or a scheduler of diffusers")


def _default_sampler(asked: Sampling, own: DdimConfig) -> str:
    """Use DDIM if an eta is given, else the sampler of the configuration; if that is DDPM and steps are given, DDIM."""
    if asked.eta is not None:
        return "ddim"
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
        raise ValueError(f"steps is {steps}: this model has {known}; unipc takes any number")
    return fits[steps]


def _check_eta(eta: Any) -> float:
    if isinstance(eta, bool) or not isinstance(eta, Real) or not 0.0 <= float(eta) <= 1.0:
        raise ValueError(f"eta is {eta!r}: expected 0 (deterministic) to 1 (as much noise as DDPM)")
    return float(eta)
