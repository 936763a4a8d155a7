"""The end of an S4 layer: linear map, residual, LayerNorm, then the label, or the gate and the block's residual.

With many records these are matrix products that add where they write, and norms. With few, a launch costs more than its
work, and one kernel does all of it: each of its programs has all features of a few samples, and reads all weights.

Shapes: B records, H features, C = H / 2 channels, L samples of a row in memory, of which `valid` count.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from .norm import gate, norm, norm_gate, normed, plain_norm, plain_norm_gate

FEW = 2048  # tokens of all records, up to which one kernel is faster
WIDEST = 512  # features: the weights of more do not fit into the memory of a multiprocessor
TILE = dict(BT=16, num_warps=8, num_stages=3)


@triton.jit(do_not_specialize=["valid"])
def _linear_norm(
    y, w, vectors, u, label, g, res, x, valid, stride: tl.constexpr, L: tl.constexpr, C: tl.constexpr,
    NORM: tl.constexpr, LABEL: tl.constexpr, GATE: tl.constexpr, RES: tl.constexpr, BT: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    H: tl.constexpr = 2 * C
    tiles: tl.constexpr = (L + BT - 1) // BT
    record = tl.program_id(0) // tiles
    time = tl.program_id(0) % tiles * BT + tl.arange(0, BT)
    there = (time < L)[None, :]
    n = tl.arange(0, C)
    k = tl.arange(0, BK)
    at_y = (record * H + k)[:, None] * L + time[None, :]
    at_w = n[:, None] * H + k[None, :]
    left = tl.zeros((C, BT), dtype=tl.float32)
    right = tl.zeros((C, BT), dtype=tl.float32)
    for j in range(0, H, BK):
        v = tl.load(y + j * L + at_y, mask=there, other=0.0)
        left = tl.dot(tl.load(w + j + at_w), v, left)
        right = tl.dot(tl.load(w + C * H + j + at_w), v, right)
    at = (record * H + n)[:, None] * L + time[None, :]
    left += tl.load(u + at, mask=there, other=0.0).to(tl.float32) + tl.load(vectors + n)[:, None]
    right += tl.load(u + C * L + at, mask=there, other=0.0).to(tl.float32) + tl.load(vectors + C + n)[:, None]
    if NORM:
        left, right = normed(left, right, vectors, n, C)
    if GATE:
        gated = tl.trans(gate(left, right).to(g.dtype.element_ty))  # (BT, C)
        token = (record * L + time)[:, None]
        inside = (time < L)[:, None]
        tl.store(g + token.to(tl.int64) * stride + n[None, :], gated, mask=inside)
        if RES:
            at_x = token * C + n[None, :]
            new = tl.dot(gated, tl.load(res + n[:, None] * C + n[None, :]))
            new += tl.load(x + at_x, mask=inside, other=0.0).to(tl.float32)
            tl.store(x + at_x, (new * 0.7071067811865476).to(x.dtype.element_ty), mask=inside)
    else:
        if LABEL:
            left += tl.load(label + record * H + n)[:, None]
            right += tl.load(label + record * H + C + n)[:, None]
        inside = (time < valid)[None, :]
        tl.store(u + at, tl.where(inside, left, 0.0).to(u.dtype.element_ty), mask=there)
        tl.store(u + C * L + at, tl.where(inside, right, 0.0).to(u.dtype.element_ty), mask=there)


def linear_norm(y: Tensor, w: Tensor, vectors: Tensor, u: Tensor, label: Tensor | None, valid: int) -> Tensor:
    """LayerNorm(u + w y + bias) + label, in the place of u, zero from sample `valid` on.

    y, u (B, H, L), w (H, H) output by input, vectors and label as in `norm.norm`.
    """
    if _few(u):
        _launch(y, w, vectors, u, valid, label=label)
    else:
        torch.baddbmm(u, w.expand(len(u), -1, -1), y, out=u)
        norm(u, vectors, label, valid)
    return u


def linear_norm_gate(
    y: Tensor, w: Tensor, vectors: Tensor, u: Tensor, g: Tensor, res: Tensor | None, x: Tensor
) -> None:
    """The gate of LayerNorm(u + w y + bias), token by token, written to g (B L, C) as `norm.norm_gate` does.

    Given res (C, C) input by output, also x (B, L, C) = (x + g res) / sqrt 2, in place. u is lost.
    """
    if _few(u):
        _launch(y, w, vectors, u, u.shape[-1], g=g, res=res, x=x)
        return
    torch.baddbmm(u, w.expand(len(u), -1, -1), y, out=u)
    norm_gate(u, vectors, g)
    if res is not None:
        half, tokenwise = math.sqrt(0.5), x.flatten(0, 1)
        torch.addmm(tokenwise, g, res, beta=half, alpha=half, out=tokenwise)


def _few(u: Tensor) -> bool:
    return u.shape[0] * u.shape[2] <= FEW and u.shape[1] <= WIDEST


def _launch(
    y: Tensor, w: Tensor, vectors: Tensor, u: Tensor, valid: int, *, label: Tensor | None = None,
    g: Tensor | None = None, res: Tensor | None = None, x: Tensor | None = None,
) -> None:  # fmt: skip
    records, features, length = u.shape
    label_, g_, res_, x_ = (
        vectors if t is None else t for t in (label, g, res, x)
    )  # what is not there is not read
    _linear_norm[(records * triton.cdiv(length, TILE["BT"]),)](
        y, w, vectors, u, label_, g_, res_, x_, valid, stride=g_.stride(0), L=length, C=features // 2,
        NORM=len(vectors) == 3, LABEL=label is not None, GATE=g is not None, RES=res is not None,
        BK=min(64, features), **TILE,
    )  # fmt: skip


def plain(y: Tensor, w: Tensor, vectors: Tensor, u: Tensor, label: Tensor | None, valid: int) -> Tensor:
    """`linear_norm` by plain means, not in place."""
    return plain_norm(u.float() + w.float() @ y.float(), vectors, label, valid).to(u.dtype)


def plain_gate(
    y: Tensor, w: Tensor, vectors: Tensor, u: Tensor, res: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """`linear_norm_gate` by plain means, not in place: g and the new x."""
    g = plain_norm_gate(u.float() + w.float() @ y.float(), vectors).to(u.dtype)
    return g, ((x.float() + (g.float() @ res.float()).reshape(x.shape)) * math.sqrt(0.5)).to(x.dtype)
