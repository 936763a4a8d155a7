"""A network evaluation recorded as a CUDA graph, so that hundreds of kernels are launched by one call."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .forms import Evaluate


@dataclass(frozen=True, eq=False)
class Recording:
    """A recorded function, called like the function itself. It has one set of buffers, so calls wait for each other."""

    graph: torch.cuda.CUDAGraph
    evaluate: Evaluate  # owns memory in which the graph works
    x: Tensor
    step: Tensor
    label: Tensor | None
    prediction: Tensor
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, x: Tensor, step: Tensor, label: Tensor | None) -> Tensor:
        with self.lock:
            self.x.copy_(x)
            self.step.copy_(step)
            if self.label is not None and label is not None:
                self.label.copy_(label)
            self.graph.replay()
            return self.prediction.clone()


@torch.no_grad()
def record(evaluate: Evaluate, x: Tensor, step: Tensor, label: Tensor | None) -> Recording:
    """Record `evaluate` for inputs of these shapes. It must neither wait for the device nor depend on values."""
    x, step = torch.zeros_like(x), torch.zeros_like(step)
    label = None if label is None else torch.zeros_like(label)
    side = torch.cuda.Stream(x.device)
    side.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(side):  # a first call does what must not be recorded, such as compiling
        evaluate(x, step, label)
    torch.cuda.current_stream(x.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        prediction = evaluate(x, step, label)
    return Recording(graph, evaluate, x, step, label, prediction)
