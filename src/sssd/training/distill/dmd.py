"""Stage 2: distribution matching distillation (DMD; Yin et al. 2024a), and with a discriminator (Yin et al. 2024b)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...loss import denoising_loss
from ...models.denoiser import Denoiser
from ..batches import chosen_records, on_device
from ..guidance import under_guidance
from ..optimizer import learning_rate_factor
from .context import Distillation, rms
from .discriminator import Discriminator, TrueRecords, adversarial_gradient, discriminator_loss
from .features import feature_distance
from .trainer import Trainer

EDGE = 0.02  # of the schedule, at both of its ends, where distributions are not compared
HEADSTART = 100  # iterations in which the discriminator is trained before the student uses it
WARMUP = 50  # iterations


class Pool:
    """Holds records on their way through the student's nodes, which are the batches of this stage.

    A row holds a record that the student predicted at the node before, noised again for its own node. After the last
    node it starts over, as noise and with other labels. So the student is trained on its own errors, which costs no
    further evaluation. `true` holds a true record with the same labels for each row, if there is a discriminator.
    """

    def __init__(self, run: Distillation, y: Tensor, true: Tensor | None = None) -> None:
        size, device = run.todo.batch_size, run.device
        self.run, self.y = run, y.clone()
        self.true = None if true is None else true.clone()
        self.node = torch.arange(size, device=device) % run.todo.nodes
        self.x = torch.randn(size, 8, run.length, device=device)

    def advance(self, x0: Tensor, y: Tensor, true: Tensor | None = None) -> None:
        """Move the rows to their next nodes from predictions x0 (B, 8, L), or start them over with labels y (B, K)."""
        node = self.node + 1
        done = node == len(self.run.nodes)
        node = torch.where(done, 0, node)
        x = self.run.noised(x0, self.run.nodes[node])
        self.x.copy_(torch.where(done[:, None, None], torch.randn_like(x), x))
        self.y.copy_(torch.where(done[:, None], y, self.y))
        if self.true is not None and true is not None:
            self.true.copy_(torch.where(done[:, None, None], true, self.true))
        self.node.copy_(node)


def match_distributions(
    run: Distillation,
    student: Denoiser,
    critic: Denoiser,
    on_iteration: Callable[[int, Tensor], None],
    discriminator: Discriminator | None = None,
    true_records: TrueRecords | None = None,
) -> None:
    """Train the student until its records, noised again, are as likely as the teacher's (Yin et al. 2024a, eq. 7).

    At the end the student has the averaged weights. critic: a copy of the teacher that learns to denoise the student's
    records. discriminator: given together with the true records that it compares the student's with; the loss on
    features (`beats`) compares with them too. on_iteration: called with the iteration and its loss.
    """
    todo, teacher, device = run.todo, run.wrapped(run.teacher), run.device
    student_trainer, critic_trainer = (
        Trainer(net, run.wrapped(net), run, momentum=0.0) for net in (student, critic)
    )
    T = run.schedule.T
    low, high = round(EDGE * T), round((1 - EDGE) * T)

    def batch(k: int) -> tuple[Tensor, ...]:
        """Draw labels for the rows that start over, and for a discriminator true records with these labels."""
        if true_records is None:
            return (run.drawn(k, todo.batch_size, 7)[1],)
        rows = on_device(chosen_records(len(true_records.x), todo.batch_size, todo.seed + 11, k), device)
        return true_records.y[rows], true_records.x[rows].float()

    first = batch(0) if true_records is not None else (run.drawn(0, todo.batch_size, 8)[1],)
    pool = Pool(run, *first)

    def predicted() -> Tensor:
        t = run.nodes[pool.node]
        return run.clean(pool.x, student_trainer.predict(pool.x, pool.y, t[:, None].float()), t)

    def random_steps() -> Tensor:
        return torch.randint(low, high, (todo.batch_size,), device=device)

    def train_critic(*new: Tensor) -> Tensor:
        with torch.no_grad():
            x0 = predicted()
        t = random_steps()
        z = torch.randn_like(x0)
        loss = critic_trainer.step(denoising_loss(critic_trainer.predict, x0, pool.y, t, z, run.levels))
        with torch.no_grad():
            pool.advance(x0, *new)
        return loss

    def train_discriminator(*new: Tensor) -> Tensor:
        assert discriminator_trainer is not None and discriminator is not None and pool.true is not None
        with torch.no_grad():
            x0 = predicted()
        loss = discriminator_trainer.step(discriminator_loss(discriminator, run, pool.true, x0, pool.y))
        with torch.no_grad():
            pool.advance(x0, *new)
        return loss

    def train_student(*new: Tensor) -> Tensor:
        """Move the student's records to where the teacher finds them more likely than the critic does."""
        x0 = predicted()
        with torch.no_grad():
            t = random_steps()
            x_t, steps = run.noised(x0, t), t[:, None].float()
            v = teacher(x_t, pool.y, steps)
            if todo.guidance != 1:
                unconditional = teacher(x_t, torch.zeros_like(pool.y), steps)
                v = under_guidance(v, unconditional, run.strength[t][:, None, None])
            real = run.clean(x_t, v, t)
            fake = run.clean(x_t, critic_trainer.predict(x_t, pool.y, steps), t)
            direction = (fake - real) / (x0 - real).abs().mean(dim=(1, 2), keepdim=True)  # eq. 8
        if discriminator is not None and pool.true is not None:
            gradient = adversarial_gradient(discriminator, run, pool.true, x0, pool.y)
            direction = direction / rms(direction) + todo.adversary * gradient / rms(gradient)
        target = (x0 - todo.data_std * direction).detach()
        loss = 0.5 * ((x0 - target) ** 2).mean() / todo.data_std**2
        if todo.beats and pool.true is not None:
            loss = loss + todo.beats * feature_distance(pool.true, x0)
        loss = student_trainer.step(loss)
        with torch.no_grad():
            pool.advance(x0, *new)
        return loss

    discriminator_trainer = None
    step_discriminator = None
    if discriminator is not None:
        discriminator_trainer = Trainer(discriminator, discriminator, run, momentum=0.0)
        discriminator_trainer.set_learning_rate(todo.adversary_rate)
        step_discriminator = discriminator_trainer.repeated(train_discriminator)
    step_critic, step_student = (
        critic_trainer.repeated(train_critic),
        student_trainer.repeated(train_student),
    )
    critic_trainer.set_learning_rate(todo.critic_rate)
    headstart = 0 if step_discriminator is None else HEADSTART
    steps_each = todo.critic_steps + 1 + (step_discriminator is not None)
    for iteration in range(-headstart, todo.matching_iters):
        if run.out_of_time:
            break
        k = steps_each * (iteration + headstart)
        for i in range(todo.critic_steps):
            step_critic(*batch(k + i))
        if step_discriminator is not None:
            step_discriminator(*batch(k + todo.critic_steps))
        if iteration < 0:
            continue
        factor = learning_rate_factor(iteration, WARMUP, todo.matching_iters, True)
        student_trainer.set_learning_rate(todo.matching_rate * factor)
        on_iteration(iteration + 1, step_student(*batch(k + steps_each - 1)))
    student_trainer.average.copy_to_network()
