"""Self-attention over a record (Vaswani et al. 2017), through which each beat depends on all the others.

An S4 layer is a fixed filter: it cannot find the other beats of a record and make its own beat like them. Half of each
head's channels are rotated by an angle that grows with time (RoPE, Su et al. 2021), so that attention can depend on the
interval between two beats. The other half are not rotated, so that attention can also depend on the shape of a beat,
whatever the interval.

Shapes as in function.py: C channels, B records, L tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD = 32  # channels of a head
SLOWEST = 0.01  # radians per token of the slowest rotation; the fastest is 1


class AttentionWeights(NamedTuple):
    norm: tuple[Tensor, Tensor]  # scale and shift, each (C,) float32
    rotation: tuple[Tensor, Tensor]  # cos and sin, each (L, HEAD / 4) float32
    inputs: Tensor  # (3 C, C): queries, keys, values
    output: Tensor  # (C, C)


class AttentionLayer(nn.Module):
    """The parameters of x + W attention(LayerNorm(x)); W is zero before training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % HEAD:
            raise ValueError(f"res_channels is {channels}: attention expects a multiple of {HEAD}")
        self.norm_layer = nn.LayerNorm(channels)
        self.inputs = nn.Linear(channels, 3 * channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.output.weight)
        planes = HEAD // 4
        frequency = [SLOWEST ** (i / (planes - 1)) for i in range(planes)]
        self.register_buffer("frequency", torch.tensor(frequency, device="cpu"), persistent=False)

    def weights(self, tokens: int, dtype: torch.dtype) -> AttentionWeights:
        """Return what `attend` needs for records of this many tokens, with matrices in `dtype`."""
        frequency = self.get_buffer("frequency")
        angle = torch.arange(tokens, device=frequency.device)[:, None] * frequency
        return AttentionWeights(
            (self.norm_layer.weight, self.norm_layer.bias),
            (angle.cos(), angle.sin()),
            self.inputs.weight.to(dtype),
            self.output.weight.to(dtype),
        )


def attend(x: Tensor, w: AttentionWeights, valid: int) -> Tensor:
    """Return x + W attention(LayerNorm(x)) for x (C, B, L); tokens from `valid` on are padding and do not change."""
    channels, length = len(x), x.shape[-1]
    z = x[..., :valid].float()
    z = z - z.mean(0)
    z = z * torch.rsqrt((z * z).mean(0) + 1e-5)
    scale, shift = (v[:, None, None] for v in w.norm)
    z = (z * scale + shift).to(x.dtype)
    qkv = (w.inputs @ z.flatten(1)).view(3, -1, HEAD, *z.shape[1:])  # (3, heads, d, B, L)
    y = attention(qkv.permute(0, 3, 1, 4, 2), w.rotation)
    y = w.output @ y.permute(1, 3, 0, 2).reshape(channels, -1)
    return x + F.pad(y.view(z.shape), (0, length - valid))


def attention(qkv: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Return the attention of queries, keys and values (3, B, heads, L, d) after rotation: (B, heads, L, d)."""
    q, k, v = qkv.unbind(0)
    return F.scaled_dot_product_attention(rotate(q, *rotation), rotate(k, *rotation), v.contiguous())


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first half of x (..., L, d) in planes of two channels; the angles have cos and sin (L, d / 4)."""
    n = cos.shape[-1]
    a, b = x[..., :n], x[..., n : 2 * n]
    return torch.cat(
        ((a * cos - b * sin).to(x.dtype), (a * sin + b * cos).to(x.dtype), x[..., 2 * n :]), dim=-1
    )
