"""Few-step students: a network asked at 1, 2 or 4 noise levels, taught by the same network asked at many.

    labels ─▶ trajectories of the teacher ─▶ student ends where they end ─▶ student's records as likely as the teacher's

The student starts as its teacher and is sampled by `consistency`. Two lessons:

1. Trajectories (Luhman and Luhman 2021; Song et al. 2023): from every level of a deterministic trajectory of the
   teacher the student's clean record is to be its end. Quick, but the mean of several possible ends is none of them.
2. Distributions (Yin et al. 2024, distribution matching): noised again, what the student makes is to be as likely as
   under the teacher. The difference of two denoisers tells the direction: the teacher, and a critic that is trained on
   the student's records as they become.

The second lesson overshoots: amplitudes grow from node to node, because a teacher under guidance is no denoiser of any
distribution. The first falls short of them. So what ships lies on the line between the weights after the two (`share`).

Both need labels only, no recordings. Shapes: B records, K conditions, N nodes (the student's levels), T steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoint import load_into, read_state
from ..config.schema import Config
from ..device import choose_device
from ..engine.bound import bind
from ..factory import build_network, build_schedule
from ..models.denoiser import Denoiser
from ..samplers import run, unipc, v_denoiser
from ..schedule import Schedule, choose_steps
from .batches import chosen_records, generator, hidden, learning_rate_factor
from .loop import TrainingNet, save_model
from .loss import Levels, levels, noisy, weighted_error
from .step import recorded

CHUNK = 4096  # trajectories made at a time
EDGE = 0.02  # of the schedule at both ends, where distributions are not compared


@dataclass(frozen=True)
class Lesson:
    """What is reported: which lesson, its iteration and how many it has, its mean loss since the last report."""

    name: str
    iteration: int
    of: int
    loss: float
    seconds: float


def distill(
    config: Config,
    teacher: Path,
    labels: NDArray[np.float32],
    out: Path,
    *,
    device: str | None = None,
    report: Callable[[Lesson], None] = lambda _: None,
    until: float | None = None,
) -> Path:
    """Distil the network in `teacher` as config.distill_config says and write out/model.safetensors.

    labels (n, K): the conditions that records are made for, drawn at random; config is the student's, with the network
    and the schedule of the teacher. `until` ends the lessons at that time.monotonic(). ValueError where network and
    teacher differ, or the network does not predict the velocity.
    """
    todo, chosen = config.distill_config, choose_device(device)
    if todo is None:
        raise ValueError("the configuration has no distill_config: start from config/distill.json")
    torch.manual_seed(todo.seed)
    torch.set_float32_matmul_precision("high")
    state, _ = read_state(teacher)
    nets = [build_network(config, empty=True) for _ in range(3)]
    for net in nets:
        load_into(net, state, str(teacher))
        net.to(chosen)
    master, student, critic = nets
    if not master.velocity:
        raise ValueError(
            f"{teacher} predicts the noise: only networks that predict the velocity can be distilled"
        )
    school = School(config, master, torch.from_numpy(labels).to(chosen), until)
    begun = time.monotonic()

    def told(name: str, of: int, every: int = 50) -> Callable[[int, Tensor], None]:
        losses: list[Tensor] = []

        def tell(iteration: int, loss: Tensor) -> None:
            losses.append(loss)
            if iteration % every == 0 or iteration == of:
                mean = float(torch.stack(losses).mean())
                losses.clear()
                if not np.isfinite(mean):
                    raise ValueError(
                        f"the loss is no longer finite at iteration {iteration} ({name}): lower the rates"
                    )
                report(Lesson(name, iteration, of, mean, time.monotonic() - begun))

        return tell

    if todo.trajectory_iters:
        follow_trajectories(school, student, told("trajectories", todo.trajectory_iters))
    if todo.matching_iters:
        before = [p.detach().clone() for p in student.parameters()]
        match_distributions(school, student, critic, told("distributions", todo.matching_iters))
        with torch.no_grad():
            for p, first in zip(student.parameters(), before, strict=True):
                p.copy_(torch.lerp(first, p, todo.share))
    out.mkdir(parents=True, exist_ok=True)
    return save_model(out / "model.safetensors", student, config)


class School:
    """What both lessons share: the teacher, the labels, the levels and the student's nodes."""

    def __init__(self, config: Config, teacher: Denoiser, labels: Tensor, until: float | None = None) -> None:
        assert config.distill_config is not None
        self.until = until
        self.todo, self.config, self.labels = config.distill_config, config, labels
        self.schedule: Schedule = build_schedule(config)
        self.device, self.length = labels.device, config.trainset_config.segment_length
        self.precision = "bf16" if self.device.type == "cuda" else "float32"
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.teacher = teacher.eval()
        self.at: Levels = levels(
            self.schedule, velocity=True, data_std=self.todo.data_std, device=self.device
        )
        nodes = choose_steps(self.schedule, self.todo.nodes, "trailing").tolist()
        self.nodes = torch.tensor(nodes, device=self.device)  # (N,), the noisiest first

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.until is not None and time.monotonic() > self.until

    def wrapped(self, net: Denoiser) -> TrainingNet:
        """The network as training calls it."""
        wrapped = TrainingNet(net, self.length, self.precision, toeplitz=self.device.type == "cuda")
        return wrapped.to(self.device).eval()  # no dropout

    def conditions(self, iteration: int, records: int, stream: int) -> Tensor:
        """(B, K) drawn from the labels, age and sex unknown in half of them where there are any."""
        chosen = chosen_records(len(self.labels), records, self.todo.seed + stream, iteration)
        y = self.labels[chosen.to(self.device)]
        if self.config.trainset_config.patient:
            y = hidden(y, generator(self.todo.seed, iteration, stream, self.device))
        return y

    def clean(self, x: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """x_0 from x_t and the velocity, (B, C, L), at steps t (B,)."""
        alpha, sigma = self.at.alpha[t][:, None, None], self.at.sigma[t][:, None, None]
        return alpha * x - sigma * v

    def noised(self, x0: Tensor, t: Tensor) -> Tensor:
        """x_t (B, C, L) of x_0 with new noise, at steps t (B,)."""
        alpha, sigma = self.at.alpha[t][:, None, None], self.at.sigma[t][:, None, None]
        return alpha * x0 + sigma * torch.randn_like(x0)

    @torch.no_grad()
    def trajectories(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """States (N, B, 8, L) at the nodes, and ends (B, 8, L), of the teacher's trajectories from noise x."""
        steps = choose_steps(self.schedule, self.todo.teacher_steps, "trailing")
        steps = np.union1d(steps, self.nodes.cpu().numpy())[::-1].copy()
        table, row = unipc(self.schedule, steps), {int(t): i for i, t in enumerate(steps)}
        states: dict[int, Tensor] = {}
        nodes = set(self.nodes.tolist())
        guided = self.guided(y, steps.tolist())

        def predict(x: Tensor, t: int) -> Tensor:
            if t in nodes:
                states[t] = x
            return guided(x, row[t])

        end = run(table, v_denoiser(table, predict), x, lambda _: x)
        return torch.stack([states[t] for t in self.nodes.tolist()]), end

    def guided(self, y: Tensor, steps: list[int]) -> Callable[[Tensor, int], Tensor]:
        """The teacher's velocity at row i of steps, away from what it says without labels (Ho and Salimans 2022)."""
        told = bind(self.teacher, y, steps, length=self.length, dtype=self.dtype)
        w = self.todo.guidance
        if w == 1:
            return told
        untold = bind(self.teacher, torch.zeros_like(y), steps, length=self.length, dtype=self.dtype)

        def predict(x: Tensor, i: int) -> Tensor:
            v, without = told(x, i), untold(x, i)
            return without + w * (v - without)

        return predict


class Learner:
    """A network that learns: as training calls it, its optimizer, its averaged weights."""

    def __init__(self, net: Denoiser, school: School, *, momentum: float) -> None:
        self.device = school.device
        self.wrapped = school.wrapped(net)
        self.parameters = list(net.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        cuda = self.device.type == "cuda"
        rate: Any = torch.tensor(0.0, device=self.device) if cuda else 0.0
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=rate, betas=(momentum, 0.99), fused=cuda, capturable=cuda
        )
        self.decay = school.todo.ema_decay

    def rate(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = value

    def learn(self, loss: Tensor) -> Tensor:
        """One step of Adam and of the average."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - self.decay)
        return loss.detach()

    def settle(self) -> None:
        """The averaged weights become the network's."""
        with torch.no_grad():
            torch._foreach_copy_([p.detach() for p in self.parameters], self.average)

    def repeatedly(self, update: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """`update`, which calls `learn`: on a GPU as a graph."""
        if self.device.type == "cuda":
            graph = recorded(update, self.optimizer)
            return lambda *inputs: graph(inputs)

        def eager(*inputs: Tensor) -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            return update(*inputs)

        return eager


def follow_trajectories(school: School, student: Denoiser, tell: Callable[[int, Tensor], None]) -> None:
    """Lesson 1: at each node of a trajectory of the teacher, the student's clean record is its end."""
    todo, iteration, chunk = school.todo, 0, 0
    learner = Learner(student, school, momentum=0.9)

    def update(x: Tensor, y: Tensor, t: Tensor, end: Tensor) -> Tensor:
        found = school.clean(x, learner.wrapped(x, y, t[:, None].float()), t)
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


class Pool:
    """Records on their way through the student's nodes: where each batch of lesson 2 comes from.

    A row holds a record that was predicted at the node before, noised again to its own; after the last node it begins
    anew, as noise and with other labels. So the student meets its own errors, at the price of no evaluation.
    """

    def __init__(self, school: School) -> None:
        size, device = school.todo.batch_size, school.device
        self.school = school
        self.node = torch.arange(size, device=device) % school.todo.nodes
        self.x = torch.randn(size, 8, school.length, device=device)
        self.y = school.conditions(0, size, 8)

    def advance(self, x0: Tensor, new: Tensor) -> None:
        """Rows go on to their next nodes from what was predicted, x0 (B, 8, L), or begin anew with labels `new`."""
        node = self.node + 1
        done = node == len(self.school.nodes)
        node = torch.where(done, 0, node)
        x = self.school.noised(x0, self.school.nodes[node])
        self.x.copy_(torch.where(done[:, None, None], torch.randn_like(x), x))
        self.y.copy_(torch.where(done[:, None], new, self.y))
        self.node.copy_(node)


def match_distributions(
    school: School, student: Denoiser, critic: Denoiser, tell: Callable[[int, Tensor], None]
) -> None:
    """Lesson 2: the student's records, noised again, are as likely as the teacher's (Yin et al. 2024, eq. 7)."""
    todo, pool, teacher = school.todo, Pool(school), school.wrapped(school.teacher)
    learner, judge = (Learner(net, school, momentum=0.0) for net in (student, critic))
    T, device = school.schedule.T, school.device
    low, high = round(EDGE * T), round((1 - EDGE) * T)

    def predicted() -> Tensor:
        t = school.nodes[pool.node]
        return school.clean(pool.x, learner.wrapped(pool.x, pool.y, t[:, None].float()), t)

    def level() -> Tensor:
        return torch.randint(low, high, (todo.batch_size,), device=device)

    def criticise(new: Tensor) -> Tensor:
        """The critic learns to denoise what the student makes."""
        with torch.no_grad():
            x0 = predicted()
        t = level()
        x_t, target, weight = noisy(x0, t, torch.randn_like(x0), school.at)
        loss = weighted_error(judge.wrapped(x_t, pool.y, t[:, None].float()), target, weight)
        loss = judge.learn(loss)
        with torch.no_grad():
            pool.advance(x0, new)
        return loss

    def improve(new: Tensor) -> Tensor:
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
            fake = school.clean(x_t, judge.wrapped(x_t, pool.y, column), t)
            scale = (x0 - real).abs().mean(dim=(1, 2), keepdim=True)  # eq. 8
            target = x0 - todo.data_std * (fake - real) / scale
        loss = learner.learn(0.5 * ((x0 - target) ** 2).mean() / todo.data_std**2)
        with torch.no_grad():
            pool.advance(x0, new)
        return loss

    criticising, improving = judge.repeatedly(criticise), learner.repeatedly(improve)
    for iteration in range(todo.matching_iters):
        if school.over:
            break
        judge.rate(todo.critic_rate)
        learner.rate(todo.matching_rate * learning_rate_factor(iteration, 50, todo.matching_iters, True))
        turn = (todo.critic_steps + 1) * iteration
        for k in range(todo.critic_steps):
            criticising(school.conditions(turn + k, todo.batch_size, 7))
        loss = improving(school.conditions(turn + todo.critic_steps, todo.batch_size, 7))
        tell(iteration + 1, loss)
    learner.settle()
