"""Holds what all stages of a distillation share: teacher, conditions, noise levels and the student's nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...circumstances import draw_for_training, with_circumstances
from ...config.schema import Config
from ...engine.bound import bind
from ...factory import build_schedule
from ...loss import NoiseLevels, add_noise, noise_levels
from ...models.network import Network
from ...models.transformer import Transformer
from ...noise import origin
from ...samplers import run, unipc, v_denoiser
from ...schedule import Schedule, choose_steps
from ..batches import chosen_records, generator, on_device, with_patients_hidden
from ..guidance import strength_of_steps, under_guidance
from ..network import training_net
from ..parallel import agreed, processes, rank


@dataclass(frozen=True)
class StageProgress:
    """One report: the stage, its iteration, how many iterations it has, and its mean loss since the last report."""

    name: str
    iteration: int
    of: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class Distilled:
    """The result of a run: the model's file, and how many of its stages have ended."""

    path: Path
    stages: int
    of: int


class OutOfTime(Exception):
    """The time of a distillation is up."""


class Distillation:
    """One distillation. `config` is that of the student; it runs on the device of `labels` (n, K).

    batch: the records of a batch that this process has, if several share it.
    """

    def __init__(self, config: Config, teacher: Network, labels: Tensor, until: float | None = None) -> None:
        assert config.distill_config is not None
        self.until = until
        self.todo, self.config, self.labels = config.distill_config, config, labels
        self.schedule: Schedule = build_schedule(config)
        self.device, self.length = labels.device, config.trainset_config.segment_length
        self.batch = self.todo.batch_size // processes()
        self.precision = "bf16" if self.device.type == "cuda" else "float32"
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.teacher = teacher.eval()
        self.levels: NoiseLevels = noise_levels(
            self.schedule, velocity=True, data_std=self.todo.data_std, device=self.device
        )
        self.strength = strength_of_steps(self.todo.guidance, self.levels)
        nodes = config.ddim_config.nodes or choose_steps(self.schedule, self.todo.nodes, "trailing").tolist()
        self.nodes = torch.tensor(nodes, device=self.device)  # (N,), the noisiest first

    @property
    def out_of_time(self) -> bool:
        """Return whether `until` has passed."""
        return self.until is not None and time.monotonic() > self.until

    def stops(self, iteration: int) -> bool:
        """Return whether `until` has passed. If several processes run, the first of them decides for all."""
        if self.until is None or (processes() > 1 and iteration % 10):
            return False
        return agreed(self.out_of_time)

    def wrapped(self, net: Network) -> nn.Module:
        """Return the network as training calls it, without dropout."""
        return training_net(net, self.length, self.precision, self.device).eval()

    def drawn(self, iteration: int, records: int, stream: int) -> tuple[Tensor, Tensor]:
        """Draw rows (B,) of the labels; return them and the conditions (B, K), B = `records` in each process.

        Age and the like are hidden as in training. Circumstances, which a transformer takes, are drawn as they are at
        generation.
        """
        seed, every = self.todo.seed, processes() * records
        rows = on_device(chosen_records(len(self.labels), every, seed + stream, iteration), self.device)
        random = generator(seed, iteration, stream, self.device)
        y = with_patients_hidden(self.labels[rows], self.config.trainset_config.takes, random)
        own = slice(rank() * records, (rank() + 1) * records)
        if not isinstance(self.teacher, Transformer):
            return rows[own], y[own]
        if self.teacher.circumstances is not None:
            drawn = draw_for_training(self.teacher.circumstances, every, random)
            y = with_circumstances(self.teacher, y, origin([], []), drawn)
        return rows[own], self.teacher.full(y[own])

    def random(self, iteration: int, stream: int) -> torch.Generator:
        """Return a random generator with a seed of its own for each iteration, purpose and process."""
        return generator(self.todo.seed, iteration, stream + 100 * rank(), self.device)

    def clean(self, x: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """Compute x_0 (B, C, L) from x_t and the velocity, at steps t (B,)."""
        return self.levels.alpha[t][:, None, None] * x - self.levels.sigma[t][:, None, None] * v

    def noised(self, x0: Tensor, t: Tensor) -> Tensor:
        """Add new noise to x_0, which gives x_t (B, C, L) at steps t (B,)."""
        return add_noise(x0, t, torch.randn_like(x0), self.levels)

    @torch.no_grad()
    def trajectories(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Follow the teacher from noise x (B, 8, L): return states (N, B, 8, L) at the nodes, and ends (B, 8, L)."""
        steps = choose_steps(self.schedule, self.todo.teacher_steps, "trailing")
        steps = np.union1d(steps, self.nodes.cpu().numpy())[::-1].copy()
        table, row = unipc(self.schedule, steps), {int(t): i for i, t in enumerate(steps)}
        states: dict[int, Tensor] = {}
        nodes = set(self.nodes.tolist())
        velocity = self.guided(y, steps.tolist())

        def predict(x: Tensor, t: int) -> Tensor:
            if t in nodes:
                states[t] = x
            return velocity(x, row[t])

        end = run(table, v_denoiser(table, predict), x, lambda _: x)
        return torch.stack([states[t] for t in self.nodes.tolist()]), end

    def guided(self, y: Tensor, steps: list[int]) -> Callable[[Tensor, int], Tensor]:
        """Return the teacher's velocity at row i of the steps, under guidance; OutOfTime once the time is up."""
        conditional = bind(self.teacher, y, steps, length=self.length, dtype=self.dtype)
        strength = self.strength[torch.tensor(steps)].tolist()
        if set(strength) == {1.0}:
            return self._while_time(conditional)
        unconditional = bind(
            self.teacher, self.teacher.unconditional(y), steps, length=self.length, dtype=self.dtype
        )

        def predict(x: Tensor, i: int) -> Tensor:
            return under_guidance(conditional(x, i), unconditional(x, i), strength[i])

        return self._while_time(predict)

    def _while_time(self, predict: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
        """Return the function, which raises OutOfTime once the time is up."""

        def timed(x: Tensor, i: int) -> Tensor:
            if processes() == 1 and self.out_of_time:  # several have to stop together
                raise OutOfTime
            return predict(x, i)

        return timed


def rms(x: Tensor) -> Tensor:
    """Return the root mean square over all of x, a scalar above 0."""
    return x.square().mean().sqrt().clamp_min(1e-20)
