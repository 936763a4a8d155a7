"""Stage 1 trains the student to predict the ends of the teacher's trajectories.

It follows Luhman and Luhman 2021 and Song et al. 2023.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...loss import weighted_error
from ...models.network import Network
from ..optimizer import learning_rate_factor
from ..parallel import processes
from .context import Distillation, OutOfTime
from .trainer import Trainer

CHUNK = 4096  # trajectories that are kept at a time
AT_ONCE = 1024  # trajectories that the teacher computes in one batch
WARMUP = 50  # iterations


def follow_trajectories(
    run: Distillation, student: Network, on_iteration: Callable[[int, Tensor], None], first: int = 0
) -> None:
    """Train the student to predict, from each node of a trajectory of the teacher, the trajectory's end.

    At the end the student has the averaged weights. on_iteration: called with the iteration and its loss.
    first: the iteration to go on from.
    """
    todo, iteration, nodes = run.todo, first, len(run.nodes)
    trainer = Trainer(student, run.wrapped(student), run, momentum=0.9)

    def update(x: Tensor, y: Tensor, t: Tensor, end: Tensor) -> Tensor:
        x0 = run.clean(x, trainer.predict(x, y, t[:, None].float()), t)
        return trainer.step(weighted_error(x0, end, run.levels.x0_weight[t]))

    step = trainer.repeated(update)
    while iteration < todo.trajectory_iters and not run.stops(iteration):
        size = min(CHUNK // processes(), run.batch * (todo.trajectory_iters - iteration))
        random = run.random(iteration, 4)
        noise = torch.randn(size, 8, run.length, device=run.device, generator=random)
        _, y = run.drawn(iteration, size, 5)
        try:
            parts = [
                run.trajectories(y[i : i + AT_ONCE], noise[i : i + AT_ONCE]) for i in range(0, size, AT_ONCE)
            ]
        except OutOfTime:
            break
        states, ends = torch.cat([s for s, _ in parts], 1), torch.cat([e for _, e in parts])
        order = torch.randperm(size * nodes, device=run.device, generator=random)
        for rows in order[: len(order) // run.batch * run.batch].split(run.batch):
            if iteration == todo.trajectory_iters or run.stops(iteration):
                break
            factor = learning_rate_factor(iteration, WARMUP, todo.trajectory_iters, False)
            trainer.set_learning_rate(todo.learning_rate * factor)
            node, record = rows // size, rows % size
            loss = step(states[node, record], y[record], run.nodes[node], ends[record])
            iteration += 1
            on_iteration(iteration, loss)
    trainer.average.copy_to_network()
