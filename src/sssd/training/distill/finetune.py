"""Stage 3 fine-tunes a student of one evaluation until its records have the features of recordings.

The losses of stage 2 hardly notice when the beats of one record differ, or when the signal between waves is not quiet.
The loss of this stage, `feature_distance`, sees nothing else. A second term keeps what the student makes of each noise
near what it made before. The stage takes minutes, even on a CPU.
The configuration calls it polish (`polish_iters`, `polish_rate`, `anchor`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from ...models.denoiser import Denoiser
from ..optimizer import learning_rate_factor
from .context import Distillation
from .features import feature_distance
from .trainer import Trainer

WARMUP = 10  # iterations
EMA_DECAY = 0.9  # the stage is short


def fine_tune(
    run: Distillation, student: Denoiser, recordings: Tensor, on_iteration: Callable[[int, Tensor], None]
) -> None:
    """Train the student, which has the averaged weights at the end.

    recordings (n, 8, L): on the network's scale, one for each of the run's labels. on_iteration: called with the
    iteration and its loss.
    """
    todo = run.todo
    trainer = Trainer(student, run.wrapped(student), run, momentum=0.0, ema_decay=EMA_DECAY)
    before = run.wrapped(copy.deepcopy(student).requires_grad_(False))
    t = run.nodes[:1].expand(todo.batch_size)
    steps = t[:, None].float()

    def update(true: Tensor, y: Tensor) -> Tensor:
        x = torch.randn_like(true)
        with torch.no_grad():
            first = run.clean(x, before(x, y, steps), t)
        x0 = run.clean(x, trainer.predict(x, y, steps), t)
        moved = ((x0 - first) ** 2).mean() / todo.data_std**2
        return trainer.step(feature_distance(true, x0) + todo.anchor * moved)

    step = trainer.repeated(update)
    for iteration in range(todo.polish_iters):
        if run.out_of_time:
            break
        rows, y = run.drawn(iteration, todo.batch_size, 12)
        factor = learning_rate_factor(iteration, WARMUP, todo.polish_iters, True)
        trainer.set_learning_rate(todo.polish_rate * factor)
        on_iteration(iteration + 1, step(recordings[rows], y))
    trainer.average.copy_to_network()
