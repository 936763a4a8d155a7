"""The adapter to schedulers of diffusers, with schedulers that do almost nothing, so that each of its parts shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sssd.samplers.adapter import Scheduler, _generator, adapt, run_scheduler
from sssd.schedule import linear


class Adds:
    """Adds the network's prediction to x at each of two steps; its noise starts at a scale of 3."""

    timesteps = torch.tensor([9.0, 4.0])
    init_noise_sigma = 3.0

    def scale_model_input(self, x: Tensor, t: Tensor) -> Tensor:
        return x / 2

    def step(self, prediction: Tensor, t: Tensor, x: Tensor) -> Any:
        return SimpleNamespace(prev_sample=x + prediction)


def test_the_loop_over_a_scheduler() -> None:
    """Fails if the noise is not scaled, the input is not, or a step is not reported."""
    asked: list[tuple[float, int]] = []
    reported: list[tuple[int, float]] = []

    def net(x: Tensor, t: int) -> Tensor:
        asked.append((float(x), t))
        return torch.full_like(x, 10.0)

    out = run_scheduler(
        Scheduler("adds", Adds, (9, 4), {}), net, torch.full((1, 1, 1), 2.0), [(0, 0)],
        on_step=lambda i, x: reported.append((i, float(x))),
    )  # fmt: skip
    assert asked == [(3.0, 9), (8.0, 4)]
    assert reported == [(0, 16.0), (1, 26.0)] and float(out) == 26.0


def test_each_record_has_a_generator_of_its_own() -> None:
    """Fails if seeds are folded into so few that records meet."""
    seeds = {_generator(seed, index).initial_seed() for seed in range(20) for index in range(50)}
    assert len(seeds) == 1000


def test_a_scheduler_has_to_take_both_the_schedule_and_the_prediction() -> None:
    """Fails if one of the two is enough: the other would be ignored without a word."""

    class WithoutPrediction:
        config: dict[str, Any] = {}

        def __init__(self, trained_betas: Any = None) -> None: ...

    class WithoutBetas:
        config: dict[str, Any] = {}

        def __init__(self, prediction_type: Any = None) -> None: ...

    for scheduler in (WithoutPrediction(), WithoutBetas()):
        with pytest.raises(ValueError, match="cannot take this model's schedule"):
            adapt(scheduler, linear(), 5, "eps")
