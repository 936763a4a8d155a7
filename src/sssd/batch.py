"""Runs one batch: noise -> loop(denoiser) -> clean records, from noise alone or from what is given of the records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .checks import checked_index, checked_seed, counted
from .circumstances import with_circumstances
from .engine.bound import Bind, bind, recorded_run
from .models.network import Network
from .models.precision import float32_products
from .models.settings import isolated
from .noise import drawn, origin
from .samplers import StepTable, away_from, eps_denoiser, holding, invert, remainders, run, v_denoiser
from .samplers.adapter import Scheduler, run_scheduler
from .samplers.loop import BoundNetwork
from .scale import Scale
from .schedule import IntArray
from .strips import Strip


@dataclass(frozen=True, eq=False)
class Given:
    """What a run is given of its records (B, 8, L) beside labels: where it starts, and what it holds fixed.

    start: clean records, to which noise is added up to the noise level at which the table starts (Meng et al. 2022,
    SDEdit). noise: in place of the noise by seed. known: projects clean records (B, 8, L) onto what is known of them.
    own: (B, K) conditions of `start`. The noise of each step is then the one with which the run gives `start` back
    under these conditions, so that only the differences between them and the conditions of the run change it. guidance:
    how many times these differences are added on top, at the steps of the schedule below `guided_below`. circumstances:
    (B, C) of the records, see sssd.circumstances; NaN where they are to be drawn. own_circumstances: those of `start`,
    beside `own`. keeps_beats: (B,) whether the beats of the finished record are moved to where those of `start` are
    (`SSSDECG.batch_on_device` does it).
    """

    start: Tensor | None = None
    noise: Tensor | None = None
    known: Callable[[Tensor], Tensor] | None = None
    own: Tensor | None = None
    guidance: float = 0.0
    guided_below: int = 0
    circumstances: Tensor | None = None
    own_circumstances: Tensor | None = None
    keeps_beats: Tensor | None = None

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
        if known is not None:
            moved["known"] = lambda x: scale.to_network(known(scale.to_mv(x)))
        return replace(self, **moved)

    @property
    def anything(self) -> bool:
        """Whether anything is given."""
        return bool(self._rows) or self.known is not None

    @property
    def _rows(self) -> dict[str, Any]:
        """What has a row for each record."""
        names = ("start", "noise", "own", "circumstances", "own_circumstances", "keeps_beats")
        rows = {name: getattr(self, name) for name in names}
        return {name: value for name, value in rows.items() if value is not None}


@isolated()
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
    # noise is drawn on the CPU for devices that have no float64
    state = origin(seeds, index, cond.device if cond.device.type == "cuda" else "cpu")

    def noise(t: int) -> Tensor:
        z = drawn(state, t, (8, length)) if strip is None else strip.noise(state, t)
        return z.to(cond.device)

    def network_of_windows(strips: list[int], parts: list[int]) -> BoundNetwork:
        full = with_circumstances(network, cond[strips, parts], state[strips], rates=True)
        return _bound(network, full, times, length=length, dtype=dtype)

    def network_under(cond: Tensor, circumstances: Tensor | None) -> BoundNetwork:
        full = with_circumstances(network, cond, state, circumstances, rates=not given.anything)
        return _bound(network, full, times, length=length, dtype=dtype)

    if strip is None and isinstance(table, StepTable) and not given.anything:
        made = _recorded(network, table, cond, state, T=T, length=length, dtype=dtype)
        if made is not None:
            x, each = made
            for i, x0 in enumerate(each):
                on_step(i, x0)
            return x
    if strip is None:
        net = network_under(cond, given.circumstances)
    else:
        net = strip.stitched(network_of_windows, len(index), rows)
    x_T = noise(T) if given.noise is None else given.noise
    if isinstance(table, Scheduler):
        if given.anything:
            raise ValueError(f"{table.name} is a scheduler of diffusers, which starts from noise only")
        return run_scheduler(table, net, x_T, list(zip(seeds, index, strict=True)), on_step=on_step)
    denoiser = v_denoiser if network.velocity else eps_denoiser
    denoise = denoiser(table, net)
    if given.start is not None and given.own is not None:
        own = denoiser(table, network_under(given.own, given.own_circumstances))
        path = [
            float(alpha) * given.start + float(sigma) * z
            for alpha, sigma, z in zip(table.alpha, table.sigma, [x_T, *map(noise, times)], strict=True)
        ]
        left = remainders(table, own, path)
        strengths = [given.guidance if t < given.guided_below else 0.0 for t in table.steps.tolist()]
        guided = away_from(denoise, own, strengths)
        x = run(table, guided, path[0], lambda i: left[i] / float(table.c[i]), on_step=on_step)
        return x + left[-1]
    if given.start is not None:
        x_T = float(table.alpha[0]) * given.start + float(table.sigma[0]) * x_T
    if given.known is not None:
        denoise = holding(table, denoise, given.known)
    return run(table, denoise, x_T, lambda i: noise(times[i]), on_step=on_step)


@isolated()
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

    x0 is scaled as the network sees it. cond: (B, K) labels and patient, which describe x0. circumstances: (B, C) of
    x0. See `samplers.invert`.
    """
    if circumstances is not None:
        cond = with_circumstances(network, cond, origin([], []), circumstances)
    net = _bound(network, cond, [int(t) for t in table.steps], length=x0.shape[-1], dtype=dtype)
    denoise = (v_denoiser if network.velocity else eps_denoiser)(table, net)
    x = invert(table, denoise, x0, rounds=rounds)
    noise: Tensor = (x - float(table.alpha[0]) * x0) / float(table.sigma[0])
    return noise


def _recorded(
    network: Network,
    table: StepTable,
    cond: Tensor,
    state: Tensor,
    *,
    T: int,
    length: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor] | None:
    """Run a sampler from noise as one graph of all its steps, where there is one (see `engine.bound.recorded_run`).

    Returns the records (B, 8, length) and those predicted in each step (S, B, 8, length).
    """
    times = table.steps.tolist()

    def flow(bind: Bind, cond: Tensor, state: Tensor) -> Any:
        predict = bind(with_circumstances(network, cond, state, rates=True))
        denoise = (v_denoiser if network.velocity else eps_denoiser)(
            table, lambda x, t: predict(x, times.index(t))
        )
        each: list[Tensor] = []

        def noise(i: int) -> Tensor:
            return drawn(state, times[i], (8, length))

        x_T = drawn(state, T, (8, length))
        x = run(table, denoise, x_T, noise, on_step=lambda i, x0: each.append(x0))
        return x, torch.stack(each)

    made: tuple[Tensor, Tensor] | None = recorded_run(
        network, flow, (cond, state), times, length=length, dtype=dtype, name=(table.key, T)
    )
    return made


def _bound(
    network: Network, cond: Tensor, times: Sequence[int], *, length: int, dtype: torch.dtype
) -> BoundNetwork:
    """Return the network as a function of x and the time step, for these steps."""
    visited = sorted(set(times), reverse=True)  # a scheduler of diffusers may visit a step twice
    predict = bind(network, cond, visited, length=length, dtype=dtype)
    return lambda x, t: predict(x, visited.index(t))
