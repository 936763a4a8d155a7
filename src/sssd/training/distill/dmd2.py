"""Stage 2 for a transformer: distribution matching (DMD2, Yin et al. 2024b) with a discriminator that sees recordings.

Two things move a record of the student. Two denoisers say where the teacher finds it more likely than a critic does,
which is trained on the student's records (Yin et al. 2024a, eq. 7 and 8); this keeps what was asked for and the variety
of the teacher. The teacher is not guided here: guidance would enlarge even records that are like recordings. The
discriminator (adversary.py) says where a recording would differ; this corrects what teacher and denoisers average away:
amplitudes, fine noise, beats that differ. Each is scaled to the same root mean square, and they are added.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...loss import denoising_loss
from ...models.transformer import Transformer
from ..batches import seed_of
from ..optimizer import learning_rate_factor
from ..parallel import rank
from .adversary import Discriminator, adversarial_gradient, discriminator_loss
from .context import Distillation, rms
from .trainer import Trainer

EDGE = 0.05  # of the schedule, at both of its ends, where distributions are not compared
HEADSTART = 100  # iterations in which critic and discriminator are trained before the student uses them
WARMUP = 50  # iterations


class Critic(nn.Module):
    """Denoises the student's records x (B, 8, L) of conditions y (B, K), nodes (B,) and steps (B, 1).

    It is told the node, as a shift of the conditions that starts as zero. Otherwise it would know the records of all
    nodes together, among which small ones of one node make up for large ones of another.
    """

    def __init__(self, net: Transformer, run: Distillation) -> None:
        super().__init__()
        self.body = run.wrapped(net)
        self.of_node = nn.Parameter(torch.zeros(len(run.nodes), net.columns, device=run.device))

    def forward(self, x: Tensor, y: Tensor, node: Tensor, steps: Tensor) -> Tensor:
        velocity: Tensor = self.body(x, y + self.of_node[node], steps)
        return velocity


class Pool:
    """Holds records on their way through the student's nodes, which are the batches of this stage.

    A row holds a record that the student predicted at the node before, noised again for its own node. So the student
    is trained on its own errors, as in generation, which costs no further evaluation (Yin et al. 2024b, sec. 4.5). A
    row goes from noise to the last node with N evaluations, then with N / 2, and so on (`visits`). Each time it starts
    with new conditions y (B, K) and a new recording `true` (B, 8, L) of the same statements and patient.
    """

    def __init__(self, run: Distillation, y: Tensor, true: Tensor) -> None:
        self.run, self.y, self.true = run, y.clone(), true.clone()
        self.visits = torch.tensor(visits(len(run.nodes)), device=run.device)
        self.at = torch.arange(len(y), device=run.device) % len(self.visits)
        self.x = torch.randn_like(true)

    @property
    def node(self) -> Tensor:
        """(B,) the node of each row, 0 for the noisiest."""
        return self.visits[self.at]

    @property
    def t(self) -> Tensor:
        """(B,) its step."""
        return self.run.nodes[self.node]

    def advance(self, x0: Tensor, y: Tensor, true: Tensor) -> None:
        """Move the rows to their next nodes from predictions x0 (B, 8, L); those that start over take y and true."""
        self.at.copy_((self.at + 1) % len(self.visits))
        x, starts = self.run.noised(x0, self.t), self.node == 0
        self.x.copy_(torch.where(starts[:, None, None], torch.randn_like(x), x))
        self.y.copy_(torch.where(starts[:, None], y, self.y))
        self.true.copy_(torch.where(starts[:, None, None], true, self.true))


def visits(nodes: int) -> list[int]:
    """Return the nodes of one run with as many evaluations as there are nodes, one with half as many, and so on.

    The last of them has two evaluations, whose first is also that of a single evaluation: [0, 1, 2, 3, 0, 2] for four.
    """
    runs, stride = list(range(nodes)), 2
    while stride < nodes and nodes % stride == 0:
        runs += range(0, nodes, stride)
        stride *= 2
    return runs


def match_recordings(
    run: Distillation,
    student: Transformer,
    critic: Critic,
    discriminator: Discriminator,
    recordings: Tensor,
    on_iteration: Callable[[int, Tensor], None],
    first: int = 0,
) -> None:
    """Train the student, which has the averaged weights at the end.

    critic: begins as a copy of the teacher. recordings (n, 8, L): on the network's scale, one for each of the run's
    labels. on_iteration: called with the iteration and, as the loss, the mean square of what the denoisers differ by
    (eq. 8). first: the iteration to go on from, with a new critic and discriminator.
    """
    todo, teacher = run.todo, run.wrapped(run.teacher)
    generator = Trainer(student, run.wrapped(student), run, momentum=0.0)
    denoiser, judge = (Trainer(net, net, run, momentum=0.0) for net in (critic, discriminator))
    low, high = round(EDGE * run.schedule.T), round((1 - EDGE) * run.schedule.T)

    def batch(k: int) -> tuple[Tensor, Tensor]:
        """Draw conditions for the rows that start over, and recordings of the same statements and patients."""
        rows, y = run.drawn(k, run.batch, 7)
        return y, recordings[rows]

    pool = Pool(run, *batch(0))

    def predicted() -> Tensor:
        return run.clean(pool.x, generator.predict(pool.x, pool.y, pool.t[:, None].float()), pool.t)

    def random_steps() -> Tensor:
        return torch.randint(low, high, (run.batch,), device=run.device)

    def train_critic(*new: Tensor) -> Tensor:
        with torch.no_grad():
            x0 = predicted()
        z, t = torch.randn_like(x0), random_steps()

        def denoise(x: Tensor, y: Tensor, steps: Tensor) -> Tensor:
            return critic(x, y, pool.node, steps)

        loss = denoiser.step(denoising_loss(denoise, x0, pool.y, t, z, run.levels))
        pool.advance(x0, *new)
        return loss

    def train_discriminator(*new: Tensor) -> Tensor:
        with torch.no_grad():
            x0 = predicted()
        loss = judge.step(discriminator_loss(discriminator, run, pool.true, x0, pool.y, pool.node))
        pool.advance(x0, *new)
        return loss

    def train_student(*new: Tensor) -> Tensor:
        x0 = predicted()
        with torch.no_grad():
            t = random_steps()
            x_t, steps = run.noised(x0, t), t[:, None].float()
            real = run.clean(x_t, teacher(x_t, pool.y, steps), t)
            fake = run.clean(x_t, critic(x_t, pool.y, pool.node, steps), t)
            direction = (fake - real) / (x0 - real).abs().mean(dim=(1, 2), keepdim=True)  # eq. 8
        gradient = adversarial_gradient(discriminator, run, pool.true, x0, pool.y, pool.node)
        move = direction / rms(direction) + todo.adversary * gradient / rms(gradient)
        generator.step((x0 * move).mean() / todo.data_std)  # its gradient in x0 is the move
        with torch.no_grad():
            pool.advance(x0, *new)
        return direction.square().mean()

    step_critic, step_judge, step_student = (
        trainer.repeated(update)
        for trainer, update in (
            (denoiser, train_critic),
            (judge, train_discriminator),
            (generator, train_student),
        )
    )
    denoiser.set_learning_rate(todo.critic_rate)
    judge.set_learning_rate(todo.adversary_rate)
    each = todo.critic_steps + 2
    for iteration in range(first - HEADSTART, todo.matching_iters):
        if run.stops(iteration):
            break
        torch.manual_seed(seed_of(todo.seed, iteration + HEADSTART, 20 + rank()))
        k = each * (iteration + HEADSTART)
        for i in range(todo.critic_steps):
            step_critic(*batch(k + i))
        step_judge(*batch(k + todo.critic_steps))
        if iteration < first:
            continue
        factor = learning_rate_factor(iteration, WARMUP, todo.matching_iters, True)
        generator.set_learning_rate(todo.matching_rate * factor)
        on_iteration(iteration + 1, step_student(*batch(k + each - 1)))
    generator.average.copy_to_network()
