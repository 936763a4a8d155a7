"""Lesson 1: where the teacher's trajectories end (Luhman and Luhman 2021; Song et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...models.denoiser import Denoiser
from ..batches import generator, learning_rate_factor
from ..loss import weighted_error
from .learner import Learner
from .school import School

CHUNK = 4096  # trajectories made at a time


def follow_trajectories(school: School, student: Denoiser, tell: Callable[[int, Tensor], None]) -> None:
    """Lesson 1: at each node of a trajectory of the teacher, the student's clean record is its end."""
    todo, iteration, chunk = school.todo, 0, 0
    learner = Learner(student, school.wrapped(student), school, momentum=0.9)

    def update(x: Tensor, y: Tensor, t: Tensor, end: Tensor) -> Tensor:
        found = school.clean(x, learner.call(x, y, t[:, None].float()), t)
        return learner.learn(weighted_error(found, end, school.at.x0_weight[t][:, None, None]))

    step = learner.repeatedly(update)
    while iteration < todo.trajectory_iters and not school.over:
        size = min(CHUNK, todo.batch_size * (todo.trajectory_iters - iteration))
        random = generator(todo.seed, chunk, 4, school.device)
        noise = torch.randn(size, 8, school.length, device=school.device, generator=random)
        y = school.conditions(chunk, size, 5)
        parts = [school.trajectories(y[i : i + 1024], noise[i : i + 1024]) for i in range(0, size, 1024)]
        states, ends = torch.cat([s for s, _ in parts], 1), torch.cat([e for _, e in parts])
        order = torch.randperm(size * todo.nodes, device=school.device, generator=random)
        for rows in order[: len(order) // todo.batch_size * todo.batch_size].split(todo.batch_size):
            if iteration == todo.trajectory_iters or school.over:
                break
            learner.rate(
                todo.learning_rate * learning_rate_factor(iteration, 50, todo.trajectory_iters, False)
            )
            node, record = rows // size, rows % size
            loss = step(states[node, record], y[record], school.nodes[node], ends[record])
            iteration += 1
            tell(iteration, loss)
        chunk += 1
    learner.settle()
