"""The sinusoidal embedding of the diffusion step (Vaswani et al. 2017; DiffWave, Kong et al. 2021, sec. 3.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def step_embedding(steps: Tensor, dim: int) -> Tensor:
    """Return sin and cos of `steps` (B, 1) at dim/2 frequencies from 1 down to 1e-4: (B, dim) float32."""
    if dim < 4 or dim % 2:
        raise ValueError(
            f"the dimension of the step embedding is {dim}: expected an even number of at least 4"
        )
    half = dim // 2
    frequency = torch.exp(
        torch.arange(half, dtype=torch.float32, device=steps.device) * -(math.log(10000) / (half - 1))
    )
    angle = steps.float() * frequency
    return torch.cat((torch.sin(angle), torch.cos(angle)), dim=1)
