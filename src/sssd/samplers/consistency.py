"""Multistep consistency sampling (Song et al. 2023, algorithm 1): for networks that were distilled to few steps."""

from __future__ import annotations

import numpy as np

from ..schedule import IntArray, Schedule
from .table import StepTable, nodes


def consistency(schedule: Schedule, steps: IntArray) -> StepTable:
    """The table over `steps` (S,), strictly decreasing: predict the clean record, add new noise for the next step.

    Unlike DDIM it keeps nothing of the noise in x, so each row may correct all that the rows before it made.
    Raises ValueError unless the steps are in 0 .. T-1 and strictly decreasing.
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
