"""DDIM (Song, Meng and Ermon 2021) evaluates the trained network at S chosen steps only."""

from __future__ import annotations

import numpy as np

from ..schedule import IntArray, Schedule
from .table import StepTable, nodes


def ddim(schedule: Schedule, steps: IntArray, eta: float = 0.0) -> StepTable:
    """Return the table of DDIM over `steps` (S,), strictly decreasing: Song et al. 2021, eq. 12, noise of eq. 16.

    Each row goes from one entry of `steps` to the next, and the last one to the clean end. eta = 0 is deterministic;
    eta = 1 over every step is DDPM. The rows combine x0, which keeps them finite where alpha = 0.
    Raises ValueError unless 0 <= eta <= 1 and the steps are in 0 .. T-1 and strictly decreasing.
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta is {eta}: expected 0 (deterministic) to 1 (as much noise as DDPM)")
    alpha, sigma = nodes(schedule, steps)
    alpha_next, sigma_next = alpha[1:], sigma[1:]
    added = 1.0 - (alpha[:-1] / alpha_next) ** 2  # 1 - abar_t / abar_next
    c = eta * sigma_next / sigma[:-1] * np.sqrt(added)  # eq. 16
    a = np.sqrt(np.maximum(sigma_next**2 - c**2, 0.0)) / sigma[:-1]  # eq. 12; eps = (x - alpha x0) / sigma
    return StepTable(
        name="ddim",
        history="x0",
        steps=steps,
        a=a,
        b=(alpha_next - alpha[:-1] * a)[:, None],
        c=c,
        alpha=alpha,
        sigma=sigma,
        settings={"eta": float(eta)},
    )
