"""The discriminator of stage 2 tells the student's records from true ones: the teacher's, or recordings.

It starts as a copy of the teacher, which knows ECGs at every noise level, and reads the copy's residual stream at three
depths. It reads it sample by sample, and as a whole by mean and spread over time, which show whether the beats of a
record fit together.
Two more inputs are features of rhythm alone and of a record's beats (features.py). For each of these five it also sees
how much the records of a group differ (minibatch standard deviation, Karras et al. 2018), because the student would
otherwise make typical records only. Each record of the student is compared with a true one of the same labels
(relativistic pairing, Jolicoeur-Martineau 2019; Huang et al. 2024), and a penalty keeps small noise from changing the
logit (Lin et al. 2025, an approximate R1 penalty).

Shapes: B records, K label columns, W features of an input.
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
from .context import Distillation
from .features import BEAT, LAGS, autocorrelation, beats, group_spread

DEPTHS = 3  # of the network that are read, three blocks apart, counted from its last block
FEATURES = 128
STEPS = 50  # of DDIM with eta 1, for the teacher's records
NOISY = 0.75  # share of the schedule up to which half of the records are noised before they are read
GROUP = 32  # records that are compared with each other, or the largest power of two that divides a batch
SHIFT = 0.08  # noise of the penalty, as a share of the signals' standard deviation


class Discriminator(nn.Module):
    """Maps x (B, 8, L), labels (B, K) and steps (B, 1) to a logit (B,), larger for records more like the true ones."""

    def __init__(self, net: Denoiser, of: Distillation) -> None:
        super().__init__()
        self.net, self.body = net, of.wrapped(net)
        self.group = math.gcd(of.todo.batch_size, GROUP)
        last, classes = net.config.num_res_layers - 1, net.config.label_embed_classes
        self.depths = list(range(last, -1, -3))[:DEPTHS]

        def each(make: Callable[[], nn.Module], n: int = len(self.depths)) -> nn.ModuleList:
            return nn.ModuleList(make() for _ in range(n))

        self.features = each(lambda: nn.Linear(net.config.res_channels, FEATURES))
        self.of_samples = each(lambda: _zero_linear(FEATURES, 1))
        self.whole_records = each(lambda: nn.Sequential(nn.Linear(2 * FEATURES, FEATURES), nn.SiLU()))
        for size in (16 * len(LAGS), 16 * len(BEAT)):
            hidden = nn.Sequential(nn.Linear(size, FEATURES), nn.SiLU(), nn.Linear(FEATURES, FEATURES))
            self.whole_records.append(nn.Sequential(hidden, nn.SiLU()))
        n = len(self.whole_records)
        self.of_record, self.of_group = (each(lambda: _zero_linear(FEATURES, 1), n) for _ in range(2))
        self.of_labels = each(lambda: _zero_linear(classes, FEATURES), n)
        self.to(of.device)

    def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        seen: dict[int, Tensor] = {}
        self.body(x, y, t, seen=seen.__setitem__)
        logit, inputs = x.new_zeros(len(x)), []
        for k, depth in enumerate(self.depths):
            f = F.silu(self.features[k](seen[depth].permute(1, 2, 0).float()))  # (B, tokens, W)
            logit = logit + self.of_samples[k](f).mean((1, 2))
            inputs.append(torch.cat((f.mean(1), f.var(1).add(1e-4).sqrt()), -1))
        x = x.float()
        inputs.append(torch.cat((autocorrelation(x), autocorrelation(x.diff())), 1).flatten(1))
        inputs.append(torch.cat(beats(x), 1).flatten(1))
        for k, values in enumerate(inputs):
            whole = self.whole_records[k](values)  # (B, W)
            spread = group_spread(whole, self.group)
            logit = logit + self.of_record[k](whole)[:, 0] + self.of_group[k](spread)[:, 0]
            logit = logit + (whole * self.of_labels[k](y)).sum(-1) / FEATURES**0.5
        return logit


@dataclass(frozen=True)
class TrueRecords:
    """Holds the discriminator's true records: x (n, 8, L) float16 on the network's scale, with labels y (n, K)."""

    x: Tensor
    y: Tensor


@torch.no_grad()
def make_true_records(
    of: Distillation, on_records: Callable[[int, Tensor], None], recordings: Tensor | None = None
) -> TrueRecords:
    """Make as many true records as distill_config.records, or a few more to fill the last batch.

    The teacher makes them by DDIM with eta 1, which is as good as DDPM and four times as fast. With recordings
    (n, 8, L), one for each of the run's labels, a share of each batch are recordings (`adversary_recordings`).
    on_records: called with the number of records that exist, and a loss of 0. OutOfTime if the time is up before.
    """
    table = ddim(of.schedule, choose_steps(of.schedule, min(STEPS, of.schedule.T)), 1.0)
    row = {int(t): i for i, t in enumerate(table.steps)}
    xs: list[Tensor] = []
    ys: list[Tensor] = []
    n = of.todo.records
    size = min(n, 1024 if of.device.type == "cuda" else 64)
    recorded = 0 if recordings is None else round(size * of.todo.adversary_recordings)

    def from_teacher(y: Tensor) -> Tensor:
        velocity = of.guided(y, table.steps.tolist())

        def noise(_: int = 0) -> Tensor:
            return torch.randn(len(y), 8, of.length, device=of.device)

        return run(table, v_denoiser(table, lambda x, t: velocity(x, row[t])), noise(), noise)

    for k, start in enumerate(range(0, n, size)):
        rows, y = of.drawn(k, size, 9)
        if recordings is not None:
            xs.append(recordings[rows[:recorded]].half())
        if recorded < size:
            xs.append(from_teacher(y[recorded:]).half())
        ys.append(y)
        on_records(min(start + size, n), torch.zeros(()))
    return TrueRecords(torch.cat(xs), torch.cat(ys))


def reading_steps(of: Distillation) -> Tensor:
    """Draw steps (B,) at which records are read: the cleanest for half of them, any below `NOISY` for the others."""
    n, device = of.todo.batch_size, of.device
    t = torch.randint(0, round(NOISY * of.schedule.T), (n,), device=device)
    return torch.where(torch.rand(n, device=device) < 0.5, 0, t)


def discriminator_loss(
    discriminator: Discriminator, of: Distillation, true: Tensor, made: Tensor, y: Tensor
) -> Tensor:
    """Return the discriminator's loss, a scalar, on true and the student's records (B, 8, L) of the same labels."""
    t = reading_steps(of)
    both = torch.cat((of.noised(true, t), of.noised(made, t)))
    moved = both + SHIFT * of.todo.data_std * torch.randn_like(both)
    steps = t[:, None].float().repeat(4, 1)
    logit, near = discriminator(torch.cat((both, moved)), y.repeat(4, 1), steps).chunk(2)
    of_true, of_made = logit.chunk(2)
    penalty = ((logit - near) ** 2).mean()
    return F.softplus(of_made - of_true).mean() + of.todo.adversary_penalty * penalty


def adversarial_gradient(
    discriminator: Discriminator, of: Distillation, true: Tensor, made: Tensor, y: Tensor
) -> Tensor:
    """Return the gradient (B, 8, L) of the student's adversarial loss, towards records less like the true ones."""
    t = reading_steps(of)
    steps, made = t[:, None].float(), made.detach().requires_grad_()
    discriminator.requires_grad_(False)
    try:
        with torch.no_grad():
            of_true = discriminator(of.noised(true, t), y, steps)
        with torch.enable_grad():
            loss = F.softplus(of_true - discriminator(of.noised(made, t), y, steps)).mean()
            (gradient,) = torch.autograd.grad(loss, made)
    finally:
        discriminator.requires_grad_(True)
    return gradient


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear map that starts as zero."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(layer.weight)
    return layer
