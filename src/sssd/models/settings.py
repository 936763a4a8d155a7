"""What a caller has set for PyTorch as a whole, kept out of what is computed here, and left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def settled() -> Iterator[None]:
    """Within the block, a default device, autocast and inference mode that the caller has set have no effect.

    These belong to the thread of the caller, so nothing changes for other threads. The default type belongs to the
    whole process: code in such blocks names its types instead, see `float32_modules`.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        if torch.get_default_device() != torch.device("cpu"):
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def float32_modules() -> Iterator[None]:
    """Within the block, new modules have float32 parameters, whatever the default type, which is restored after it."""
    before = torch.get_default_dtype()
    if before != torch.float32:
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        if before != torch.float32:
            torch.set_default_dtype(before)
