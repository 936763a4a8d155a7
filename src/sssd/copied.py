"""Copies from a GPU to memory that run while the GPU goes on."""

from __future__ import annotations

import torch
from torch import Tensor


class Copied:
    """A tensor on its way to memory. On a GPU, the copy takes its turn behind the work so far, into pinned memory.

    A copy into other memory takes several times as long, and the program waits for it.
    """

    def __init__(self, x: Tensor) -> None:
        self._done: torch.cuda.Event | None = None
        if x.device.type != "cuda":
            self._held = x.cpu()
            return
        self._held = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
        self._held.copy_(x, non_blocking=True)
        self._done = torch.cuda.Event()
        self._done.record(torch.cuda.current_stream(x.device))

    def wait(self) -> Tensor:
        """Return the tensor once it is there."""
        if self._done is not None:
            self._done.synchronize()
        return self._held
