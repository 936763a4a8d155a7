"""The network as a pure function of its effective weights: gated residual blocks with two S4 layers each.

Shapes: B batch, K classes, C channels of the residual stream, L length. Inside, tensors are (C, B, L), so that every
1x1 convolution is one matrix product over all records and times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import counted
from .attention import attend
from .embeddings import step_embedding
from .s4 import fft_convolve, toeplitz_convolve
from .weights import BlockWeights, S4Weights, Weights

if TYPE_CHECKING:
    from .denoiser import Denoiser

Convolve = Callable[[Tensor, Tensor], Tensor]


class Biases(NamedTuple):
    """What step and label add in each block: (layers, C, B) and (layers, 2 C, B)."""

    step: Tensor
    label: Tensor | None


def biases(net: Denoiser, cond: Tensor, steps: Tensor) -> Biases:
    """Project the embeddings of steps (B, 1) and labels (B, K) for all blocks; B may differ between the two.

    For a network that also takes age, sex or heart rate, `cond` may lack those columns; all are unknown then.
    """
    group = net.residual_layer
    embedded = step_embedding(steps, net.config.diffusion_step_embed_dim_in)
    for linear in (group.fc_t1, group.fc_t2):
        embedded = F.silu(linear(embedded))
    step = _project([b.fc_t for b in net.blocks], embedded)
    if net.embedding is None:
        return Biases(step, None)
    given, classes = cond.shape[-1], len(net.embedding.weight)
    behind = len(net.takes.columns)
    if given not in (classes, classes - behind):
        but = f", or all but the {behind} of {net.takes.in_words}" if behind else ""
        raise ValueError(f"conditions have {counted(given, 'column')}: the network expects {classes}{but}")
    embedded = cond.float() @ net.embedding.weight[:given]
    return Biases(step, _project([b.fc_label for b in net.blocks], embedded))


def _project(layers: Sequence[nn.Linear | None], embedded: Tensor) -> Tensor:
    """Apply all layers at once to embedded (B, E): (layers, outputs, B)."""
    weight = torch.stack([layer.weight for layer in layers if layer is not None])
    bias = torch.stack([layer.bias for layer in layers if layer is not None])
    return weight @ embedded.T + bias[..., None]


def _matmul(weight: Tensor, x: Tensor, addend: Tensor) -> Tensor:
    """Return weight (O, I) times x (I, B, L) plus a bias (O, 1) or another addend (O, B, L): (O, B, L)."""
    return torch.addmm(addend.flatten(1), weight, x.flatten(1)).unflatten(1, x.shape[1:])


def s4_layer(u: Tensor, w: S4Weights, valid: int, dropout: float, convolve: Convolve) -> Tensor:
    """Return LayerNorm(u + W gelu(k * u)) for u (H, B, L); samples from `valid` on are padding and are not used."""
    if w.kernel.is_complex():
        y = fft_convolve(u, w.kernel)
    else:
        y = convolve(F.pad(u[..., :valid], (0, u.shape[-1] - valid)), w.kernel)
    if dropout:
        y = _matmul(w.linear, F.gelu(y), w.linear_bias)
        y = u + y * F.dropout(torch.ones_like(y[..., :1]), dropout)
    else:
        y = _matmul(w.linear, F.gelu(y), u + w.linear_bias[..., None])
    if w.norm is None:
        return y
    z = y.float()  # in place from here on, as far as gradients allow
    z -= z.mean(0)
    z = z * torch.rsqrt((z * z).mean(0) + 1e-5)
    scale, shift = (v[:, None, None] for v in w.norm)
    z *= scale
    z += shift
    return z.to(y.dtype)


def residual_block(
    x: Tensor,
    w: BlockWeights,
    step: Tensor,
    label: Tensor | None,
    valid: int,
    dropout: float,
    convolve: Convolve = toeplitz_convolve,
) -> tuple[Tensor, Tensor]:
    """Apply a gated residual block to x (C, B, L), step (C, B), label (2 C, B); return the next x and the skip output.

    If attention follows the block, it is computed here too. convolve: a function of u (H, B, L) and the taps, which is
    used where kernels are two-sided taps.
    """
    h = (x + step[..., None])[..., :valid]
    h = F.pad(h, (1, 1 + x.shape[-1] - valid))
    h = torch.cat((h[..., :-2], h[..., 1:-1], h[..., 2:]))  # the three taps of the convolution, (3 C, B, L)
    h = s4_layer(_matmul(w.conv, h, w.conv_bias), w.s4[0], valid, dropout, convolve)
    if label is not None:
        h = h + label[..., None]
    h = s4_layer(h, w.s4[1], valid, dropout, convolve)
    left, right = h.chunk(2)
    gated = torch.tanh(left) * torch.sigmoid(right)
    x = _matmul(w.res, gated, x + w.res_bias[..., None]) * math.sqrt(0.5)
    if w.attention is not None:
        x = attend(x, w.attention, valid)
    return x, _matmul(w.skip, gated, w.skip_bias)


def denoise(
    weights: Weights,
    x: Tensor,
    biases: Biases,
    dropout: float = 0.0,
    block: Callable[..., tuple[Tensor, Tensor]] = residual_block,
) -> Tensor:
    """Evaluate the network: x (B, 8, L) float32 -> (B, 8, L) float32, computed in the precision of its weights."""
    dtype, patch, length = weights.first[0].dtype, weights.patch, x.shape[-1]
    tokens = -(-length // patch)
    x = F.pad(x, (0, tokens * patch - length)).unflatten(-1, (tokens, patch))
    h = x.permute(1, 3, 0, 2).flatten(0, 1).to(dtype)  # (8 patch, B, L)
    kernel = weights.blocks[0].s4[0].kernel
    if not kernel.is_complex():
        h = F.pad(h, (0, (kernel.shape[-1] + 1) // 2 - tokens))
    h = torch.relu(_matmul(weights.first[0], h, weights.first[1]))
    skip: Tensor | None = None
    for i, w in enumerate(weights.blocks):
        label = None if biases.label is None else biases.label[i].to(dtype)
        h, out = block(h, w, biases.step[i].to(dtype), label, tokens, dropout)
        skip = out if skip is None else skip + out
    assert skip is not None
    skip = skip * math.sqrt(1 / len(weights.blocks))
    (w0, b0), (w1, b1) = weights.last
    y = _matmul(w1, torch.relu(_matmul(w0, skip, b0)), b1)[..., :tokens].float()
    return y.unflatten(0, (-1, patch)).permute(2, 0, 3, 1).flatten(-2)[..., :length]
