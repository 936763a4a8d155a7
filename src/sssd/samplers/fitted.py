"""A solver for few evaluations, whose steps, noise and weights an earlier version fitted to one network.

Its rows are those of DDIM (Song et al. 2021, eq. 12), each with its own share eta_i of the noise of DDPM. They go
towards a clean record that is extrapolated from the last three predictions:

    x0_i + slope_i (x0_i - x0_{i-1}) + before_i (x0_{i-1} - x0_{i-2})
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..checks import counted
from ..schedule import Schedule
from .table import StepTable, nodes


def fitted(
    schedule: Schedule,
    steps: Sequence[int],
    eta: Sequence[float],
    slope: Sequence[float],
    before: Sequence[float],
) -> StepTable:
    """Return the table over `steps` (S,), strictly decreasing; eta, slope and before (S,).

    The slope of the first row, `before` of the first two and the eta of the last have no use and must be 0. If all are
    0, this is DDIM; dpmpp-2m and sde-dpmpp-2m are also tables of this kind. Raises ValueError for other lengths, for an
    eta outside 0 .. 1, and as `nodes` does.
    """
    alpha, sigma = nodes(schedule, np.asarray(steps))
    S = len(steps)
    share, p, q = (np.asarray(values, dtype=np.float64) for values in (eta, slope, before))
    for name, values, free in (
        ("eta", share, slice(S - 1, S)),
        ("slope", p, slice(0, 1)),
        ("before", q, slice(0, 2)),
    ):
        if values.shape != (S,) or values[free].any():
            raise ValueError(
                f"{name} is {values.tolist()}: expected {counted(S, 'value')}, one per step, and 0 where a "
                "row has no use for it"
            )
    if ((share < 0) | (share > 1)).any():
        raise ValueError(f"eta is {share.tolist()}: expected 0 (deterministic) to 1 (as much noise as DDPM)")
    decay = sigma[1:] / sigma[:-1] * alpha[:-1] / alpha[1:]  # e^-h
    c = share * sigma[1:] * np.sqrt(1.0 - decay**2)
    a = np.sqrt(np.maximum(sigma[1:] ** 2 - c**2, 0.0)) / sigma[:-1]
    gain = alpha[1:] - alpha[:-1] * a
    return StepTable(
        name="fitted",
        history="x0",
        steps=np.asarray(steps),
        a=a,
        b=gain[:, None] * np.stack((1.0 + p, q - p, -q), axis=1),
        c=c,
        alpha=alpha,
        sigma=sigma,
        settings={
            "fit": {
                "steps": np.asarray(steps).tolist(),
                **{name: v.tolist() for name, v in (("eta", share), ("slope", p), ("before", q))},
            }
        },
    )
