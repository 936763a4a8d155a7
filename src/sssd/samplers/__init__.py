"""Samplers: one table of coefficients each (`ddpm`, `ddim`, ...), one loop for all (`run`)."""

from collections.abc import Callable

from ..schedule import IntArray, Schedule
from .consistency import consistency
from .ddim import ddim
from .ddpm import ddpm
from .deis import deis
from .dpmpp import dpmpp_2m, dpmpp_3m, dpmpp_3m_exact, sde_dpmpp_2m
from .fitted import fitted
from .loop import eps_denoiser, run, v_denoiser
from .table import StepTable
from .unipc import unipc

# The deterministic multistep samplers by name: one network evaluation a step, nothing else to choose.
MULTISTEP: dict[str, Callable[[Schedule, IntArray], StepTable]] = {
    "dpmpp-2m": dpmpp_2m,
    "dpmpp-3m": dpmpp_3m,
    "dpmpp-3m-exact": dpmpp_3m_exact,
    "deis": deis,
    "unipc": unipc,
}
# All that need nothing but a schedule and steps; ddpm has all steps, ddim an eta, fitted what was fitted.
BY_STEPS = {**MULTISTEP, "sde-dpmpp-2m": sde_dpmpp_2m, "consistency": consistency}
SAMPLERS = ("ddim", "ddpm", *BY_STEPS, "fitted")


def default_spacing(sampler: str) -> str:
    """How the steps are spread unless told: "uniform" for DDIM, as published code does, "trailing" for the others.

    With few steps, "uniform" spends one of them at the cleanest level, where nothing is left to decide.
    """
    return "trailing" if sampler in BY_STEPS else "uniform"


def key_of(sampler: str, steps: int, eta: float = 0.0) -> str:
    """A sampler and its steps as one word: "unipc10", "ddim50", "ddim50_eta1"."""
    return f"{sampler}{steps}" + (f"_eta{eta:g}" if eta else "")


__all__ = [
    "BY_STEPS",
    "MULTISTEP",
    "SAMPLERS",
    "StepTable",
    "consistency",
    "ddim",
    "ddpm",
    "default_spacing",
    "deis",
    "dpmpp_2m",
    "dpmpp_3m",
    "dpmpp_3m_exact",
    "eps_denoiser",
    "fitted",
    "key_of",
    "run",
    "sde_dpmpp_2m",
    "unipc",
    "v_denoiser",
]
