"""Changes PyTorch's settings of the whole process for a run, and restores them after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from ..models.precision import float32_products
from ..models.settings import float32_modules, isolated

COMPILED_VARIANTS = 64  # of a block: with or without attention, dropout and gradients, for several networks


@contextmanager
def training_state(device: torch.device) -> Iterator[None]:
    """Let float32 products use TF32, and network blocks be compiled in many variants, within this context.

    What the caller has set for types, devices, autocast and gradients has no effect. Afterwards these settings, and the
    states of the random generators of the CPU and of `device`, are as they were.
    S4 kernels are built in full float32 all the same (sssd.models.s4).
    """
    with ExitStack() as stack:
        stack.enter_context(isolated())
        stack.enter_context(float32_modules())
        stack.enter_context(torch.enable_grad())
        stack.enter_context(float32_products("high"))
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        limit = max(COMPILED_VARIANTS, torch._dynamo.config.recompile_limit)
        stack.enter_context(torch._dynamo.config.patch(recompile_limit=limit))
        yield
