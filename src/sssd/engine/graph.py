"""A network evaluation recorded once as a CUDA graph: hundreds of launches for the price of one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Evaluate = Callable[
    [Tensor, Tensor, Tensor | None], Tensor
]  # (x (B, 8, L), row (), label (layers, B, H)) -> (B, 8, L)


@dataclass(frozen=True, eq=False)
class Recording:
    """Calls like a function (x, row, label) -> prediction; works in one set of buffers, so one call at a time."""

    graph: torch.cuda.CUDAGraph
    evaluate: Evaluate  # owns memory that the graph works in
    x: Tensor
    row: Tensor
    label: Tensor | None
    prediction: Tensor
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, x: Tensor, row: int, label: Tensor | None) -> Tensor:
        with self.lock:
            self.x.copy_(x)
            self.row.fill_(row)
            if self.label is not None and label is not None:
                self.label.copy_(label)
            self.graph.replay()
            return self.prediction.clone()


@torch.no_grad()
def record(evaluate: Evaluate, x: Tensor, label: Tensor | None) -> Recording:
    """Record `evaluate` for inputs shaped as these; it must not wait for the device nor depend on values."""
    x, row = torch.zeros_like(x), torch.zeros((), dtype=torch.int64, device=x.device)
    label = None if label is None else torch.zeros_like(label)
    side = torch.cuda.Stream(x.device)
    side.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(side):  # what is done on a first call only, such as compiling, is done here
        evaluate(x, row, label)
    torch.cuda.current_stream(x.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        prediction = evaluate(x, row, label)
    return Recording(graph, evaluate, x, row, label, prediction)
