"""A linear sampler, written as a table of coefficients, which are checked when the table is created.

Row i takes x from noise level i to noise level i + 1. With h, the history that `history` names:

    x <- a_i x + sum_j b_ij h_{i-j} + c_i z        z standard normal

Steps that evaluate the network twice (Heun, single-step solvers), adaptive steps and thresholding are not supported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..schedule import FloatArray, IntArray, Schedule

History = Literal["eps", "x0"]
TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class StepTable:
    """One sampler over one choice of steps. All arrays are float64 and are kept as read-only copies.

    name: the sampler's name, for messages and provenance.
    history: what the rows combine, the noise that the network predicts ("eps") or the clean record ("x0").
    steps: (S,) integers, strictly decreasing; the time steps at which the network is evaluated.
    a, c (S,), b (S, K): the coefficients. b[i, j] multiplies h_{i-j}, so that it is 0 for j > i.
    alpha, sigma: (S + 1,) scale of the signal and of the noise at each node. Node S is clean, with 1 and 0.
    gain: (1,) or (C,), the factor of each lead by which the clean record is multiplied in the gain row. It is 1 unless
        the model was calibrated for this sampler (`ddim_config.gains`).
    settings: what the table was made with, as plain JSON values for the provenance: the eta of DDIM, the spacing of
        the steps, or the values of a fitted solver.

    Raises ValueError when a shape is wrong, or a row does not map noise level i onto noise level i + 1: from exact
    signal and noise it must give alpha_{i+1} and sigma_{i+1} to 1e-12.
    """

    name: str
    history: History
    steps: IntArray
    a: FloatArray
    b: FloatArray
    c: FloatArray
    alpha: FloatArray
    sigma: FloatArray
    gain: FloatArray = field(default_factory=lambda: np.ones(1))
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("a", "b", "c", "alpha", "sigma", "gain"):
            object.__setattr__(self, name, _frozen(np.array(getattr(self, name), dtype=np.float64)))
        object.__setattr__(self, "steps", _frozen(np.array(self.steps, dtype=np.int64)))
        self._check_shapes()
        self._check_identities()

    @property
    def S(self) -> int:
        """Number of steps, which is the number of network evaluations."""
        return len(self.steps)

    @property
    def K(self) -> int:
        """Length of the history."""
        return int(self.b.shape[1])

    @property
    def gain_row(self) -> int:
        """The first row with less noise than signal (sigma < alpha), or the last one if there is none.

        The amplitude of a record is decided there, and its fine noise is not. So the rows that follow make fine noise
        that is not scaled. A classifier knows records by scaled noise.
        """
        below = np.flatnonzero(self.sigma[:-1] < self.alpha[:-1])
        return int(below[0]) if below.size else self.S - 1

    @property
    def key(self) -> tuple[Any, ...]:
        """What the table computes, as something that can be compared."""
        arrays = (self.steps, self.a, self.b, self.c, self.alpha, self.sigma, self.gain)
        return self.history, *((array.shape, array.tobytes()) for array in arrays)

    def _check_shapes(self) -> None:
        if self.history not in ("eps", "x0"):
            raise ValueError(f"{self.name}: history is {self.history!r}: expected 'eps' or 'x0'")
        S = self.steps.size
        if self.steps.shape != (S,) or S == 0 or self.steps[-1] < 0 or (np.diff(self.steps) >= 0).any():
            raise ValueError(f"{self.name}: steps must be (S,), strictly decreasing and not negative, S >= 1")
        expected = {"a": (S,), "b": (S, self.b.shape[-1]), "c": (S,), "alpha": (S + 1,), "sigma": (S + 1,)}
        for name, shape in expected.items():
            value = getattr(self, name)
            if value.shape != shape or value.size == 0:
                raise ValueError(f"{self.name}: {name} has shape {value.shape}, expected {shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"{self.name}: {name} holds infinite values or NaN")
        if self.gain.ndim != 1 or not (np.isfinite(self.gain) & (self.gain > 0)).all():
            raise ValueError(f"{self.name}: gain is {self.gain.tolist()}: expected finite factors above 0")

    def _check_identities(self) -> None:
        if self.alpha[-1] != 1.0 or self.sigma[-1] != 0.0:
            raise ValueError(f"{self.name}: the last node must be clean, with alpha 1 and sigma 0")
        if np.abs(np.triu(self.b, k=1)).any():
            raise ValueError(f"{self.name}: a row uses history that does not exist yet")
        signal = self.a * self.alpha[:-1]  # alpha_i and sigma_i after the row, when eps and x0 are exact
        noise = self.a * self.sigma[:-1]
        if self.history == "eps":
            noise = noise + self.b.sum(axis=1)
        else:
            signal = signal + self.b.sum(axis=1)
        errors = {
            "alpha^2 + sigma^2 = 1": self.alpha**2 + self.sigma**2 - 1.0,
            "the signal identity": signal - self.alpha[1:],
            "the noise identity": noise**2 + self.c**2 - self.sigma[1:] ** 2,
        }
        for identity, error in errors.items():
            if np.abs(error).max() > TOLERANCE:
                row = int(np.abs(error).argmax())
                raise ValueError(f"{self.name}: {identity} fails at row {row} by {np.abs(error).max():.1e}")


def nodes(schedule: Schedule, steps: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return alpha and sigma, each (S + 1,), at the S `steps` and at the clean end.

    Raises ValueError unless steps is (S,), S >= 1, strictly decreasing, in 0 .. T-1.
    """
    steps = np.asarray(steps)
    if steps.ndim != 1 or steps.size == 0 or not np.issubdtype(steps.dtype, np.integer):
        raise ValueError(f"steps is {steps.shape} of {steps.dtype}: expected (S,) whole numbers, S >= 1")
    if (np.diff(steps) >= 0).any() or steps[0] >= schedule.T or steps[-1] < 0:
        raise ValueError(f"steps {steps.tolist()}: expected strictly decreasing, in 0..{schedule.T - 1}")
    return np.append(schedule.alpha[steps], 1.0), np.append(schedule.sigma[steps], 0.0)


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
