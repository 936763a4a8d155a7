"""The denoising loss (Ho et al. 2020, eq. 14), on the noise or on the velocity, and its weighting of noise levels.

Training, its validation and `SSSDECG(x, y)` all use `denoising_loss`.
Shapes: B records, C leads, L samples, K label columns, T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .schedule import Schedule

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_t (B, C, L), y (B, K), t (B, 1)) -> (B, C, L)


@dataclass(frozen=True)
class NoiseLevels:
    """Tables over the steps t = 0 .. T-1, float32 and on one device.

    alpha, sigma (T,): the scales of the record and of the noise. weight (T,): the weight of the squared error of the
    prediction. velocity: whether the network predicts the velocity (Salimans and Ho 2022) rather than the noise.
    """

    alpha: Tensor
    sigma: Tensor
    weight: Tensor
    velocity: bool


def noise_levels(
    schedule: Schedule, *, velocity: bool, data_std: float | None = None, device: torch.device | str = "cpu"
) -> NoiseLevels:
    """Return the tables of a schedule. All weights are 1, or those of EDM for signals of standard deviation `data_std`.

    EDM (Karras et al. 2022, table 1) weights the error of x_0 so that all levels cost an untrained network the same;
    for the error of the velocity that weight is (sigma^2 + alpha^2 s^2) / s^2. Without it, where s is small, the loss
    would hardly see the high noise levels, and those decide where the beats are.
    """
    alpha, sigma = schedule.alpha, schedule.sigma
    weight = np.ones(schedule.T)
    if data_std is not None:
        weight = (sigma**2 + (alpha * data_std) ** 2) / data_std**2
        if not velocity:
            weight = weight / alpha**2  # the error of the noise is alpha times that of the velocity

    def table(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    return NoiseLevels(table(alpha), table(sigma), table(weight), velocity)


def add_noise(x0: Tensor, t: Tensor, z: Tensor, levels: NoiseLevels) -> Tensor:
    """Return x_t (B, C, L) of clean records x0 and noise z, each (B, C, L), at steps t (B,) int64."""
    return levels.alpha[t][:, None, None] * x0 + levels.sigma[t][:, None, None] * z


def denoising_loss(
    predict: Predict,
    x0: Tensor,
    y: Tensor,
    t: Tensor,
    z: Tensor,
    levels: NoiseLevels,
    teacher: Predict | None = None,
) -> Tensor:
    """Return the weighted mean squared error of a network's prediction from x_t: a scalar.

    x0, z (B, C, L), y (B, K), t (B,) int64. The target is the noise z or the velocity alpha z - sigma x0, or else what
    `teacher` predicts from the same x_t.
    """
    prediction, target = prediction_and_target(predict, x0, y, t, z, levels, teacher)
    return weighted_error(prediction, target, levels.weight[t])


def prediction_and_target(
    predict: Predict,
    x0: Tensor,
    y: Tensor,
    t: Tensor,
    z: Tensor,
    levels: NoiseLevels,
    teacher: Predict | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what a network predicts from x_t and what it is to predict, each (B, C, L); see `denoising_loss`."""
    x_t, steps = add_noise(x0, t, z, levels), t[:, None].float()
    if teacher is not None:
        target = teacher(x_t, y, steps)
    elif levels.velocity:
        target = levels.alpha[t][:, None, None] * z - levels.sigma[t][:, None, None] * x0
    else:
        target = z
    return predict(x_t, y, steps), target


def weighted_error(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean squared error of (B, C, L) with one weight for each record, (B,): a scalar."""
    return (weight[:, None, None] * (prediction - target) ** 2).mean()
