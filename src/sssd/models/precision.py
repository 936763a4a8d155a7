"""Sets how exactly PyTorch multiplies float32 matrices within a block of code, and restores it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch


@contextmanager
def float32_products(precision: Literal["high", "highest"]) -> Iterator[None]:
    """Run float32 matrix products within the block in TF32 ("high") or in full float32 ("highest").

    TF32 keeps 10 bits of a number and is several times as fast on recent GPUs. The setting belongs to the whole
    process, so it is restored at the end, after an exception too; nothing is set where it is so already.
    """
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    if precision == "highest" and {*before, torch.backends.fp32_precision} <= {"none", "ieee"}:  # type: ignore[attr-defined]
        yield
        return
    try:
        legacy = torch.get_float32_matmul_precision()
    except RuntimeError:  # the process has set these fields itself, beside the older function's default
        legacy = "highest"
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(legacy)
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value
