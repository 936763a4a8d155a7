"""The 3-tap convolution of a residual block on x + step embedding, with zeros beyond both ends of a record.

The embedding is constant in time. What it adds to the result is therefore one vector in the middle of a record and two
others at its ends.

Shapes: B records, L samples of a row in memory, of which the first `valid` are used; C channels in, token by token
(B, L, C); H = 2 C features out, feature by feature (B, H, L), as the long convolution needs them.
"""

from __future__ import annotations

import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor


@triton.jit(do_not_specialize=["valid"])
def _short_convolution(
    x, w, bias, out, valid, L: tl.constexpr, C: tl.constexpr, H: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    tiles: tl.constexpr = (L + BM - 1) // BM
    columns: tl.constexpr = H // BN
    pid = tl.program_id(0)
    n = pid % columns * BN + tl.arange(0, BN)
    record = pid // columns // tiles
    time = pid // columns % tiles * BM + tl.arange(0, BM)
    k = tl.arange(0, BK)
    at_x = ((record * L + time - 1) * C)[:, None] + k[
        None, :
    ]  # three neighbouring rows of x, one behind the other, are a row of the matrix
    at_w = k[:, None] * H + n[None, :]
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for j in range(0, 3 * C, BK):
        source = time + (j // C - 1)
        a = tl.load(x + j + at_x, mask=((source >= 0) & (source < valid))[:, None], other=0.0)
        acc = tl.dot(a, tl.load(w + j * H + at_w), acc)
    left, middle, right = tl.load(bias + n), tl.load(bias + H + n), tl.load(bias + 2 * H + n)
    acc += middle[None, :]
    acc += tl.where((time > 0)[:, None], left[None, :], 0.0)
    acc += tl.where((time < valid - 1)[:, None], right[None, :], 0.0)
    acc = tl.where((time < valid)[:, None], acc, 0.0)
    at = out + (record * H + n)[None, :] * L + time[:, None]
    tl.store(at, acc.to(out.dtype.element_ty), mask=(time < L)[:, None])


def short_convolution(x: Tensor, w: Tensor, bias: Tensor, out: Tensor, valid: int) -> Tensor:
    """Convolve x (B, L, C) with w (3 C, H), tap by tap, and write the result to out (B, H, L).

    bias (3, H) float32, without gaps, is what the embedding gives through each tap, with the convolution's own bias in
    the middle one. Samples from `valid` on become zero.
    """
    records, length, channels = x.shape
    features = w.shape[1]
    tile = _tile(records * length, channels, features)
    grid = (records * triton.cdiv(length, tile["BM"]) * (features // tile["BN"]),)
    _short_convolution[grid](x, w, bias, out, valid, L=length, C=channels, H=features, **tile)
    return out


def _tile(tokens: int, channels: int, features: int) -> dict[str, int]:
    """Return the tile that was fastest on an H200 for this number of tokens."""
    if tokens >= 16384:
        tile = dict(BM=128, BN=128, BK=64, num_warps=8, num_stages=3, maxnreg=128)
    else:
        tile = dict(BM=64, BN=64 if tokens > 2048 else 32, BK=64, num_warps=4, num_stages=4)
    return tile | dict(BN=min(tile["BN"], features), BK=min(tile["BK"], channels))


def plain(x: Tensor, w: Tensor, bias: Tensor, valid: int) -> Tensor:
    """Return the same in plain PyTorch."""
    channels, ends = x.shape[-1], (1, 1 + x.shape[1] - valid)
    left, middle, right = bias.unbind()  # (H,) each
    u = F.pad(x[:, :valid].float(), (0, 0, *ends))
    y = (
        sum(u[:, i : i + x.shape[1]] @ w[i * channels : (i + 1) * channels].float() for i in range(3))
        + middle
    )
    y[:, 1:] += left
    y[:, : valid - 1] += right
    y[:, valid:] = 0
    return y.transpose(1, 2).to(x.dtype)
