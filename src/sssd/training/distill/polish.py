"""Lesson 3, polish: the student's records of one evaluation become more like recordings, by `views.unlike`.

Denoisers and adversary see much, and weigh it as they will: that beats of one record are alike and that quiet stretches
are quiet costs them little. This loss sees nothing else, and an anchor keeps what the student makes of each noise near
what it made before. It takes minutes, on a CPU too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from ...models.denoiser import Denoiser
from ..batches import learning_rate_factor
from .learner import Learner
from .school import School
from .views import unlike

WARMUP = 10  # iterations
DECAY = 0.9  # of the averaged weights: the lesson is short


def polish(
    school: School, student: Denoiser, recordings: Tensor, tell: Callable[[int, Tensor], None]
) -> None:
    """Change the student, whose weights become the averaged ones. recordings (n, 8, L) on the network's scale, one for
    each of the school's labels."""
    todo = school.todo
    learner = Learner(student, school.wrapped(student), school, momentum=0.0)
    learner.decay = DECAY
    before = school.wrapped(copy.deepcopy(student).requires_grad_(False))
    t = school.nodes[:1].expand(todo.batch_size)
    column = t[:, None].float()

    def improve(true: Tensor, y: Tensor) -> Tensor:
        x = torch.randn_like(true)
        with torch.no_grad():
            first = school.clean(x, before(x, y, column), t)
        x0 = school.clean(x, learner.call(x, y, column), t)
        moved = ((x0 - first) ** 2).mean() / todo.data_std**2
        return learner.learn(unlike(true, x0) + todo.anchor * moved)

    improving = learner.repeatedly(improve)
    for iteration in range(todo.polish_iters):
        if school.over:
            break
        rows, y = school.drawn(iteration, todo.batch_size, 12)
        learner.rate(todo.polish_rate * learning_rate_factor(iteration, WARMUP, todo.polish_iters, True))
        tell(iteration + 1, improving(recordings[rows], y))
    learner.settle()
