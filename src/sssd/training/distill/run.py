"""Distils a transformer: both stages in one run, on one device or several, which goes on after an interruption.

    teacher -> trajectories.py -> dmd2.py -> model.safetensors, for 1, 2 and 4 evaluations alike

The state of a run is the student and how far it is. Critic and discriminator begin again where a run is resumed, as
they do at the start of the second stage.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checkpoints import compact, load_into, read_state, write_pickle
from ...config.schema import Config, DistillConfig
from ...factory import build_network
from ...models.transformer import Transformer
from ...scale import Scale
from ..batches import to_model_scale
from ..checkpoint import LAST, MODEL, save_model
from ..parallel import processes, rank, wait
from ..torch_state import training_state
from .adversary import Discriminator
from .context import Distillation, Distilled, StageProgress
from .dmd2 import Critic, match_recordings
from .resume import origin_of, read_state_of
from .trajectories import follow_trajectories

STAGES = "trajectories", "distribution matching"
REPORTED, SAVED = 50, 500  # iterations between two reports, and between two states on disk


def distil_transformer(
    config: Config,
    teacher: Path,
    labels: NDArray[np.float32],
    signal_mv: NDArray[np.float32] | None,
    out: Path,
    init: Path | None,
    device: torch.device,
    report: Callable[[StageProgress], None],
    until: float | None,
) -> Distilled:
    """Run both stages, or what is left of them, and write out/model.safetensors; see `distill`."""
    todo = config.distill_config
    assert todo is not None
    _check(todo)
    if signal_mv is None:
        raise ValueError("a transformer is distilled with recordings: give them (signal_mv)")
    out.mkdir(parents=True, exist_ok=True)
    with training_state(device):
        torch.manual_seed(todo.seed)

        def network(path: Path) -> Transformer:
            net = build_network(config)
            load_into(net, read_state(path)[0], str(path))
            assert isinstance(net, Transformer)
            return net.to(device)

        run = Distillation(config, network(teacher), torch.from_numpy(labels).to(device), until)
        student = network(init or teacher)
        origin = origin_of(config, run.teacher, student, labels)
        state = _State(out / LAST, origin, student, report)  # resumes a run
        x = torch.from_numpy(to_model_scale(signal_mv, config.trainset_config.lead_scale_mv)).to(device)
        recordings = Scale.of(config.trainset_config).emphasised(x)

        def first_stage(first: int) -> None:
            follow_trajectories(run, student, state.reporter(0, todo.trajectory_iters), first)

        def second_stage(first: int) -> None:
            torch.manual_seed(todo.seed)  # so that the discriminator begins alike in all processes
            critic, discriminator = Critic(network(teacher), run), Discriminator(network(teacher), run)
            on_iteration = state.reporter(1, todo.matching_iters)
            match_recordings(run, student, critic, discriminator, recordings, on_iteration, first)

        stages = (first_stage, todo.trajectory_iters), (second_stage, todo.matching_iters)
        for stage, (train, iterations) in enumerate(stages):
            if state.done(stage) < iterations:
                train(state.done(stage))
            if state.done(stage) < iterations:
                break  # the time is up
        if rank() == 0:
            state.save()
            save_model(out / MODEL, student, config)
        wait()
    ended = [state.done(stage) >= iterations for stage, (_, iterations) in enumerate(stages)]
    return Distilled(out / MODEL, sum(ended), len(ended))


class _State:
    """How far a run is, with its student; `last` holds both."""

    def __init__(
        self,
        last: Path,
        origin: Mapping[str, str],
        student: Transformer,
        report: Callable[[StageProgress], None],
    ) -> None:
        self.last, self.origin, self.student, self.report = last, origin, student, report
        self.stage, self.iteration, self.begun = 0, 0, time.monotonic()
        if (state := read_state_of(last, origin)) is not None:
            load_into(student, state["model_state_dict"], str(last))
            self.stage, self.iteration = state["stage"], state["iteration"]
            self.begun -= state["seconds"]

    def done(self, stage: int) -> int:
        """Return how many iterations of a stage are done."""
        if stage == self.stage:
            return self.iteration
        return 0 if stage > self.stage else sys.maxsize

    def reporter(self, stage: int, of: int) -> Callable[[int, Tensor], None]:
        """Return what a stage calls after each iteration. ValueError if the loss is no longer finite."""
        losses: list[Tensor] = []

        def on_iteration(iteration: int, loss: Tensor) -> None:
            self.stage, self.iteration = stage, iteration
            losses.append(loss)
            if iteration % REPORTED and iteration != of:
                return
            mean = float(torch.stack(losses).mean())
            losses.clear()
            if not np.isfinite(mean):
                raise ValueError(
                    f"the loss is no longer finite at iteration {iteration} of stage {STAGES[stage]!r}: lower the "
                    f"learning rates in distill_config; {self.last} holds the last good state"
                )
            if rank() > 0:
                return
            self.report(StageProgress(STAGES[stage], iteration, of, mean, time.monotonic() - self.begun))
            if iteration % SAVED == 0:
                self.save()

        return on_iteration

    def save(self) -> None:
        """Write the state, whose weights are in float16 as those of the model."""
        state = {
            "origin": dict(self.origin),
            "stage": self.stage,
            "iteration": self.iteration,
            "seconds": time.monotonic() - self.begun,
            "model_state_dict": compact(self.student.state_dict()),
        }
        write_pickle(self.last, state)


def _check(todo: DistillConfig) -> None:
    """ValueError if the configuration asks for what a transformer's distillation does not do."""
    expected = {"adversary_recordings": 1.0, "share": 1.0, "beats": 0.0, "polish_iters": 0}
    for name, value in expected.items():
        if getattr(todo, name) != value:
            raise ValueError(
                f"distill_config.{name} is {getattr(todo, name)}: expected {value:g} for a transformer, as in "
                "config/few-step.json"
            )
    if todo.batch_size % processes():
        raise ValueError(
            f"distill_config.batch_size is {todo.batch_size}: expected a multiple of the {processes()} devices"
        )
