"""A function of tensors recorded as a CUDA graph, so that hundreds of kernels are launched by one call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RecordedFunction:
    """A recorded function, called like the function itself. It has one set of buffers, so calls wait for each other."""

    graph: torch.cuda.CUDAGraph
    function: Callable[..., Any]  # owns memory in which the graph works
    inputs: Sequence[Tensor | None]
    result: Any  # a tensor, or a tuple of them

    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, *inputs: Tensor | None) -> Any:
        with self.lock:
            for held, given in zip(self.inputs, inputs, strict=True):
                if held is not None and given is not None:
                    held.copy_(given)
            self.graph.replay()
            if isinstance(self.result, tuple):
                return tuple(one.clone() for one in self.result)
            return self.result.clone()


@torch.no_grad()
def record(function: Callable[..., Any], *inputs: Tensor | None) -> Callable[..., Any]:
    """Record a function for inputs of these shapes. It must neither wait for the device nor depend on values.

    It returns a tensor or a tuple of them.
    """
    held = [None if one is None else torch.zeros_like(one) for one in inputs]
    device = next(one.device for one in held if one is not None)
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # a first call does what must not be recorded, such as compiling
        function(*held)
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function(*held)
    return RecordedFunction(graph, function, held, result)
