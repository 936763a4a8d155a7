"""The gradient of a long convolution with respect to its taps: the correlation of input and output gradient.

Signals are cut into blocks. For each distance between blocks a program sums the outer products (P x P) of output and
input over all records and all pairs of blocks at this distance. Then it sums the matrix along its diagonals, each of
which is one lag; it writes the matrix to memory and reads its rows back shifted, so that diagonals become columns.

Shapes: H features, B records, L samples of a row in memory, A blocks of P samples.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 128


@triton.jit(do_not_specialize=["records"])
def _correlation(
    g, u, scratch, out, records, SB: tl.constexpr, SH: tl.constexpr, L: tl.constexpr, A: tl.constexpr,
    P: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(1)
    d = tl.program_id(0) - (A - 1)  # blocks between input and output
    program = h * (2 * A - 1) + tl.program_id(0)
    p = tl.arange(0, P)
    k = tl.arange(0, BK)
    acc = tl.zeros((P, P), dtype=tl.float32)
    pairs = A - tl.abs(d)  # pairs of blocks at this distance in a record
    for first in range(0, records * pairs, BK):
        record, block = (first + k) // pairs, (first + k) % pairs + tl.maximum(d, 0)
        source = block - d
        there = record < records
        base = record * SB + h * SH
        later, sooner = block * P, source * P
        out_there = there[None, :] & (p[:, None] + later[None, :] < L)
        in_there = there[:, None] & (sooner[:, None] + p[None, :] < L)
        a = tl.load(g + p[:, None] + (base + later)[None, :], mask=out_there, other=0.0)
        b = tl.load(u + (base + sooner)[:, None] + p[None, :], mask=in_there, other=0.0)
        acc = tl.dot(a, b, acc)
    scratch += program.to(tl.int64) * (P * P)
    tl.store(scratch + p[:, None] * P + p[None, :], acc)
    tl.debug_barrier()
    for first in range(0, 2 * P, BT):
        lag = first - P + tl.arange(0, BT)  # time of output minus time of input, without d P
        q = p[:, None] - lag[None, :]
        z = tl.load(scratch + p[:, None] * P + q, mask=(q >= 0) & (q < P), other=0.0)
        tl.store(out + program * (2 * P) + P + lag, tl.sum(z, axis=0))


def correlation(g: Tensor, u: Tensor) -> Tensor:
    """sum over records and i of g_i u_{i - lag}, for g, u (B, H, L): (H, 2 L - 1) float32, lags -(L - 1) .. L - 1.

    g and u may be seen through any strides of records and features, the same for both.
    """
    records, features, length = u.shape
    if u.stride() != g.stride() or u.stride(2) != 1:
        raise ValueError(
            f"strides {g.stride()} and {u.stride()}: expected the same, and samples side by side"
        )
    blocks = triton.cdiv(length, BLOCK)
    parts = torch.empty(features, 2 * blocks - 1, 2 * BLOCK, dtype=torch.float32, device=u.device)
    scratch = torch.empty(features, 2 * blocks - 1, BLOCK, BLOCK, dtype=torch.float32, device=u.device)
    _correlation[(2 * blocks - 1, features)](
        g, u, scratch, parts, records, SB=u.stride(0), SH=u.stride(1), L=length, A=blocks, P=BLOCK, BK=64, BT=32,
        num_warps=8, num_stages=3,
    )  # fmt: skip
    before, after = parts.chunk(2, dim=-1)  # for each distance: the lags below d P, and those from d P on
    lags = F.pad(before.flatten(1), (0, BLOCK)) + F.pad(after.flatten(1), (BLOCK, 0))  # the first is lag -A P
    return lags[:, blocks * BLOCK - length + 1 : blocks * BLOCK + length]
