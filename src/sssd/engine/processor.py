"""The transformer for a CPU: the same function as `models.transformer`, in fewer and faster passes over memory.

    all convolutions over tokens by FFT, which a record of 125 tokens needs less time for than its Toeplitz matrices
    scale, shift and gate of all layers in one product, with their constants folded into its weights
    rotations as products of complex numbers, whose parts lie side by side once the rows of q and k are reordered
    matrix products, and the GELU behind one, by oneDNN where PyTorch has it: twice as fast as MKL on AMD's processors
    a few records at a time, so that their hidden layers stay in a core's cache; each thread has records of its own

Shapes: B records, N tokens of a record, H heads of d channels, E width of the embedded conditions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Barrier
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.transformer import LEADS, Layer, Transformer, high_passed
from .forms import Evaluate, OfTransformer

TOKENS = 1000  # at once: a hidden layer of 768 channels takes 3 MB


class LayerForm(NamedTuple):
    """What one layer needs; the matrices (outputs, inputs) have the type of the products."""

    spectrum: Tensor  # (width, R / 2 + 1) complex, of the convolution over tokens
    qkv: Tensor  # the rows of q and k in the order of `paired`
    output: Tensor
    up: Tensor
    down: Tensor


class TransformerForm(OfTransformer):
    """See `forms.Form`."""

    def __init__(self, net: Transformer, length: int, dtype: torch.dtype) -> None:
        config, self.length, self.dtype = net.config, length, dtype
        self.tokens = -(-length // config.patch)
        order = paired(config.width, config.heads)
        layers = [part for part in net.layers if isinstance(part, Layer)]
        self.layers = [
            LayerForm(
                spectrum(one.taps, self.tokens),
                packed(one.qkv.weight[order].to(dtype), TOKENS),
                *(packed(matrix.detach().to(dtype), TOKENS) for matrix in one.hidden[1:]),
            )
            for one in layers
        ]
        self.modulation = modulation(layers)
        turn = torch.arange(self.tokens)[:, None] * net.get_buffer("turn")
        self.rotation = torch.polar(torch.ones_like(turn), turn)[:, None]  # (N, 1, d / 2)

    def evaluator(self, net: Transformer, records: int) -> Evaluate:
        at_once = max(1, TOKENS // self.tokens)

        def evaluate(x: Tensor, step: Tensor, cond: Tensor | None) -> Tensor:
            assert cond is not None
            at = step.reshape(-1).long()
            scales = net.scales(at, "skip", "out", "whole", "high")
            added = F.linear(net.embedded(cond, at), *self.modulation)
            added = added.view(len(cond), len(self.layers), 6, 1, net.config.width)
            size = shared(len(x), at_once, torch.get_num_threads())
            parts = zip(x.split(size), added.split(size), strict=True)
            return torch.cat(in_threads([partial(self._part, net, *part, scales) for part in parts]))

        return evaluate

    def _part(self, net: Transformer, x: Tensor, added: Tensor, scales: tuple[Tensor, ...]) -> Tensor:
        """Evaluate a few records x (B, 8, L), to which `added` (B, layers, 6, 1, width) belongs."""
        skip, out, whole, high = scales
        patch, covered = net.config.patch, self.tokens * net.config.patch
        u = F.pad(torch.cat((whole * x, high * high_passed(x)), 1), (0, covered - self.length))
        u = u.unflatten(-1, (self.tokens, patch)).permute(0, 2, 1, 3).flatten(2)
        h = product(u, net.first.weight, net.first.bias)
        for i, one in enumerate(self.layers):
            h = self._layer(h, added[:, i].unbind(1), one, net.config.heads)
        y = product(F.layer_norm(h, h.shape[-1:]), net.last.weight, net.last.bias)
        y = y.unflatten(-1, (LEADS, patch)).permute(0, 2, 1, 3).flatten(2)[..., : self.length]
        return skip * x - out * y

    def _layer(self, x: Tensor, added: tuple[Tensor, ...], w: LayerForm, heads: int) -> Tensor:
        """Apply a layer to x (B, N, width); see `models.transformer.layer`."""
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = added
        batch, tokens, width = x.shape
        z = torch.addcmul(shift_1, F.layer_norm(x, (width,)), scale_1)
        z = z + convolved(z, w.spectrum)
        qkv = product(z.to(self.dtype), w.qkv).view(batch, tokens, 3 * heads, width // heads)
        q, k = (
            normalised(qkv[:, :, : 2 * heads].float(), self.rotation)
            .to(self.dtype)
            .transpose(1, 2)
            .chunk(2, 1)
        )
        v = qkv[:, :, 2 * heads :].transpose(1, 2)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = torch.addcmul(x, product(attended, w.output), gate_1)
        z = torch.addcmul(shift_2, F.layer_norm(x, (width,)), scale_2)
        hidden = product(z.to(self.dtype), w.up, gelu=True)
        return torch.addcmul(x, product(hidden, w.down), gate_2)


def shared(records: int, most: int, threads: int) -> int:
    """Return the size of parts of at most `most` records, of which all threads have equally many, if each has one."""
    if records < threads:
        return most
    rounds = -(-records // (most * threads))
    return -(-records // (rounds * threads))


def in_threads(parts: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
    """Call functions, at the same time if there is one for each of PyTorch's threads, and return what they return.

    Threads that wait for each other only at the end do more than threads that share each operation.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(parts) < threads or not torch.backends.openmp.is_available():
        return [part() for part in parts]

    def call(part: Callable[[], Tensor]) -> Tensor:
        with torch.no_grad():  # which belongs to a thread
            return part()

    return list(crew(threads).map(call, parts))


