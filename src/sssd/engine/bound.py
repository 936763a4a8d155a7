"""Binds a network to labels and time steps, so that each step computes only what depends on x.

    network -> form (what depends on the weights alone) -> steps, conditions, evaluation -> f(x, i)

On a GPU the evaluation is recorded as a CUDA graph, and the S4 network in bf16 runs on the kernels of `fused` where
they fit. On a CPU the transformer runs in the form of `processor`. Everywhere else a form is the plain network, against
which the others are tested.

A graph depends on the number of records, their length and the precision. Conditions and steps are inputs that are
copied into it, so that every sampler uses the same graph. The last few graphs are kept (see `Engine`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Hashable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from ..checks import warn
from ..models.denoiser import Denoiser
from ..models.memory import activation_bytes
from ..models.network import Network
from ..models.parameters import DenoiserConfig
from ..models.transformer import Transformer
from ..models.weights import padded_tokens
from . import graph
from .forms import Evaluate, Form, PlainDenoiser, PlainTransformer
from .processor import TransformerForm
from .recent import Recent

ENGINES = 2  # lengths and precisions of one network that are kept
GRAPHS = 16  # numbers of records that are kept of each
SHARE = 1 / 16  # of the GPU's memory, for the graphs of each
STEPS = 4  # sequences of time steps that are kept of each
RUNS = 8  # samplers and numbers of records for which there is a graph of all steps, of each
FEW_RECORDS, FEW_STEPS = 8, 64  # of such a graph, at most


@torch.no_grad()
def bind(
    net: Network, cond: Tensor, steps: Sequence[int], *, length: int, dtype: torch.dtype = torch.float32
) -> Callable[[Tensor, int], Tensor]:
    """Return the raw prediction (eps or v) as a float32 function of x (B, 8, length) and the row i of `steps`.

    cond (B, K). What the weights, the steps and the conditions give is computed once. Matrix products run in `dtype`;
    convolutions and norms run in float32 unless the kernels of `fused` are used.
    """
    return _engine(net, length, dtype, cond.device).bound(net, cond, steps)


def _engine(net: Network, length: int, dtype: torch.dtype, device: torch.device) -> Engine:
    engines: Recent[Engine] = net.kept("engines", (), lambda: Recent(ENGINES))
    return engines.get((length, dtype), lambda: Engine(length, dtype, device))


# From conditions to a function as `bind` returns it.
Bind = Callable[[Tensor], Callable[[Tensor, int], Tensor]]


@torch.no_grad()
def recorded_run(
    net: Network,
    flow: Callable[[Bind, Tensor, Tensor], Any],
    given: tuple[Tensor, Tensor],
    steps: Sequence[int],
    *,
    length: int,
    dtype: torch.dtype,
    name: Hashable,
) -> Any | None:
    """Return flow(bind, *given), all steps of a sampler, computed by one CUDA graph; None where there is none.

    For a few records, launching the kernels between evaluations takes longer than the kernels themselves. A graph is
    recorded when the same is asked for a second time, because recording takes longer than a run. Where recording fails,
    a warning says so, and there are no such graphs for these weights.

    bind: from conditions (B, K') to the network as `bind` returns it. given: (B, ...) each, on the device; what flow
    does depends on them and on what `name` stands for. It returns a tuple of tensors, and waits for nothing.
    """
    if not records_graphs(given[0].device) or len(given[0]) > FEW_RECORDS or len(steps) > FEW_STEPS:
        return None
    return _engine(net, length, dtype, given[0].device).recorded_run(net, flow, given, steps, name)


class Engine:
    """What is kept of a network for signals of one length in one precision.

    Weights are kept once in each form. The last 16 graphs are kept, as long as their activations take at most a
    sixteenth of the GPU's memory together; the last one is kept whatever its size.
    """

    def __init__(self, length: int, dtype: torch.dtype, device: torch.device) -> None:
        self.length, self.dtype, self.device = length, dtype, device
        self._forms: Recent[Form] = Recent(2)  # on a GPU, one that its kernels run and one for other batches
        self._added: Recent[Tensor] = Recent(STEPS)
        self._asked: Recent[None] = Recent(RUNS)  # what was asked of `recorded_run`
        self._runs: Recent[Callable[..., Any]] = Recent(RUNS)
        self._recording_fails = False
        self._graphs: Recent[Evaluate] | None = None
        if records_graphs(device):
            self._graphs = Recent(GRAPHS, SHARE * memory(device))

    def bound(self, net: Network, cond: Tensor, steps: Sequence[int]) -> Callable[[Tensor, int], Tensor]:
        """See `bind`."""
        form, added = self._form(net, steps, len(cond))
        conditions = form.of_conditions(net, cond)
        evaluate = self._evaluate(net, form, added[:1], conditions, len(cond))

        def predict(x: Tensor, i: int) -> Tensor:
            with torch.no_grad():
                return evaluate(x, added[i : i + 1], conditions)

        return predict

    def recorded_run(
        self,
        net: Network,
        flow: Callable[[Bind, Tensor, Tensor], Any],
        given: tuple[Tensor, Tensor],
        steps: Sequence[int],
        name: Hashable,
    ) -> Any | None:
        """See `recorded_run`."""
        records = len(given[0])
        key = name, records, given[0].shape[1:]
        before = key in self._asked
        self._asked.get(key, lambda: None)  # it is the last that was asked for now
        if not before or self._recording_fails:
            return None
        form, added = self._form(net, steps, records)

        def function(cond: Tensor, state: Tensor) -> Any:
            evaluate = form.evaluator(net, records)

            def bind(cond: Tensor) -> Callable[[Tensor, int], Tensor]:
                conditions = form.of_conditions(net, cond)
                return lambda x, i: evaluate(x, added[i : i + 1], conditions)

            return flow(bind, cond, state)

        try:
            recording = self._runs.get(key, lambda: graph.record(function, *given))
        except RuntimeError as error:
            self._recording_fails = True
            warn(f"the steps are launched one by one: recording all of them failed ({error})")
            return None
        return recording(*given)

    def _form(self, net: Network, steps: Sequence[int], records: int) -> tuple[Form, Tensor]:
        """Return the form for this number of records, and what it adds in these steps."""
        make = self._chosen(net, records)
        form = self._forms.get(make, partial(make, net, self.length, self.dtype))
        column = torch.tensor(list(steps), device=self.device, dtype=torch.float32)[:, None]
        return form, self._added.get((tuple(steps), make), lambda: form.of_steps(net, column))

    def _chosen(self, net: Network, records: int) -> Callable[..., Form]:
        """Return the form that is fastest for this number of records here."""
        if isinstance(net, Transformer):
            return TransformerForm if self.device.type == "cpu" else PlainTransformer
        assert isinstance(net, Denoiser)
        half = self.dtype == torch.bfloat16 and self.device.type == "cuda"
        if half and kernels_fit(net.config, records, self.length, self.device):
            from .fused import FusedDenoiser

            return FusedDenoiser
        return PlainDenoiser

    def _evaluate(
        self, net: Network, form: Form, step: Tensor, conditions: Tensor | None, records: int
    ) -> Evaluate:
        """Return the evaluation for this number of records; step and conditions have the shapes of its inputs."""
        if self._graphs is None:
            return form.evaluator(net, records)

        def make() -> Evaluate:
            x = step.new_zeros(records, 8, self.length)
            return graph.record(form.evaluator(net, records), x, step, conditions)

        return self._graphs.get(records, make, activation_bytes(net.config, records, self.length))


def records_graphs(device: torch.device) -> bool:
    """Return whether evaluations are recorded as graphs on this device."""
    return device.type == "cuda"


def memory(device: torch.device) -> float:
    """Return the bytes of a GPU's memory."""
    return float(torch.cuda.get_device_properties(device).total_memory)


def kernels_fit(config: DenoiserConfig, records: int, length: int, device: torch.device) -> bool:
    """Return whether the hand-written kernels can evaluate this network for this number of records here."""
    channels, tokens = config.res_channels, padded_tokens(config, length)
    if channels < 16 or channels & (channels - 1) or 2 * records * channels * tokens >= 2**31:
        return False
    return kernels_run(device)


@cache
def kernels_run(device: torch.device) -> bool:
    """Return whether this GPU and this Python can run the kernels. If not, a warning says why, once."""
    lacking = []
    if importlib.util.find_spec("triton") is None:
        lacking.append("Triton is not installed")
    if torch.cuda.get_device_capability(device) < (8, 0):
        lacking.append(f"{torch.cuda.get_device_name(device)} does not multiply bf16")
    if lacking:
        warn(f"PyTorch's kernels are used, not the faster ones: {', '.join(lacking)}")
    return not lacking
