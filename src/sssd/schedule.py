"""The diffusion schedule (Ho et al. 2020; Lin et al. 2024; Karras et al. 2022) and the time steps a sampler visits.

Steps are the integers t = 0 .. T-1. All values are float64 NumPy arrays: alpha_t = sqrt(abar_t),
sigma_t = sqrt(1 - abar_t), lambda_t = log(alpha_t / sigma_t).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from .checks import one_of
from .config.names import Spacing

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SPACINGS = get_args(Spacing)
# Of the spacing "karras": sigma / alpha between which all steps but the first lie, and rho.
KARRAS, KARRAS_RHO = (7.0, 0.002), 4.0


@dataclass(frozen=True, eq=False)
class Schedule:
    """A variance-preserving schedule, given by abar_t = prod_{s<=t} (1 - beta_s) (Ho et al. 2020, eq. 4).

    abar: (T,) float64, strictly decreasing, abar_0 < 1, abar_{T-1} >= 0 (0 means that no signal is left). It is kept as
    a read-only copy. Raises ValueError when the values are not such a schedule.
    """

    abar: FloatArray

    def __post_init__(self) -> None:
        abar = np.array(self.abar, dtype=np.float64)  # a copy, which nobody else can change
        if abar.ndim != 1 or abar.size == 0:
            raise ValueError(f"abar has shape {abar.shape}: expected (T,) with T >= 1")
        decreasing = np.isfinite(abar).all() and (np.diff(abar) < 0.0).all()
        if not (decreasing and abar[0] < 1.0 and abar[-1] >= 0.0):
            raise ValueError("abar must be finite, below 1, strictly decreasing and not negative")
        abar.flags.writeable = False
        object.__setattr__(self, "abar", abar)

    @property
    def T(self) -> int:
        """Number of training steps."""
        return int(self.abar.size)

    @property
    def alpha(self) -> FloatArray:
        """(T,) scale of the signal."""
        return np.sqrt(self.abar)

    @property
    def sigma(self) -> FloatArray:
        """(T,) standard deviation of the noise."""
        return np.sqrt(1.0 - self.abar)

    @property
    def lam(self) -> FloatArray:
        """(T,) half the log signal-to-noise ratio, log(alpha / sigma); minus infinity where alpha is 0."""
        with np.errstate(divide="ignore"):
            return 0.5 * (np.log(self.abar) - np.log1p(-self.abar))

    @property
    def beta(self) -> FloatArray:
        """(T,) variance added by each step: 1 - abar_t / abar_{t-1}, with abar_{-1} = 1."""
        return 1.0 - self.abar / np.concatenate(([1.0], self.abar[:-1]))


def linear(T: int = 200, beta_0: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    """Return the published schedule: beta_t linear from beta_0 to beta_T (Ho et al. 2020, section 4).

    Raises ValueError unless T >= 1 and 0 < beta_0, beta_T < 1.
    """
    if T < 1:
        raise ValueError(f"T is {T}: expected at least 1 step")
    if not (0.0 < beta_0 < 1.0 and 0.0 < beta_T < 1.0):
        raise ValueError(f"beta_0 is {beta_0} and beta_T is {beta_T}: expected both above 0 and below 1")
    return Schedule(np.cumprod(1.0 - np.linspace(beta_0, beta_T, T), dtype=np.float64))


def rescaled(schedule: Schedule, terminal_alpha: float = 0.005) -> Schedule:
    """Shift and scale alpha_t so that the last step keeps almost no signal, or none (Lin et al. 2024, algorithm 1).

    alpha_0 stays as it is, alpha_{T-1} becomes `terminal_alpha`, which may be 0, and the steps between move linearly.
    Raises ValueError when T < 2 or terminal_alpha is not in [0, alpha_0).
    """
    alpha = schedule.alpha
    if schedule.T < 2:
        raise ValueError("a schedule of 1 step cannot be rescaled: expected T >= 2")
    if not 0.0 <= terminal_alpha < alpha[0]:
        raise ValueError(f"terminal_alpha is {terminal_alpha}: expected from 0 to below {alpha[0]:.6f}")
    weight = (alpha - alpha[-1]) / (alpha[0] - alpha[-1])  # 1 at t = 0, exactly 0 at t = T-1
    return Schedule((terminal_alpha + (alpha[0] - terminal_alpha) * weight) ** 2)


def karras(T: int = 200, sigma_min: float = 0.0015, sigma_max: float = 100.0, rho: float = 7.0) -> Schedule:
    """Return the noise levels of Karras et al. 2022, eq. 5, as a variance-preserving schedule: abar = 1 / (1 + s^2).

    Their levels s are the noise over the signal, sigma_t / alpha_t here. s^(1/rho) rises linearly from sigma_min at
    t = 0 to sigma_max at t = T-1, in units of the network. Raises ValueError unless T >= 2, 0 < sigma_min < sigma_max
    and rho > 0.
    """
    if T < 2:
        raise ValueError(f"T is {T}: expected at least 2 steps")
    if not (0.0 < sigma_min < sigma_max < math.inf and 0.0 < rho < math.inf):
        raise ValueError(
            f"sigma_min is {sigma_min}, sigma_max {sigma_max} and rho {rho}: "
            "expected 0 < sigma_min < sigma_max and rho above 0"
        )
    level = np.linspace(sigma_min ** (1 / rho), sigma_max ** (1 / rho), T, dtype=np.float64) ** rho
    return Schedule(1.0 / (1.0 + level**2))


def choose_steps(schedule: Schedule, S: int, spacing: str = "uniform") -> IntArray:
    """Choose the S time steps that a sampler visits: (S,) int64, distinct, strictly decreasing, in 0 .. T-1.

    uniform: round(linspace(T-1, 0, S)), both ends included.
    leading: floor(i T / S), i = S-1 .. 0; ends at 0 and leaves out the noisiest steps.
    trailing: round(i T / S) - 1, i = S .. 1; starts at T-1 (Lin et al. 2024, table 2).
    log_snr: evenly spaced in lambda (Lu et al. 2022, DPM-Solver), both ends included. A step without signal, where
        lambda is infinite, comes first, and the others are spread over the finite part.
    karras: the noisiest step, and then levels sigma / alpha between those of `KARRAS`, spread as in Karras et al.
        (2022, eq. 5). If the noisiest step lies below them, they begin there.
    Where two positions round to the same integer, the nearest free one is taken. S = T gives every step, whatever the
    spacing; S = 1 gives step T-1 (0 for "leading"). Raises ValueError for another S or spacing.
    """
    T = schedule.T
    S = check_steps(S, T)
    one_of("spacing", spacing, SPACINGS)
    position: FloatArray
    if spacing == "uniform":
        position = np.linspace(T - 1, 0, S, dtype=np.float64)
    elif spacing == "leading":
        position = np.floor_divide(np.arange(S - 1, -1, -1) * T, S).astype(np.float64)
    elif spacing == "trailing":
        position = np.arange(S, 0, -1) * T / S - 1.0
    elif spacing == "log_snr":
        position = _log_snr_positions(schedule, S)
    else:
        return steps_at(schedule, _karras_levels(schedule, S))
    return _distinct_integers(position, T)


def steps_at(schedule: Schedule, levels: Sequence[float] | FloatArray) -> IntArray:
    """Return the steps whose noise levels sigma / alpha are nearest to decreasing `levels` (S,), in logarithms: (S,).

    They are distinct, as in `choose_steps`. An infinite level stands for the noisiest step.
    """
    wanted = np.asarray(levels, np.float64)
    known = np.flatnonzero(np.isfinite(schedule.lam))[::-1]
    position = np.interp(-np.log(wanted), schedule.lam[known], known)
    position[np.isinf(wanted)] = schedule.T - 1
    return _distinct_integers(position, schedule.T)


def check_steps(S: int, T: int, name: str = "steps") -> int:
    """Return S as a plain int; ValueError, which calls it `name`, unless it is a whole number in 1..T."""
    try:
        count = operator.index(S)
    except TypeError:
        count = 0
    if isinstance(S, bool) or not 1 <= count <= T:
        raise ValueError(f"{name} is {S!r}: expected 1..{T}, a whole number of steps (T = {T})")
    return count


def _log_snr_positions(schedule: Schedule, S: int) -> FloatArray:
    T, lam = schedule.T, schedule.lam
    if T == 1:
        return np.zeros(1)
    first = T - 1 if math.isfinite(lam[-1]) else T - 2  # the noisiest step of finite lambda
    target = np.linspace(lam[first], lam[0], S)  # increasing
    t = np.arange(first, -1, -1, dtype=np.float64)
    position = np.interp(target, lam[first::-1], t)
    position[0] = T - 1
    return position


def _karras_levels(schedule: Schedule, S: int) -> FloatArray:
    """Return S decreasing levels sigma / alpha, the first of which stands for the noisiest step."""
    noisiest = np.exp(-schedule.lam[-1])
    high, low = (level ** (1.0 / KARRAS_RHO) for level in (min(KARRAS[0], noisiest), KARRAS[1]))
    if noisiest <= KARRAS[0]:
        return np.asarray(np.linspace(high, low, S) ** KARRAS_RHO)
    return np.concatenate(([np.inf], np.linspace(high, low, S - 1) ** KARRAS_RHO))


def _distinct_integers(position: FloatArray, T: int) -> IntArray:
    """Round S positions in 0 .. T-1 to S distinct integers, the two ends first; returns them in decreasing order."""
    free = np.ones(T, dtype=bool)
    last = len(position) - 1
    for i in dict.fromkeys((0, last, *range(last))):
        t = int(np.rint(position[i]))
        if not free[t]:
            candidates = np.flatnonzero(free)
            t = int(candidates[np.abs(candidates - position[i]).argmin()])
        free[t] = False
    return np.flatnonzero(~free)[::-1].astype(np.int64)
