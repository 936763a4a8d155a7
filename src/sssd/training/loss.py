"""The denoising loss (Ho et al. 2020, eq. 14) on eps or velocity, with its choice and weighting of noise levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..schedule import Schedule


@dataclass(frozen=True)
class Levels:
    """The noise levels of training: float32 tables over t = 0 .. T-1, on one device.

    alpha, sigma (T,); weight (T,) of the squared error at t; x0_weight (T,): the same on the error of the clean record;
    whether the target is the velocity.
    """

    alpha: Tensor
    sigma: Tensor
    weight: Tensor
    x0_weight: Tensor
    velocity: bool


def levels(
    schedule: Schedule, *, velocity: bool, data_std: float | None = None, device: torch.device | str = "cpu"
) -> Levels:
    """Tables of a schedule. With data_std, the standard deviation s of the signals, EDM's weighting.

    EDM (Karras et al. 2022, table 1) weights the error of x_0 so that all levels count alike to a network that knows
    nothing; on the error of v that is (sigma^2 + alpha^2 s^2) / s^2. Without it, where s is small, the loss would
    see little of the high noise levels, and there the places of the beats are decided.
    """
    alpha, sigma = schedule.alpha, schedule.sigma
    weight = np.ones(schedule.T)
    if data_std is not None:
        weight = (sigma**2 + (alpha * data_std) ** 2) / data_std**2
        if not velocity:
            weight = weight / alpha**2  # the error of eps is alpha times that of v

    def table(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    on_x0 = weight / sigma**2 * (1 if velocity else alpha**2)  # the error of x_0 is sigma times that of v
    return Levels(table(alpha), table(sigma), table(weight), table(on_x0), velocity)


def noisy(x0: Tensor, t: Tensor, z: Tensor, at: Levels) -> tuple[Tensor, Tensor, Tensor]:
    """x_t, target (B, C, L) and weight (B, 1, 1) for x0 and z (B, C, L) and steps t (B,) int64."""
    alpha, sigma = at.alpha[t][:, None, None], at.sigma[t][:, None, None]
    target = alpha * z - sigma * x0 if at.velocity else z
    return alpha * x0 + sigma * z, target, at.weight[t][:, None, None]


def weighted_error(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error, a scalar."""
    return (weight * (prediction - target) ** 2).mean()
