"""y = gelu(k * u) for every feature, as a product with Toeplitz matrices that are never stored.

Row j of a feature's matrix is its taps shifted by j places. Four copies of the taps, shifted by 0 to 3 places, make
every four neighbours in a row one aligned word of 8 bytes, which the GPU reads through its L1 cache. A tile of the
matrix therefore costs no more than a stored one, and hardly any traffic.

With A > 1 blocks a record of A P samples is folded into A rows, and P x P tiles of the matrix belong to the lags
between blocks. This is twice the arithmetic but A times fewer bytes of tiles, which is faster if there are few records.

Shapes: B records, H features, L samples of a row in memory (a multiple of 8, padded with zeros), W = half the width of
the shifted taps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

SHIFTS = 4  # copies of the taps: as many as there are bf16 numbers in 8 bytes


def shifted_taps(taps: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """Arrange two-sided taps (H, 2 n - 1) as (H, 4, 2 W): copy r holds the tap at lag - r at place lag + W.

    Lags are -W .. W - 1. W is `length` rounded up to a multiple of 256, so that no tile reads beyond the end.
    """
    half = -(-length // 256) * 256
    reach = (taps.shape[-1] - 1) // 2
    wide = F.pad(taps, (half - reach + SHIFTS, half - reach))  # lags -(W + 4) .. W - 1
    copies = [wide[:, SHIFTS - r : SHIFTS - r + 2 * half] for r in range(SHIFTS)]
    return torch.stack(copies, dim=1).to(dtype).contiguous()


def reach_of(taps: Tensor, share: float = 2.0**-10) -> Tensor:
    """Return the last lags forward and backward that are used, (H, 2) int32, for two-sided taps (H, 2 n - 1).

    The taps beyond them in each direction hold less than share^2 of the energy, which is less than what rounding to
    bf16 changes.
    """
    energy = taps.double() ** 2
    middle = taps.shape[-1] // 2
    small = energy.sum(-1, keepdim=True) * share**2
    forward = energy[:, middle:].flip(-1).cumsum(-1).flip(-1)
    backward = energy[:, : middle + 1].cumsum(-1).flip(-1)
    last = [((tail > small).sum(-1) - 1).clamp(min=0) for tail in (forward, backward)]
    return torch.stack(last, dim=-1).to(torch.int32).contiguous()


@triton.jit
def _gelu(x):
    """Return x Phi(x) with a polynomial for Phi, fitted on [-4, 4]: the error is 4e-5 there, and 4e-5 |x| beyond."""
    c = tl.minimum(tl.maximum(x, -4.0), 4.0)
    s = c * c
    p = -1.3013284e-9 * s + 1.0419827e-7
    p = p * s - 3.65719242e-6
    p = p * s + 7.485588e-5
    p = p * s - 1.00649691e-3
    p = p * s + 9.50542596e-3
    p = p * s - 6.58879005e-2
    p = p * s + 0.398673437
    return x * (0.5 + c * p)


@triton.jit(do_not_specialize=["records"])
def _long_convolution(
    u, taps, reach, y, records, SB: tl.constexpr, SH: tl.constexpr, L: tl.constexpr, W: tl.constexpr,
    A: tl.constexpr, P: tl.constexpr, R: tl.constexpr, GELU: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(1)
    columns: tl.constexpr = (P + BN - 1) // BN
    row = tl.program_id(0) // columns * BM + tl.arange(0, BM)  # one row per block of a record
    first = tl.program_id(0) % columns * BN
    col = first + tl.arange(0, BN)  # time of the output within its block
    record, block = row // A, row % A
    there = (record < records)[:, None]
    k = tl.arange(0, BK)
    base = (record * SB + h * SH)[:, None]
    taps += h * (R * 2 * W) + W
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    forward, backward = tl.load(reach + 2 * h), tl.load(reach + 2 * h + 1)
    if A == 1:
        start = tl.maximum(first - forward, 0) // BK * BK
        stop = tl.minimum(first + BN + backward, L)
        at_taps = ((k % R) * (2 * W) - k // R * R)[:, None] + col[None, :]
        for j in range(start, stop, BK):  # time of the input
            x = tl.load(u + j + (base + k[None, :]), mask=there & (j + k < L)[None, :], other=0.0)
            acc = tl.dot(x, tl.load(taps - j + at_taps), acc)
    else:
        b = k % P  # time of the input within its block
        at_taps = ((b % R) * (2 * W) - b // R * R + k // P * P)[:, None] + col[None, :]
        at_u = base + (block * P)[:, None] + (b - k // P * P)[None, :]
        steps: tl.constexpr = (P + BK - 1) // BK  # for each block, unless one step covers several blocks
        ahead: tl.constexpr = (BK + P - 1) // P
        last: tl.constexpr = A - 1
        start = (last - tl.minimum((backward + P - 1) // P, last)) // ahead * steps
        stop = ((last + tl.minimum((forward + P - 1) // P, last)) // ahead + 1) * steps
        for step in range(start, stop):
            j = step % steps * BK
            d = step // steps * ahead - last
            lag = d * P - j
            d += k // P  # blocks between source and target
            source = block[:, None] - d[None, :]
            inside = (source >= 0) & (source < A) & (source * P + (j + b)[None, :] < L)
            x = tl.load(u - lag + at_u, mask=there & inside, other=0.0)
            t = tl.load(taps + lag + at_taps, mask=(d < A)[:, None], other=0.0)
            acc = tl.dot(x, t, acc)
    if GELU:
        acc = _gelu(acc)
    out = block[:, None] * P + col[None, :]
    tl.store(y + base + out, acc.to(y.dtype.element_ty), mask=there & ((col < P)[None, :] & (out < L)))


def long_convolution(u: Tensor, taps: Tensor, reach: Tensor, out: Tensor, *, gelu: bool = True) -> Tensor:
    """Convolve u (B, H, L) with `shifted_taps`, apply gelu, and write the result (B, H, L) in u's type to `out`.

    u and out may have any strides of records and features, the same for both. ValueError if they differ.
    """
    records, features, length = u.shape
    if u.stride() != out.stride() or u.stride(2) != 1:
        raise ValueError(
            f"strides {u.stride()} and {out.stride()}: expected the same, and samples side by side"
        )
    half = taps.shape[-1] // 2
    block, tile = _tile(records, length)
    blocks = triton.cdiv(length, block)
    grid = (triton.cdiv(records * blocks, tile["BM"]) * triton.cdiv(block, tile["BN"]), features)
    _long_convolution[grid](
        u, taps, reach, out, records, SB=u.stride(0), SH=u.stride(1), L=length, W=half, A=blocks, P=block,
        R=taps.shape[1], GELU=gelu, **tile,
    )  # fmt: skip
    return out


def _tile(records: int, length: int) -> tuple[int, dict[str, int]]:
    """Return the samples of a block and the tile that were fastest on an H200 for this number of records."""
    if records >= 64:
        return length, dict(BM=256, BN=128, BK=64, num_warps=8, num_stages=3)
    if records >= 16:
        return 256, dict(BM=128, BN=256, BK=64, num_warps=8, num_stages=3)
    if records > 2:
        return 64, dict(BM=128, BN=64, BK=64, num_warps=4, num_stages=4)
    return 32, dict(BM=32, BN=32, BK=128, num_warps=1, num_stages=3)


def plain(u: Tensor, taps: Tensor, *, gelu: bool = True) -> Tensor:
    """Return the same in plain PyTorch."""
    length, half = u.shape[-1], taps.shape[-1] // 2
    lag = torch.arange(length)[None, :] - torch.arange(length)[:, None] + half  # (in, out)
    matrix = taps[:, 0].float()[:, lag.to(taps.device)]
    y = (u.float().transpose(0, 1) @ matrix).transpose(0, 1)
    return (F.gelu(y) if gelu else y).to(u.dtype)
