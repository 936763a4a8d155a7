"""PyTorch's settings for the whole process, as training wants them: changed for a run and restored after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from ..models.precision import float32_products

COMPILED_VARIANTS = (
    64  # of a block: with attention or dropout or gradients or none, for networks that are not alike
)


@contextmanager
def training_state(device: torch.device) -> Iterator[None]:
    """Within the block, float32 products use TF32 and blocks may be compiled in many variants.

    Afterwards these settings, and the states of the random generators of the CPU and of `device`, are as they were.
    S4 kernels are built in full float32 all the same (sssd.models.s4).
    """
    with ExitStack() as stack:
        stack.enter_context(float32_products("high"))
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        limit = max(COMPILED_VARIANTS, torch._dynamo.config.recompile_limit)
        stack.enter_context(torch._dynamo.config.patch(recompile_limit=limit))
        yield
