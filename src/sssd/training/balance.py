"""Balances the loss, so that all noise levels count alike whatever their error is (Karras et al. 2024, EDM2, sec. 2.2).

EDM2 learns the weights; here a weight is 1 over the running mean of the loss in a bin of noise levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..loss import NoiseLevels, Predict, prediction_and_target
from .parallel import summed

BINS = 24  # of log(sigma / alpha)
FORGETTING = 0.02  # share of a new batch in the running mean
RANGE = 0.02, 2.0  # that a mean is kept in where it is divided by


class Balance(nn.Module):
    """Keeps the running mean of the loss at each noise level, over the records of all processes."""

    def __init__(self, levels: NoiseLevels) -> None:
        super().__init__()
        log_level = (levels.sigma / levels.alpha).log()
        share = torch.linspace(0, 1, BINS + 1, device=log_level.device)[1:-1]
        edges = log_level[0] + share * (log_level[-1] - log_level[0])
        self.register_buffer("bin_of_step", torch.bucketize(log_level, edges), persistent=False)
        self.register_buffer("mean", torch.ones(BINS, device=log_level.device))

    def loss(
        self,
        predict: Predict,
        batch: Sequence[Tensor],
        levels: NoiseLevels,
        teacher: Predict | None,
    ) -> tuple[Tensor, Tensor]:
        """Return two scalars: the loss to minimise, and the loss before the levels are balanced.

        batch: what `transformer_batch` returns. Samples that its mask excludes do not count.
        """
        x, y, t, z, mask = batch
        prediction, target = prediction_and_target(predict, x, y, t, z, levels, teacher)
        error = (mask * (prediction - target) ** 2).mean((1, 2)) / mask.mean((1, 2))
        error = levels.weight[t] * error
        self._update(t, error.detach())
        mean = self.get_buffer("mean")[self.get_buffer("bin_of_step")[t]]
        return (error / mean.clamp(*RANGE)).mean(), error.detach().mean()

    @torch.no_grad()
    def _update(self, t: Tensor, error: Tensor) -> None:
        mean, bins = self.get_buffer("mean"), self.get_buffer("bin_of_step")[t]
        inside = (bins[:, None] == torch.arange(BINS, device=bins.device)).float()  # (B, BINS)
        count, total = summed(torch.stack((inside.sum(0), (inside * error[:, None]).sum(0))))
        new = total / count.clamp(min=1)
        mean.copy_(torch.where(count > 0, torch.lerp(mean, new, FORGETTING), mean))
