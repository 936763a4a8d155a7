"""The adversary of lesson 2: a network that tells the student's records from true ones, the teacher's or recordings.

It starts as a copy of the teacher, which knows ECGs at every noise level, and reads records at three depths, sample by
sample and as a whole: mean and spread over time show beats that do not belong to one heart. Two more views are of
rhythm alone and of a record's beats, laid one upon the other (views.py). Of each view it also sees how much records of
a group differ (Karras et al. 2018, minibatch standard deviation), or the student would make typical ones only. Each
record of the student stands beside a true one with the same labels (relativistic pairing, Jolicoeur-Martineau 2019;
Huang et al. 2024), and small noise may not change the verdict (Lin et al. 2025, an approximate R1 penalty).

Shapes: B records, K conditions, W features of a view.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.denoiser import Denoiser
from ...samplers import ddim, run, v_denoiser
from ...schedule import choose_steps
from .school import School
from .views import BEAT, LAGS, autocorrelation, beats, spread

DEPTHS = 3  # of the network, three blocks apart from the last one on
FEATURES = 128
STEPS = 50  # of DDIM with eta 1, for the teacher's records
NOISY = 0.75  # of the schedule, up to where half of the records are noised before they are read
GROUP = 32  # records that are compared with each other, or the largest power of two that divides a batch
SHIFT = 0.08  # noise of the penalty, as a share of the signals' standard deviation


class Adversary(nn.Module):
    """x (B, 8, L), conditions (B, K), steps (B, 1) -> logit (B,), the larger the more like the true ones."""

    def __init__(self, net: Denoiser, school: School) -> None:
        super().__init__()
        self.net, self.body = net, school.wrapped(net)
        self.group = math.gcd(school.todo.batch_size, GROUP)
        last, classes = net.config.num_res_layers - 1, net.config.label_embed_classes
        self.depths = list(range(last, -1, -3))[:DEPTHS]

        def each(make: Callable[[], nn.Module], n: int = len(self.depths)) -> nn.ModuleList:
            return nn.ModuleList(make() for _ in range(n))

        self.features = each(lambda: nn.Linear(net.config.res_channels, FEATURES))
        self.of_samples = each(lambda: _silent(FEATURES, 1))
        self.views = each(lambda: nn.Sequential(nn.Linear(2 * FEATURES, FEATURES), nn.SiLU()))
        for size in (16 * len(LAGS), 16 * len(BEAT)):
            hidden = nn.Sequential(nn.Linear(size, FEATURES), nn.SiLU(), nn.Linear(FEATURES, FEATURES))
            self.views.append(nn.Sequential(hidden, nn.SiLU()))
        n = len(self.views)
        self.of_record, self.of_group = (each(lambda: _silent(FEATURES, 1), n) for _ in range(2))
        self.of_labels = each(lambda: _silent(classes, FEATURES), n)
        self.to(school.device)

    def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        seen: dict[int, Tensor] = {}
        self.body(x, y, t, seen=seen.__setitem__)
        logit, read = x.new_zeros(len(x)), []
        for k, depth in enumerate(self.depths):
            f = F.silu(self.features[k](seen[depth].permute(1, 2, 0).float()))  # (B, tokens, W)
            logit = logit + self.of_samples[k](f).mean((1, 2))
            read.append(torch.cat((f.mean(1), f.var(1).add(1e-4).sqrt()), -1))
        x = x.float()
        read.append(torch.cat((autocorrelation(x), autocorrelation(x.diff())), 1).flatten(1))
        read.append(torch.cat(beats(x), 1).flatten(1))
        for k, values in enumerate(read):
            whole = self.views[k](values)  # (B, W)
            logit = logit + self.of_record[k](whole)[:, 0] + self.of_group[k](spread(whole, self.group))[:, 0]
            logit = logit + (whole * self.of_labels[k](y)).sum(-1) / FEATURES**0.5
        return logit


@dataclass(frozen=True)
class Records:
    """What is true to the adversary: x (n, 8, L) float16 on the network's scale, y (n, K) their conditions."""

    x: Tensor
    y: Tensor


@torch.no_grad()
def make_records(
    school: School, tell: Callable[[int, Tensor], None], recordings: Tensor | None = None
) -> Records:
    """config.distill_config.records of them, or as many more as fill the last batch: the teacher's by DDIM with eta 1,
    as good as DDPM and four times as fast, and in each batch a share (`adversary_recordings`) of recordings (n, 8, L),
    one for each of the school's labels."""
    table = ddim(school.schedule, choose_steps(school.schedule, min(STEPS, school.schedule.T)), 1.0)
    row = {int(t): i for i, t in enumerate(table.steps)}
    xs: list[Tensor] = []
    ys: list[Tensor] = []
    n = school.todo.records
    size = min(n, 1024 if school.device.type == "cuda" else 64)
    recorded = 0 if recordings is None else round(size * school.todo.adversary_recordings)

    def teachers(y: Tensor) -> Tensor:
        told = school.guided(y, table.steps.tolist())

        def noise(_: int = 0) -> Tensor:
            return torch.randn(len(y), 8, school.length, device=school.device)

        return run(table, v_denoiser(table, lambda x, t: told(x, row[t])), noise(), noise)

    for k, start in enumerate(range(0, n, size)):
        if xs and school.over:
            break
        rows, y = school.drawn(k, size, 9)
        if recordings is not None:
            xs.append(recordings[rows[:recorded]].half())
        if recorded < size:
            xs.append(teachers(y[recorded:]).half())
        ys.append(y)
        tell(min(start + size, n), torch.zeros(()))
    return Records(torch.cat(xs), torch.cat(ys))


def levels(school: School) -> Tensor:
    """Steps (B,) at which records are read: half of them at the cleanest, half anywhere below `NOISY`."""
    n, device = school.todo.batch_size, school.device
    t = torch.randint(0, round(NOISY * school.schedule.T), (n,), device=device)
    return torch.where(torch.rand(n, device=device) < 0.5, 0, t)


def verdict(adversary: Adversary, school: School, true: Tensor, made: Tensor, y: Tensor) -> Tensor:
    """The adversary's loss on true records and the student's of the same labels, (B, 8, L) each: a scalar."""
    t = levels(school)
    both = torch.cat((school.noised(true, t), school.noised(made, t)))
    moved = both + SHIFT * school.todo.data_std * torch.randn_like(both)
    column = t[:, None].float().repeat(4, 1)
    logit, near = adversary(torch.cat((both, moved)), y.repeat(4, 1), column).chunk(2)
    of_true, of_made = logit.chunk(2)
    penalty = ((logit - near) ** 2).mean()
    return F.softplus(of_made - of_true).mean() + school.todo.adversary_penalty * penalty


def away(adversary: Adversary, school: School, true: Tensor, made: Tensor, y: Tensor) -> Tensor:
    """Where the student's records become less like the true ones: the gradient (B, 8, L) of the student's loss."""
    t = levels(school)
    column, made = t[:, None].float(), made.detach().requires_grad_()
    adversary.requires_grad_(False)
    try:
        with torch.no_grad():
            of_true = adversary(school.noised(true, t), y, column)
        with torch.enable_grad():
            loss = F.softplus(of_true - adversary(school.noised(made, t), y, column)).mean()
            (gradient,) = torch.autograd.grad(loss, made)
    finally:
        adversary.requires_grad_(True)
    return gradient


def _silent(inputs: int, outputs: int) -> nn.Linear:
    """A linear map that says nothing until it has learnt."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(layer.weight)
    return layer