@cache
def crew(count: int) -> ThreadPoolExecutor:
    """Return threads in each of which PyTorch computes alone.

    PyTorch's number of threads belongs to a thread, which at its first use takes the last one that any has set. So it
    is set back as soon as all threads have used theirs.
    """
    begun = Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()
        begun.wait()

    pool = ThreadPoolExecutor(count, "sssd-ecg", begin)
    for _ in range(count):
        pool.submit(int)  # a pool starts a thread for a task if no thread is idle
    begun.wait()
    torch.set_num_threads(count)
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=crew.cache_clear)  # threads do not live on in a fork


def paired(width: int, heads: int) -> Tensor:
    """Return an order (3 width,) of the rows of q, k and v that puts the two channels of a plane side by side.

    A rotation turns each plane. v keeps its order. q and k change theirs alike, so their products stay as they are.
    """
    rows = torch.arange(3 * width).view(3, heads, 2, -1)  # (.., halves, planes)
    return torch.cat((rows[:2].transpose(-1, -2).flatten(), rows[2].flatten()))


def spectrum(taps: Tensor, tokens: int) -> Tensor:
    """Return the spectrum (width, R / 2 + 1) of the convolution whose matrices are `models.transformer.toeplitz`.

    It is one of a ring of R places, where the N tokens of a record and at least N - 1 zeros behind them do not meet. R
    is a multiple of 32: a transform of 256 points takes two thirds of the time of one of 250.
    """
    reach = len(taps) // 2
    ring = taps.new_zeros(taps.shape[1], -(-(2 * tokens - 1) // 32) * 32)
    lag = torch.arange(-min(reach, tokens - 1), min(reach, tokens - 1) + 1, device=taps.device)
    ring[:, lag % ring.shape[1]] = taps.detach().T[:, reach - lag]
    return torch.fft.rfft(ring)


def convolved(z: Tensor, spectrum: Tensor) -> Tensor:
    """Convolve each channel of z (B, N, width) over its tokens."""
    tokens, ring = z.shape[1], 2 * (spectrum.shape[1] - 1)
    there = torch.fft.rfft(z.transpose(1, 2), n=ring)
    return torch.fft.irfft(there.mul_(spectrum), n=ring)[..., :tokens].transpose(1, 2)


def modulation(layers: list[Layer]) -> tuple[Tensor, Tensor]:
    """Return the weights (6 layers width, E) and biases that give 1 + scale, shift and 0.5 + 0.5 gate of all layers."""
    factor = torch.tensor([1.0, 1.0, 0.5, 1.0, 1.0, 0.5], dtype=torch.float32)[:, None]
    constant = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0, 0.5], dtype=torch.float32)[:, None]
    weight = [factor[..., None] * one.modulation.weight.detach().unflatten(0, (6, -1)) for one in layers]
    bias = [factor * one.modulation.bias.detach().view(6, -1) + constant for one in layers]
    return torch.cat(weight).flatten(0, 1), torch.cat(bias).flatten()


def normalised(x: Tensor, rotation: Tensor) -> Tensor:
    """Return x (B, N, 2 H, d) over its root mean square in d, turned by complex numbers `rotation` (N, 1, d / 2)."""
    size = x.shape[-1]
    square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
    factor = torch.rsqrt_(square.mul_(1 / size).add_(torch.finfo(torch.float32).eps))
    turned = torch.view_as_complex(x.unflatten(-1, (size // 2, 2))) * rotation
    return torch.view_as_real(turned).flatten(-2).mul_(factor)


def packed(weight: Tensor, rows: int) -> Tensor:
    """Return a weight (outputs, inputs) for `product` in the order in which oneDNN reads it for so many rows of x."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows) if onednn() else weight


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """Return x (..., inputs) times weight (outputs, inputs), plus bias (outputs,), through GELU (tanh) if asked for."""
    if onednn():
        y: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, weight, bias, "gelu" if gelu else "none", [], "tanh" if gelu else ""
        )
        return y
    y = F.linear(x, weight, bias)
    return F.gelu(y, approximate="tanh") if gelu else y


@cache
def onednn() -> bool:
    """Return whether PyTorch has oneDNN's product here, and the product is right.

    The operators are those that PyTorch's compiler calls. They are not promised to stay, so they are tried once.
    """
    x = torch.linspace(-1, 1, 96, dtype=torch.float32).view(6, 16)
    weight = torch.linspace(-1, 1, 128, dtype=torch.float32).view(8, 16).square()
    try:
        reordered = torch.ops.mkldnn._reorder_linear_weight(weight, len(x))
        y = torch.ops.mkldnn._linear_pointwise(x, reordered, None, "gelu", [], "tanh")
    except (AttributeError, RuntimeError):
        return False
    return bool((y - F.gelu(x @ weight.T, approximate="tanh")).abs().max() < 1e-5)
