"""Stage 1 trains the student to predict the ends of the teacher's trajectories.

It follows Luhman and Luhman 2021 and Song et al. 2023.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...loss import weighted_error
from ...models.denoiser import Denoiser
from ..batches import generator
from ..optimizer import learning_rate_factor
from .context import Distillation, OutOfTime
from .trainer import Trainer

CHUNK = 4096  # trajectories that are kept at a time
AT_ONCE = 1024  # trajectories that the teacher computes in one batch
WARMUP = 50  # iterations


def follow_trajectories(
    run: Distillation, student: Denoiser, on_iteration: Callable[[int, Tensor], None]
) -> None:
    """Train the student to predict, from each node of a trajectory of the teacher, the trajectory's end.

    At the end the student has the averaged weights. on_iteration: called with the iteration and its loss.
    """
    todo, iteration, chunk = run.todo, 0, 0
    trainer = Trainer(student, run.wrapped(student), run, momentum=0.9)

    def update(x: Tensor, y: Tensor, t: Tensor, end: Tensor) -> Tensor:
        x0 = run.clean(x, trainer.predict(x, y, t[:, None].float()), t)
        return trainer.step(weighted_error(x0, end, run.levels.x0_weight[t]))

    step = trainer.repeated(update)
    while iteration < todo.trajectory_iters and not run.out_of_time:
        size = min(CHUNK, todo.batch_size * (todo.trajectory_iters - iteration))
        random = generator(todo.seed, chunk, 4, run.device)
        noise = torch.randn(size, 8, run.length, device=run.device, generator=random)
        _, y = run.drawn(chunk, size, 5)
        try:
            parts = [
                run.trajectories(y[i : i + AT_ONCE], noise[i : i + AT_ONCE]) for i in range(0, size, AT_ONCE)
            ]
        except OutOfTime:
            break
        states, ends = torch.cat([s for s, _ in parts], 1), torch.cat([e for _, e in parts])
        order = torch.randperm(size * todo.nodes, device=run.device, generator=random)
        for rows in order[: len(order) // todo.batch_size * todo.batch_size].split(todo.batch_size):
            if iteration == todo.trajectory_iters or run.out_of_time:
                break
            factor = learning_rate_factor(iteration, WARMUP, todo.trajectory_iters, False)
            trainer.set_learning_rate(todo.learning_rate * factor)
            node, record = rows // size, rows % size
            loss = step(states[node, record], y[record], run.nodes[node], ends[record])
            iteration += 1
            on_iteration(iteration, loss)
        chunk += 1
    trainer.average.copy_to_network()
