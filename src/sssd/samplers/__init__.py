"""Samplers. Each is a table of coefficients (`ddpm`, `ddim`, ...), and one loop runs them all (`run`)."""

from collections.abc import Callable

from ..schedule import IntArray, Schedule
from .consistency import consistency
from .ddim import ddim
from .ddpm import ddpm
from .deis import deis
from .dpmpp import dpmpp_2m, dpmpp_3m, dpmpp_3m_exact, sde_dpmpp_2m, sde_ode_dpmpp_2m
from .fitted import fitted
from .loop import Denoise, away_from, eps_denoiser, holding, invert, remainders, run, v_denoiser
from .table import StepTable
from .unipc import unipc

# The deterministic multistep samplers by name. They take one network evaluation per step and have no other settings.
MULTISTEP: dict[str, Callable[[Schedule, IntArray], StepTable]] = {
    "dpmpp-2m": dpmpp_2m,
    "dpmpp-3m": dpmpp_3m,
    "dpmpp-3m-exact": dpmpp_3m_exact,
    "deis": deis,
    "unipc": unipc,
}
# Samplers that need only a schedule and steps. ddpm takes all steps, ddim also has an eta, and fitted its own values.
BY_STEPS = {
    **MULTISTEP,
    "sde-dpmpp-2m": sde_dpmpp_2m,
    "sde-ode-dpmpp-2m": sde_ode_dpmpp_2m,
    "consistency": consistency,
}
SAMPLERS = ("ddim", "ddpm", *BY_STEPS, "fitted")


def default_spacing(sampler: str) -> str:
    """Return the default spacing of steps: "uniform" for DDIM, as in published code, "trailing" for the others.

    With few steps, "uniform" spends one of them at the cleanest level, where nothing is left to decide.
    """
    return "trailing" if sampler in BY_STEPS else "uniform"


def key_of(sampler: str, steps: int, eta: float = 0.0, spacing: str | None = None) -> str:
    """Return a sampler with its steps, its eta and their spacing as one word, such as "unipc10" or "ddim50_eta1".

    The default spacing of the sampler is left out, as in "sde-dpmpp-2m20" beside "sde-dpmpp-2m24_karras".
    """
    usual = spacing in (None, default_spacing(sampler))
    return f"{sampler}{steps}" + (f"_eta{eta:g}" if eta else "") + ("" if usual else f"_{spacing}")


__all__ = [
    "BY_STEPS",
    "MULTISTEP",
    "SAMPLERS",
    "Denoise",
    "StepTable",
    "away_from",
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
    "holding",
    "invert",
    "key_of",
    "remainders",
    "run",
    "sde_dpmpp_2m",
    "sde_ode_dpmpp_2m",
    "unipc",
    "v_denoiser",
]
