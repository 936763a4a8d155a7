"""Fitted solvers for models that stand in for the built-in one."""

from typing import Any

from sssd.presets import PRESETS

FITTED = [of.steps for of in PRESETS.values() if of.sampler == "fitted"]  # evaluations of the qualities


def fit(n: int, T: int) -> dict[str, Any]:
    """A solver of n evaluations on T steps."""
    return {
        "steps": [T - 1 - i * T // n for i in range(n)],
        "eta": [0.3] * (n - 1) + [0.0],
        "slope": [0.0] + [0.1] * (n - 1),
        "before": [0.0, 0.0] + [0.1] * (n - 2),
    }
