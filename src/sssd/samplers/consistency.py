"""Multistep consistency sampling (Song et al. 2023, algorithm 1), for networks that were distilled to few steps."""

from __future__ import annotations

import numpy as np

from ..schedule import IntArray, Schedule
from .table import StepTable, nodes


def consistency(schedule: Schedule, steps: IntArray) -> StepTable:
    """Return the table over `steps` (S,), strictly decreasing.

    Each row predicts the clean record and adds new noise to it.

    Unlike DDIM, a row keeps none of the noise in x, so that it can correct what the rows before it did. Raises
    ValueError unless the steps are in 0 .. T-1 and strictly decreasing.
    """
    alpha, sigma = nodes(schedule, steps)
    return StepTable(
        name="consistency",
        history="x0",
        steps=steps,
        a=np.zeros(len(steps)),
        b=alpha[1:, None],
        c=sigma[1:],
        alpha=alpha,
        sigma=sigma,
    )
