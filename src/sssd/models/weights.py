"""Effective weights: the weights after weight normalisation, and the S4 kernels. They depend on the parameters only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .attention import AttentionWeights
from .parameters import DenoiserConfig, S4Layer, WeightNormConv
from .s4 import kernel_basis, spectrum_of, two_sided_taps

if TYPE_CHECKING:
    from .denoiser import Denoiser


class S4Weights(NamedTuple):
    kernel: Tensor  # spectrum (H, n / 2 + 1) complex, or two-sided taps (H, 2 L - 1) float32
    linear: Tensor  # (H, H)
    linear_bias: Tensor  # (H, 1)
    norm: tuple[Tensor, Tensor] | None  # scale and shift, each (H,) float32


class BlockWeights(NamedTuple):
    conv: Tensor  # (2 C, 3 C), tap by tap
    conv_bias: Tensor  # (2 C, 1)
    s4: tuple[S4Weights, S4Weights]
    res: Tensor  # (C, C)
    res_bias: Tensor  # (C, 1)
    skip: Tensor  # (skip, C)
    skip_bias: Tensor  # (skip, 1)
    attention: AttentionWeights | None


class Weights(NamedTuple):
    patch: int
    first: tuple[Tensor, Tensor]
    blocks: list[BlockWeights]
    last: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


def effective_weights(
    net: Denoiser,
    length: int,
    *,
    dtype: torch.dtype = torch.float32,
    bases: Sequence[tuple[Tensor, Tensor]] | None = None,
    toeplitz: bool = False,
) -> Weights:
    """Fold weight norms and compute S4 kernels for signals of `length`, differentiably in the parameters.

    dtype      the type of matrices; kernels and norms are float32
    bases      the result of `kernel_bases`, with which no Cauchy sums have to be computed
    toeplitz   return kernels as two-sided taps, for convolution by Toeplitz matrices at a length padded to a multiple
               of 8; otherwise they are spectra, for convolution by FFT
    """
    tokens = -(-length // net.config.patch)
    size = padded_tokens(net.config, length) if toeplitz or bases is not None else tokens

    def affine(conv: WeightNormConv) -> tuple[Tensor, Tensor]:
        return conv.weight().to(dtype), conv.bias[:, None].to(dtype)

    def s4(layer: S4Layer, basis: Tensor | None) -> S4Weights:
        taps = two_sided_taps(layer.kernel, layer.s4_layer.D, size, net.cauchy, basis)
        linear, norm = layer.s4_layer.output_linear, layer.norm_layer
        return S4Weights(
            taps if toeplitz else spectrum_of(taps),
            linear.weight.to(dtype),
            linear.bias.to(dtype),
            None if norm is None else (norm.weight, norm.bias),
        )

    blocks = []
    for i, block in enumerate(net.blocks):
        basis = (None, None) if bases is None else bases[i]
        blocks.append(
            BlockWeights(
                *affine(block.conv_layer.conv),
                (s4(block.S41, basis[0]), s4(block.S42, basis[1])),
                *affine(block.res_conv),
                *affine(block.skip_conv),
                None if block.attention is None else block.attention.weights(tokens, dtype),
            )
        )
    first, behind, last = net.outer_convs
    assert last.bias is not None
    end = last.weight[..., 0].to(dtype), last.bias[:, None].to(dtype)
    return Weights(net.config.patch, affine(first), blocks, (affine(behind), end))


def padded_tokens(config: DenoiserConfig, length: int) -> int:
    """Return the length at which the layers run, rounded up to a multiple of 8 for tensor cores."""
    return -(-length // (8 * config.patch)) * 8


def kernel_bases(net: Denoiser, length: int) -> list[tuple[Tensor, Tensor]]:
    """Compute the constant bases of all S4 kernels for signals of `length`, for training; see `effective_weights`."""
    size = padded_tokens(net.config, length)
    return [
        (kernel_basis(b.S41.kernel, size, net.cauchy), kernel_basis(b.S42.kernel, size, net.cauchy))
        for b in net.blocks
    ]
