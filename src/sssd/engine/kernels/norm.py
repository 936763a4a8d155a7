"""The end of an S4 layer: LayerNorm over features (Ba et al. 2016), then the label or the gate, in one pass.

Shapes: B records, H features, C = H / 2 channels, L samples of a row in memory; the first `valid` of them are used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

EPSILON = 1e-5


@triton.jit
def _load(z, vectors, at, n, there):
    return tl.load(z + at, mask=there, other=0.0).to(tl.float32) + tl.load(vectors + n)[:, None]


@triton.jit(do_not_specialize=["valid"])
def _norm(
    z, vectors, label, valid, L: tl.constexpr, H: tl.constexpr, NORM: tl.constexpr, LABEL: tl.constexpr,
    BT: tl.constexpr,
):  # fmt: skip
    tiles: tl.constexpr = (L + BT - 1) // BT
    record = tl.program_id(0) // tiles
    time = (tl.program_id(0) % tiles * BT + tl.arange(0, BT))[None, :]
    n = tl.arange(0, H)
    at = (record * H + n)[:, None] * L + time
    x = _load(z, vectors, at, n, time < L)  # (H, BT)
    if NORM:
        x -= (tl.sum(x, axis=0) / H)[None, :]
        x *= tl.rsqrt(tl.sum(x * x, axis=0) / H + 1e-5)[None, :]
        x = x * tl.load(vectors + H + n)[:, None] + tl.load(vectors + 2 * H + n)[:, None]
    if LABEL:
        x += tl.load(label + record * H + n)[:, None]
    x = tl.where(time < valid, x, 0.0)
    tl.store(z + at, x.to(z.dtype.element_ty), mask=time < L)


@triton.jit
def _norm_gate(
    z, vectors, out, stride: tl.constexpr, L: tl.constexpr, C: tl.constexpr, NORM: tl.constexpr, BT: tl.constexpr
):  # fmt: skip
    H: tl.constexpr = 2 * C
    tiles: tl.constexpr = (L + BT - 1) // BT
    record = tl.program_id(0) // tiles
    time = (tl.program_id(0) % tiles * BT + tl.arange(0, BT))[None, :]
    n = tl.arange(0, C)
    at = (record * H + n)[:, None] * L + time
    left = _load(z, vectors, at, n, time < L)  # (C, BT)
    right = _load(z, vectors, at + C * L, C + n, time < L)
    if NORM:
        mean = (tl.sum(left, axis=0) + tl.sum(right, axis=0)) / H
        left -= mean[None, :]
        right -= mean[None, :]
        scale = tl.rsqrt((tl.sum(left * left, axis=0) + tl.sum(right * right, axis=0)) / H + 1e-5)[None, :]
        left = left * scale * tl.load(vectors + H + n)[:, None] + tl.load(vectors + 2 * H + n)[:, None]
        vectors += C
        right = right * scale * tl.load(vectors + H + n)[:, None] + tl.load(vectors + 2 * H + n)[:, None]
    e = tl.exp(-2.0 * tl.abs(left))
    tanh = tl.where(left < 0.0, e - 1.0, 1.0 - e) / (1.0 + e)
    gated = tanh / (1.0 + tl.exp(-right))
    to = out + (record * L + time).to(tl.int64) * stride + n[:, None]
    tl.store(to, gated.to(out.dtype.element_ty), mask=time < L)


def _tile(tokens: int) -> dict[str, int]:
    return dict(BT=32 if tokens >= 16384 else 16 if tokens > 2048 else 8, num_warps=4)


def norm(z: Tensor, vectors: Tensor, label: Tensor | None, valid: int) -> Tensor:
    """Compute LayerNorm(z + bias) + label in place; samples from `valid` on become zero.

    z (B, H, L), vectors (3, H) float32: bias, scale and shift of the norm ((1, H): no norm), label (B, H) float32.
    """
    records, features, length = z.shape
    tile = _tile(records * length)
    _norm[(records * triton.cdiv(length, tile["BT"]),)](
        z, vectors, vectors if label is None else label, valid, L=length, H=features, NORM=len(vectors) == 3,
        LABEL=label is not None, **tile,
    )  # fmt: skip
    return z


def norm_gate(z: Tensor, vectors: Tensor, out: Tensor) -> Tensor:
    """Compute tanh(first half) sigmoid(second half) of LayerNorm(z + bias), token by token, into out (B L, C).

    z (B, H, L), vectors as in `norm`. The rows of out may be parts of longer rows.
    """
    records, features, length = z.shape
    tile = _tile(records * length)
    _norm_gate[(records * triton.cdiv(length, tile["BT"]),)](
        z, vectors, out, stride=out.stride(0), L=length, C=features // 2, NORM=len(vectors) == 3, **tile
    )
    return out


def plain_norm(z: Tensor, vectors: Tensor, label: Tensor | None, valid: int) -> Tensor:
    """Return `norm` in plain PyTorch, not in place."""
    x = z.float().transpose(1, 2) + vectors[0]  # (B, L, H)
    if len(vectors) == 3:
        x = F.layer_norm(x, x.shape[-1:], vectors[1], vectors[2], EPSILON)
    if label is not None:
        x = x + label[:, None]
    x[:, valid:] = 0
    return x.transpose(1, 2).to(z.dtype)


def plain_norm_gate(z: Tensor, vectors: Tensor) -> Tensor:
    """Return `norm_gate` in plain PyTorch: (B L, C)."""
    x = plain_norm(z.float(), vectors, None, z.shape[-1])
    left, right = x.transpose(1, 2).flatten(0, 1).chunk(2, dim=-1)
    return (torch.tanh(left) * torch.sigmoid(right)).to(z.dtype)
