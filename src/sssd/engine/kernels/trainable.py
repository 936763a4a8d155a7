"""The long convolution as a PyTorch operator with gradients, for training on a GPU.

Shapes: H features, B records, L samples (a multiple of 8). Signals are (H, B, L), as in the plain network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .correlation import correlation
from .long_convolution import long_convolution, shifted_taps


def _convolve(u: Tensor, taps: Tensor) -> Tensor:
    out = torch.empty_like(u)
    reach = torch.full((len(taps), 2), u.shape[-1], dtype=torch.int32, device=u.device)
    by_record = u.transpose(0, 1)
    long_convolution(
        by_record, shifted_taps(taps, u.shape[-1], u.dtype), reach, out.transpose(0, 1), gelu=False
    )
    return out


def _correlate(g: Tensor, u: Tensor) -> Tensor:
    return correlation(g.transpose(0, 1), u.transpose(0, 1)).contiguous()


def _register() -> None:
    convolve_op = torch.library.custom_op(
        "sssd::convolve", mutates_args=(), schema="(Tensor u, Tensor taps) -> Tensor"
    )(_convolve)
    correlate_op = torch.library.custom_op(
        "sssd::correlate", mutates_args=(), schema="(Tensor g, Tensor u) -> Tensor"
    )(_correlate)
    convolve_op.register_fake(lambda u, taps: torch.empty_like(u))
    correlate_op.register_fake(lambda g, u: u.new_empty(u.shape[0], 2 * u.shape[-1] - 1, dtype=torch.float32))

    def keep(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def backward(ctx, g):
        u, taps = ctx.saved_tensors
        g = g.contiguous()
        return torch.ops.sssd.convolve(g, taps.flip(-1)), torch.ops.sssd.correlate(g, u)

    convolve_op.register_autograd(backward, setup_context=keep)


_register()


def convolve(u: Tensor, taps: Tensor) -> Tensor:
    """Convolve u (H, B, L) with two-sided taps (H, 2 L - 1) float32, differentiably: (H, B, L) in u's type."""
    return torch.ops.sssd.convolve(u.contiguous(), taps)
