"""Binds a network to labels and time steps, so that each step computes only what depends on x.

On a GPU the evaluation is recorded as a CUDA graph, and in bf16 it runs on the kernels of `fused` where they fit.
Everywhere else it is the plain network, which is also the standard that both are tested against.

A graph depends on the number of records, their length and the precision. Labels and steps are inputs that are copied
into it, so that every sampler uses the same graph. The last few graphs are kept (see `Engine`).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from ..config.schema import TransformerConfig
from ..models.denoiser import Denoiser
from ..models.function import Biases, biases, denoise
from ..models.network import Network
from ..models.parameters import DenoiserConfig
from ..models.transformer import Transformer
from ..models.weights import Weights, effective_weights
from . import graph
from .graph import Evaluate
from .recent import Recent

ENGINES = 2  # lengths and precisions of one network that are kept
GRAPHS = 16  # numbers of records that are kept of each
SHARE = 1 / 16  # of the GPU's memory, for the graphs of each
TRANSFORMER_BYTES = 128  # of one layer, for each channel of a token
STEPS = 4  # sequences of time steps that are kept of each


@torch.no_grad()
def bind(
    net: Network, cond: Tensor, steps: Sequence[int], *, length: int, dtype: torch.dtype = torch.float32
) -> Callable[[Tensor, int], Tensor]:
    """Return the raw prediction (eps or v) as a float32 function of x (B, 8, length) and the row i of `steps`.

    cond (B, K). S4 kernels, folded weights, the embeddings of all steps and the label projections are computed once.
    Matrix products run in `dtype`; convolutions and norms run in float32 unless the kernels of `fused` are used.
    """
    if isinstance(net, Transformer):
        return bind_transformer(net, cond, steps, length=length, dtype=dtype)
    assert isinstance(net, Denoiser)
    if cond.device.type == "cuda":
        return bind_recorded(net, cond, steps, length=length, dtype=dtype)
    weights = net.frozen_weights(length, dtype)
    step, label = biases(net, cond, _column(steps, cond.device))  # (layers, C, S), (layers, 2 C, B)

    def predict(x: Tensor, i: int) -> Tensor:
        with torch.no_grad():
            return denoise(weights, x, Biases(step[..., i : i + 1], label))

    return predict


@torch.no_grad()
def bind_transformer(
    net: Transformer, cond: Tensor, steps: Sequence[int], *, length: int, dtype: torch.dtype
) -> Callable[[Tensor, int], Tensor]:
    """Do as `bind` does for a transformer: its plain function, which is recorded as a graph on a GPU."""
    column, cond, records = _column(steps, cond.device), net.full(cond), len(cond)
    weights = net.weights(dtype, length)

    def plain(x: Tensor, step: Tensor, conditions: Tensor | None) -> Tensor:
        assert conditions is not None
        with torch.no_grad():
            return net.evaluate(x, conditions, step, weights)

    if cond.device.type != "cuda":
        return lambda x, i: plain(x, column[i : i + 1], cond)
    graphs: Recent[graph.Recording] = net.kept(
        "engines", (), lambda: Recent(GRAPHS, SHARE * memory(cond.device))
    )
    evaluate = graphs.get(
        (length, dtype, records),
        lambda: graph.record(plain, cond.new_zeros(records, 8, length), column[:1], cond),
        activation_bytes(net.config, records, length),
    )
    return lambda x, i: evaluate(x, column[i : i + 1], cond)


@torch.no_grad()
def bind_recorded(
    net: Denoiser, cond: Tensor, steps: Sequence[int], *, length: int, dtype: torch.dtype
) -> Callable[[Tensor, int], Tensor]:
    """Do as `bind` does, with a recorded graph."""
    _, label = biases(net, cond, cond.new_zeros(1, 1))
    label = None if label is None else label.transpose(1, 2).contiguous()  # (layers, B, 2 C)
    engines: Recent[Engine] = net.kept("engines", (), lambda: Recent(ENGINES))
    engine = engines.get((length, dtype), lambda: Engine(length, dtype, memory(cond.device)))
    records = len(cond)
    kernels = dtype == torch.bfloat16 and kernels_fit(net.config, records, length, cond.device)
    added = engine.added(net, tuple(steps), kernels)
    evaluate = engine.recording(net, records, kernels, added[0], label)
    return lambda x, i: evaluate(x, added[i], label)


class Engine:
    """What is kept of a network for signals of one length in one precision.

    Weights are kept once in each form. The last 16 graphs are kept, as long as their activations take at most a
    sixteenth of the GPU's memory together; the last one is kept whatever its size.
    """

    def __init__(self, length: int, dtype: torch.dtype, memory: float) -> None:
        self.length, self.dtype = length, dtype
        self._weights: Recent[object] = Recent(2)  # plain, and as the kernels want them
        self._added: Recent[Tensor] = Recent(STEPS)
        self._graphs: Recent[Callable[[Tensor, Tensor, Tensor | None], Tensor]] = Recent(
            GRAPHS, SHARE * memory
        )

    def recording(
        self, net: Denoiser, records: int, kernels: bool, step: Tensor, label: Tensor | None
    ) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
        """Return the graph for this number of records; step and label have the shapes of its inputs."""

        def make() -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
            evaluate = self._kernels(net, records) if kernels else self._plain(net)
            return graph.record(evaluate, step.new_zeros(records, 8, self.length), step, label)

        return self._graphs.get(records, make, activation_bytes(net.config, records, self.length))

    def added(self, net: Denoiser, steps: tuple[int, ...], kernels: bool) -> Tensor:
        """Return what each step adds in all blocks, (S, ...), in the form that the evaluation takes."""

        def make() -> Tensor:
            device = next(net.parameters()).device
            no_label = torch.zeros(1, net.config.label_embed_classes, dtype=torch.float32, device=device)
            step = biases(net, no_label, _column(steps, device)).step  # (layers, C, S)
            if not kernels:
                return step.permute(2, 0, 1).contiguous()
            from . import fused

            return fused.offsets(net, step)

        return self._added.get((steps, kernels), make)

    def _plain(self, net: Denoiser) -> Evaluate:
        weights = self._weights.get("plain", lambda: effective_weights(net, self.length, dtype=self.dtype))
        assert isinstance(weights, Weights)
        return _evaluator(weights)

    def _kernels(self, net: Denoiser, records: int) -> Evaluate:
        from . import fused

        packed = self._weights.get("packed", lambda: fused.pack(net, self.length, self.dtype))
        assert isinstance(packed, fused.Packed)
        return fused.evaluator(net, packed, records, self.length)


def _evaluator(weights: Weights) -> Evaluate:
    def evaluate(x: Tensor, step: Tensor, label: Tensor | None) -> Tensor:
        label = None if label is None else label.transpose(1, 2)
        return denoise(weights, x, Biases(step[..., None], label))

    return evaluate


def _column(steps: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor(list(steps), device=device, dtype=torch.float32)[:, None]


def memory(device: torch.device) -> float:
    """Return the bytes of a GPU's memory."""
    return float(torch.cuda.get_device_properties(device).total_memory)


def activation_bytes(config: DenoiserConfig | TransformerConfig, records: int, length: int) -> float:
    """Estimate the activations of one evaluation: those of one layer, and in S4 the gates of all blocks in bf16."""
    if isinstance(config, TransformerConfig):
        return float(records * -(-length // config.patch) * TRANSFORMER_BYTES * config.width)
    features, tokens = 2 * config.res_channels, -(-length // config.patch)
    return float(records * tokens * (64 * features + 2 * config.num_res_layers * config.res_channels))


def kernels_fit(config: DenoiserConfig, records: int, length: int, device: torch.device) -> bool:
    """Return whether the hand-written kernels can evaluate this network for this number of records here."""
    channels, tokens = config.res_channels, -(-length // (8 * config.patch)) * 8
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
        warnings.warn(f"PyTorch's kernels are used, not the faster ones: {', '.join(lacking)}", stacklevel=5)
    return not lacking
