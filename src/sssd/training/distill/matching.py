"""Lesson 2: records as likely as the teacher's (Yin et al. 2024a, distribution matching; 2024b, with an adversary)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...models.denoiser import Denoiser
from ..batches import chosen_records, learning_rate_factor
from ..loss import noisy, weighted_error
from .adversary import Adversary, Records, away, verdict
from .learner import Learner
from .school import School
from .views import unlike

EDGE = 0.02  # of the schedule at both ends, where distributions are not compared
HEADSTART = 100  # iterations of an adversary before the student listens to it


class Pool:
    """Records on their way through the student's nodes: where each batch of lesson 2 comes from.

    A row holds a record that was predicted at the node before, noised again to its own; after the last node it begins
    anew, as noise and with other labels. So the student meets its own errors, at the price of no evaluation. `true`:
    beside each row a true record with the same labels, where there is an adversary.
    """

    def __init__(self, school: School, y: Tensor, true: Tensor | None = None) -> None:
        size, device = school.todo.batch_size, school.device
        self.school, self.y = school, y.clone()
        self.true = None if true is None else true.clone()
        self.node = torch.arange(size, device=device) % school.todo.nodes
        self.x = torch.randn(size, 8, school.length, device=device)

    def advance(self, x0: Tensor, y: Tensor, true: Tensor | None = None) -> None:
        """Rows go on to their next nodes from what was predicted, x0 (B, 8, L), or begin anew with labels y (B, K)."""
        node = self.node + 1
        done = node == len(self.school.nodes)
        node = torch.where(done, 0, node)
        x = self.school.noised(x0, self.school.nodes[node])
        self.x.copy_(torch.where(done[:, None, None], torch.randn_like(x), x))
        self.y.copy_(torch.where(done[:, None], y, self.y))
        if self.true is not None and true is not None:
            self.true.copy_(torch.where(done[:, None, None], true, self.true))
        self.node.copy_(node)


def match_distributions(
    school: School,
    student: Denoiser,
    critic: Denoiser,
    tell: Callable[[int, Tensor], None],
    adversary: Adversary | None = None,
    records: Records | None = None,
) -> None:
    """Lesson 2: the student's records, noised again, are as likely as the teacher's (Yin et al. 2024a, eq. 7).

    adversary: with true records, the teacher's or recordings, sees what denoisers average away. Beside its true
    records the student's stand in the loss on wholes too (`beats`), where there is one.
    """
    todo, teacher, device = school.todo, school.wrapped(school.teacher), school.device
    learner, judge = (Learner(net, school.wrapped(net), school, momentum=0.0) for net in (student, critic))
    T = school.schedule.T
    low, high = round(EDGE * T), round((1 - EDGE) * T)

    def batch(k: int) -> tuple[Tensor, ...]:
        """Labels for rows that begin anew, with true records of them for an adversary."""
        if records is None:
            return (school.conditions(k, todo.batch_size, 7),)
        rows = chosen_records(len(records.x), todo.batch_size, todo.seed + 11, k).to(device)
        return records.y[rows], records.x[rows].float()

    pool = (
        Pool(school, *batch(0))
        if records is not None
        else Pool(school, school.conditions(0, todo.batch_size, 8))
    )

    def predicted() -> Tensor:
        t = school.nodes[pool.node]
        return school.clean(pool.x, learner.call(pool.x, pool.y, t[:, None].float()), t)

    def level() -> Tensor:
        return torch.randint(low, high, (todo.batch_size,), device=device)

    def criticise(*new: Tensor) -> Tensor:
        """The critic learns to denoise what the student makes."""
        with torch.no_grad():
            x0 = predicted()
        t = level()
        x_t, target, weight = noisy(x0, t, torch.randn_like(x0), school.at)
        loss = weighted_error(judge.call(x_t, pool.y, t[:, None].float()), target, weight)
        loss = judge.learn(loss)
        with torch.no_grad():
            pool.advance(x0, *new)
        return loss

    def oppose(*new: Tensor) -> Tensor:
        """The adversary learns to tell the student's records from true ones."""
        assert opponent is not None and adversary is not None and pool.true is not None
        with torch.no_grad():
            x0 = predicted()
        loss = opponent.learn(verdict(adversary, school, pool.true, x0, pool.y))
        with torch.no_grad():
            pool.advance(x0, *new)
        return loss

    def improve(*new: Tensor) -> Tensor:
        """The student's records move to where the teacher finds them more likely than the critic does."""
        x0 = predicted()
        with torch.no_grad():
            t = level()
            x_t, column = school.noised(x0, t), t[:, None].float()
            told = teacher(x_t, pool.y, column)
            if todo.guidance != 1:
                untold = teacher(x_t, torch.zeros_like(pool.y), column)
                told = untold + todo.guidance * (told - untold)
            real = school.clean(x_t, told, t)
            fake = school.clean(x_t, judge.call(x_t, pool.y, column), t)
            direction = (fake - real) / (x0 - real).abs().mean(dim=(1, 2), keepdim=True)  # eq. 8
        if adversary is not None and pool.true is not None:
            other = away(adversary, school, pool.true, x0, pool.y)
            direction = direction / _size(direction) + todo.adversary * other / _size(other)
        target = (x0 - todo.data_std * direction).detach()
        loss = 0.5 * ((x0 - target) ** 2).mean() / todo.data_std**2
        if todo.beats and pool.true is not None:
            loss = loss + todo.beats * unlike(pool.true, x0)
        loss = learner.learn(loss)
        with torch.no_grad():
            pool.advance(x0, *new)
        return loss

    opponent = None if adversary is None else Learner(adversary, adversary, school, momentum=0.0)
    criticising, improving = judge.repeatedly(criticise), learner.repeatedly(improve)
    opposing = None if opponent is None else opponent.repeatedly(oppose)
    if opponent is not None:
        opponent.rate(todo.adversary_rate)
    judge.rate(todo.critic_rate)
    ahead = 0 if opposing is None else HEADSTART
    turns = todo.critic_steps + 1 + (opposing is not None)
    for iteration in range(-ahead, todo.matching_iters):
        if school.over:
            break
        first = turns * (iteration + ahead)
        for k in range(first, first + todo.critic_steps):
            criticising(*batch(k))
        if opposing is not None:
            opposing(*batch(first + todo.critic_steps))
        if iteration < 0:
            continue
        learner.rate(todo.matching_rate * learning_rate_factor(iteration, 50, todo.matching_iters, True))
        tell(iteration + 1, improving(*batch(first + turns - 1)))
    learner.settle()


def _size(x: Tensor) -> Tensor:
    """Root mean square of all of it, a scalar above 0."""
    return x.square().mean().sqrt().clamp_min(1e-20)
