"""Samplers: one table of coefficients each (`ddpm`, `ddim`, ...), one loop for all (`run`)."""

from .ddim import ddim
from .ddpm import ddpm
from .loop import eps_denoiser, run, v_denoiser
from .table import StepTable

__all__ = ["StepTable", "ddim", "ddpm", "eps_denoiser", "run", "v_denoiser"]
