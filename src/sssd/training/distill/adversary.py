"""The discriminator of a transformer's student tells its records from recordings, at many noise levels.

It is a copy of the teacher, which knows ECGs at every noise level. Like the teacher it works on records whose high
frequencies are raised (sssd.scale), so fine noise counts as much as QRS complexes. Its residual stream is read at
`DEPTHS` depths, token by token, and as a whole by mean and spread over time (Sauer et al. 2024, LADD; Yin et al. 2024b,
DMD2, sec. 4.3). It also sees how much the records of a group differ (minibatch standard deviation, Karras et al. 2018),
because the student would otherwise make typical records only.

There are few recordings, so it must not know them by heart. It reads records under noise half of the time, and always a
window that begins anywhere in them. Each record of the student is compared with a recording of the same statements
and patient (relativistic pairing, Jolicoeur-Martineau 2019). A penalty keeps small noise from changing what it says of
recordings (Lin et al. 2025, an approximate R1 penalty).

It is told statements, patient and the node at which the student predicted the record, so that the records of each
node become like recordings, and not only all of them together. It is not told circumstances: those of the student's
record are drawn, and those of the recording are its own.

Shapes: B records, K columns of conditions, W features, N nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...circumstances import USED
from ...models.transformer import CIRCUMSTANCES, Transformer
from .context import Distillation
from .features import group_spread

DEPTHS = 4  # of the network that are read, evenly spaced, the last layer among them
FEATURES = 128
GROUP = 32  # records that are compared with each other, or the largest power of two that divides a batch
WINDOW = 0.9  # share of the used part of a record that is read
NOISY = 0.75  # share of the schedule up to which half of the records are noised before they are read
SHIFT = 0.03  # noise of the penalty, as a share of the records' standard deviation


class Discriminator(nn.Module):
    """Maps windows x (B, 8, l), conditions (B, K), nodes (B,) and steps (B, 1) to logits (B,), large for recordings."""

    def __init__(self, net: Transformer, run: Distillation) -> None:
        super().__init__()
        self.net, self.body = net, run.wrapped(net)
        self.group, self.nodes = math.gcd(run.batch, GROUP), len(run.nodes)
        used, patch, layers = int(USED * run.length), net.config.patch, net.config.layers
        self.window = max(1, int(WINDOW * used) // patch) * patch
        self.starts = used - self.window + 1
        self.depths = sorted({layers - 1 - k * layers // DEPTHS for k in range(DEPTHS)})

        def each(make: Callable[[], nn.Module]) -> nn.ModuleList:
            return nn.ModuleList(make() for _ in self.depths)

        self.features = each(lambda: nn.Linear(net.config.width, FEATURES))
        self.whole_records = each(lambda: nn.Linear(2 * FEATURES, FEATURES))
        self.of_tokens, self.of_record, self.of_group = (each(lambda: _zero(FEATURES, 1)) for _ in range(3))
        self.of_conditions = each(lambda: _zero(net.classes + self.nodes, FEATURES))
        self.to(run.device)

    def forward(self, x: Tensor, y: Tensor, node: Tensor, steps: Tensor) -> Tensor:
        seen: dict[int, Tensor] = {}
        self.body(x, self._without_circumstances(y), steps, seen=seen.__setitem__)
        at_node = (node[:, None] == torch.arange(self.nodes, device=x.device)).float()
        conditions = torch.cat((y[:, : self.net.classes], at_node), 1)
        logit = x.new_zeros(len(x))
        for k, depth in enumerate(self.depths):
            h = seen[depth].float()
            f = F.silu(self.features[k](F.layer_norm(h, h.shape[-1:])))  # (B, tokens, W)
            whole = torch.cat((f.mean(1), f.var(1).add(1e-4).sqrt()), -1)
            whole = F.silu(self.whole_records[k](whole))  # (B, W)
            logit = logit + self.of_tokens[k](f).mean((1, 2)) + self.of_record[k](whole)[:, 0]
            logit = logit + self.of_group[k](group_spread(whole, self.group))[:, 0]
            logit = logit + (whole * self.of_conditions[k](conditions)).sum(-1) / FEATURES**0.5
        return logit

    def windows(self, x: Tensor) -> Tensor:
        """Cut a window (B, 8, l) out of each record (B, 8, L), beginning anywhere in its used part."""
        start = torch.randint(self.starts, (len(x), 1), device=x.device)
        at = start + torch.arange(self.window, device=x.device)
        return x.gather(-1, at[:, None].expand(-1, x.shape[1], -1))

    def _without_circumstances(self, y: Tensor) -> Tensor:
        if self.net.circumstances is None:
            return y
        known = y[:, : -1 - CIRCUMSTANCES]
        return F.pad(known, (0, 1 + CIRCUMSTANCES))


def reading_steps(run: Distillation) -> Tensor:
    """Draw steps (B,) at which records are read: the cleanest for half of them, any below `NOISY` for the others."""
    t = torch.randint(0, round(NOISY * run.schedule.T), (run.batch,), device=run.device)
    return torch.where(torch.rand(run.batch, device=run.device) < 0.5, 0, t)


def discriminator_loss(
    discriminator: Discriminator, run: Distillation, true: Tensor, made: Tensor, y: Tensor, node: Tensor
) -> Tensor:
    """Return the loss, a scalar, on recordings and the student's records, each (B, 8, L), of the same conditions."""
    t = reading_steps(run)
    recorded, generated = (discriminator.windows(run.noised(x, t)) for x in (true, made))
    moved = recorded + SHIFT * run.todo.data_std * torch.randn_like(recorded)
    x, steps = torch.cat((recorded, generated, moved)), t[:, None].float().repeat(3, 1)
    of_true, of_made, near = discriminator(x, y.repeat(3, 1), node.repeat(3), steps).chunk(3)
    penalty = (of_true - near).square().mean()
    return F.softplus(of_made - of_true).mean() + run.todo.adversary_penalty * penalty


def adversarial_gradient(
    discriminator: Discriminator, run: Distillation, true: Tensor, made: Tensor, y: Tensor, node: Tensor
) -> Tensor:
    """Return the gradient (B, 8, L) of the student's adversarial loss, towards records less like recordings."""
    t = reading_steps(run)
    steps, made = t[:, None].float(), made.detach().requires_grad_()
    discriminator.requires_grad_(False)
    try:
        with torch.no_grad():
            of_true = discriminator(discriminator.windows(run.noised(true, t)), y, node, steps)
        with torch.enable_grad():
            of_made = discriminator(discriminator.windows(run.noised(made, t)), y, node, steps)
            (gradient,) = torch.autograd.grad(F.softplus(of_true - of_made).mean(), made)
    finally:
        discriminator.requires_grad_(True)
    return gradient


def _zero(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear map that starts as zero."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(layer.weight)
    return layer
