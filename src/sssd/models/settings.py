"""Keeps what a caller has set for PyTorch as a whole from changing what is computed here, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@contextmanager
def isolated() -> Iterator[None]:
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


class _Unfilled(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        return _UNFILLED_TWINS.get(func, func)(*args, **(kwargs or {}))


_RANDOM_FILLS = {
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    Tensor.uniform_,
    Tensor.normal_,
}
_UNFILLED_TWINS = {torch.rand: torch.empty, torch.randn: torch.empty}
_wanted: ContextVar[bool] = ContextVar("initial values are wanted", default=True)


@contextmanager
def unfilled() -> Iterator[None]:
    """Within the block, new modules get no random values, so they take no time. A checkpoint has to fill them.

    PyTorch's meta device does that too, but imports PyTorch's compiler for it, which takes longer than a record.
    """
    before = _wanted.set(False)
    try:
        with _Unfilled():
            yield
    finally:
        _wanted.reset(before)


def initial_values_wanted() -> bool:
    """Return whether the code runs outside of `unfilled`."""
    return _wanted.get()


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
