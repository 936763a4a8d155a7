"""The S4 network on hand-written kernels, and on matrix products that add to their output: eight launches per block.

    x (B, L, C) --3-tap convolution--> u (B, H, L) --long convolution, linear, norm + label--> u (B, H, L)
                --long convolution, linear, norm + gate--> g (B, L, C) --residual--> x

The skip connections of all blocks and the convolution behind them are one matrix product at the end, over the g of all
blocks side by side. The bias of the residual, a constant that every block adds to x, is left out of x; instead it is
included in what the next 3-tap convolutions add (`offsets`), and attention adds it before its norm.

Shapes: B records, L tokens of a record padded to a multiple of 8 with zeros, C channels, H = 2 C features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.attention import HEAD, AttentionWeights, attention
from ..models.denoiser import Denoiser
from ..models.parameters import S4Layer
from ..models.s4 import two_sided_taps
from ..models.weights import padded_tokens
from .forms import Evaluate, of_labels, of_time
from .kernels.long_convolution import long_convolution, reach_of, shifted_taps
from .kernels.norm import norm, norm_gate
from .kernels.short_convolution import short_convolution


class S4(NamedTuple):
    taps: Tensor  # (H, 4, 2 W), see `shifted_taps`
    reach: Tensor  # (H, 2) int32, see `reach_of`
    linear: Tensor  # (H, H), output by input
    vectors: Tensor  # (3, H) float32: bias, scale and shift of the norm; (1, H) without norm


class Block(NamedTuple):
    conv: Tensor  # (3 C, H), input by output
    s4: tuple[S4, S4]
    res: Tensor  # (C, C), input by output
    attention: AttentionWeights | None


class Packed(NamedTuple):
    """The weights in the layout that the kernels need."""

    patch: int
    tokens: int  # of a record, without its padding
    first: tuple[Tensor, Tensor]  # (8 patch, C), (C,) float32
    blocks: list[Block]
    skip: tuple[
        Tensor, Tensor
    ]  # (layers C, skip), (skip,): all skip connections and the convolution behind them
    last: tuple[Tensor, Tensor]  # (skip, 8 patch), (8 patch,) float32


@torch.no_grad()
def pack(net: Denoiser, length: int, dtype: torch.dtype = torch.bfloat16) -> Packed:
    """Fold weight norms, compute S4 kernels and arrange all weights for signals of `length` samples."""
    tokens = -(-length // net.config.patch)
    padded = padded_tokens(net.config, length)

    def matrix(weight: Tensor) -> Tensor:
        return weight.T.to(dtype).contiguous()

    def s4(layer: S4Layer) -> S4:
        taps = two_sided_taps(layer.kernel, layer.s4_layer.D, tokens, net.cauchy)
        linear, norm = layer.s4_layer.output_linear, layer.norm_layer
        vectors = [linear.bias[:, 0]] + ([] if norm is None else [norm.weight, norm.bias])
        return S4(
            shifted_taps(taps, padded, dtype),
            reach_of(taps),
            linear.weight.to(dtype),
            torch.stack(vectors).contiguous(),
        )

    first, behind, last = net.outer_convs
    behind_mean = behind.weight() * math.sqrt(1 / len(net.blocks))  # (skip, skip)
    skip = torch.cat([b.skip_conv.weight() for b in net.blocks], dim=1)  # (skip, layers C)
    skip_bias = torch.stack([b.skip_conv.bias for b in net.blocks]).sum(0)
    assert last.bias is not None
    return Packed(
        net.config.patch,
        tokens,
        (first.weight().T.contiguous(), first.bias.detach()),
        [
            Block(
                matrix(b.conv_layer.conv.weight()),
                (s4(b.S41), s4(b.S42)),
                matrix(b.res_conv.weight()),
                None if b.attention is None else b.attention.weights(tokens, dtype),
            )
            for b in net.blocks
        ],
        (matrix(behind_mean @ skip), (behind_mean @ skip_bias + behind.bias).to(dtype)),
        (last.weight[..., 0].T.contiguous(), last.bias.detach()),
    )


@torch.no_grad()
def offsets(net: Denoiser, step: Tensor) -> Tensor:
    """Compute what each 3-tap convolution adds that does not depend on x, tap by tap: (S, layers, 3, H).

    step (layers, C, S) are the embeddings of the steps. The biases that x lacks are treated like them, and the bias of
    the convolution is part of the middle tap.
    """
    conv = [b.conv_layer.conv for b in net.blocks]
    weight = torch.stack([c.weight() for c in conv]).unflatten(-1, (3, -1))  # (layers, H, 3, C)
    through = torch.einsum("lhkc,lcs->slkh", weight, step + missing(net)[:-1, :, None])
    through[:, :, 1] += torch.stack([c.bias for c in conv])
    return through.contiguous()


@torch.no_grad()
def missing(net: Denoiser) -> Tensor:
    """Sum the residual biases that x lacks before each block and behind the last: (layers + 1, C)."""
    rows = [torch.zeros_like(net.blocks[0].res_conv.bias)]
    for block in net.blocks:
        rows.append((rows[-1] + block.res_conv.bias) * math.sqrt(0.5))
    return torch.stack(rows)


def attend(x: Tensor, lacking: Tensor, w: AttentionWeights, tokens: int) -> None:
    """Add attention in place to x (B, L, C), which lacks a constant (C,); see models.attention.attend."""
    valid = x[:, :tokens]
    z = F.layer_norm(valid.float() + lacking, lacking.shape, *w.norm).to(x.dtype)
    qkv = (z @ w.inputs.T).unflatten(-1, (3, -1, HEAD))  # (B, L, 3, heads, d)
    y = attention(qkv.permute(2, 0, 3, 1, 4), w.rotation)
    valid += y.transpose(1, 2).flatten(2) @ w.output.T


class FusedDenoiser:
    """The S4 network on these kernels; see `forms.Form`."""

    def __init__(self, net: Denoiser, length: int, dtype: torch.dtype) -> None:
        self.length, self.packed = length, pack(net, length, dtype)

    def of_steps(self, net: Denoiser, steps: Tensor) -> Tensor:
        """Return (S, layers, 3, H), see `offsets`."""
        return offsets(net, of_time(net, steps))

    def of_conditions(self, net: Denoiser, cond: Tensor) -> Tensor | None:
        """Return (layers, B, H)."""
        return of_labels(net, cond)

    def evaluator(self, net: Denoiser, records: int) -> Evaluate:
        evaluate = evaluator(net, self.packed, records, self.length)
        return lambda x, step, label: evaluate(x, step[0], label)


@torch.no_grad()
def evaluator(
    net: Denoiser, packed: Packed, records: int, length: int
) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Return the network as f(x (B, 8, length), offset (layers, 3, H), label (layers, B, H) or None), all float32.

    offset is a step's row of `offsets`. The function works in tensors that are allocated here, once: 4 + layers times
    B L C numbers.
    """
    device, dtype = packed.blocks[0].conv.device, packed.blocks[0].conv.dtype
    channels, features = packed.blocks[0].res.shape[0], packed.blocks[0].conv.shape[1]
    tokens, patch, layers = packed.tokens, packed.patch, len(packed.blocks)
    padded = padded_tokens(net.config, length)
    u, y = (torch.empty(records, features, padded, device=device, dtype=dtype) for _ in range(2))
    gates = torch.empty(records * padded, layers * channels, device=device, dtype=dtype)
    half, lacking = math.sqrt(0.5), missing(net)

    def evaluate(signal: Tensor, offset: Tensor, label: Tensor | None) -> Tensor:
        x = F.pad(signal, (0, padded * patch - length)).unflatten(-1, (padded, patch))
        x = x.permute(0, 2, 1, 3).flatten(2) @ packed.first[0] + packed.first[1]
        x = torch.relu_(x).to(dtype)  # (B, L, C)
        for i, w in enumerate(packed.blocks):
            g = gates[:, i * channels : (i + 1) * channels]
            short_convolution(x, w.conv, offset[i], u, tokens)
            for j, s4 in enumerate(w.s4):
                long_convolution(u, s4.taps, s4.reach, y)
                torch.baddbmm(u, s4.linear.expand(records, -1, -1), y, out=u)
                if j == 0:
                    norm(u, s4.vectors, None if label is None else label[i], tokens)
                else:
                    norm_gate(u, s4.vectors, g)
            if i + 1 < layers:
                tokenwise = x.flatten(0, 1)
                torch.addmm(tokenwise, g, w.res, beta=half, alpha=half, out=tokenwise)
                if w.attention is not None:
                    attend(x, lacking[i + 1], w.attention, tokens)
        h = torch.relu_(torch.addmm(packed.skip[1], gates, packed.skip[0]))
        h = h.float() @ packed.last[0] + packed.last[1]  # (B L, 8 patch)
        h = h.unflatten(0, (records, padded)).unflatten(-1, (-1, patch))
        return h.permute(0, 2, 1, 3).flatten(2)[..., :length]

    return evaluate
