"""The denoiser of SSSD-ECG: gated residual blocks with two S4 layers each (Alcaraz and Strodthoff 2023, sec. 3).

A network is its *effective weights* (weight norms folded, S4 kernels computed, all of it independent of the signal)
put through one pure function, `denoise`. Training computes the effective weights in each step; inference once.

Shapes: B batch, K classes, C channels of the residual stream, E embedding, L length. Inside, tensors are (C, B, L), so
that every 1x1 convolution is one matrix product over all records and times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..patient import COLUMNS
from .attention import AttentionLayer, AttentionWeights, attend
from .embeddings import step_embedding
from .s4 import (
    CAUCHY,
    Cauchy,
    S4Kernel,
    fft_convolve,
    kernel_basis,
    spectrum_of,
    toeplitz_convolve,
    two_sided_taps,
)

T = TypeVar("T")
Convolve = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class DenoiserConfig:
    """Size of the network, under the names of SSSD-ECG's wavenet_config; the defaults are the published network.

    `patch` folds that many consecutive samples into channels (1: none), so that all layers run at length L / patch.
    `attention_every`: a layer of self-attention after every so many blocks (0: none).
    """

    in_channels: int = 8
    out_channels: int = 8
    num_res_layers: int = 36
    res_channels: int = 256
    skip_channels: int = 256
    diffusion_step_embed_dim_in: int = 128
    diffusion_step_embed_dim_mid: int = 512
    diffusion_step_embed_dim_out: int = 512
    s4_lmax: int = 1000
    s4_d_state: int = 64
    s4_dropout: float = 0.0
    s4_bidirectional: bool = True
    s4_layernorm: bool = True
    label_embed_dim: int = 128
    label_embed_classes: int = 71
    patch: int = 1
    attention_every: int = 0

    def attends(self, block: int) -> bool:
        """Whether a layer of attention follows this block (0, 1, ...)."""
        return self.attention_every > 0 and (block + 1) % self.attention_every == 0


class WeightNormConv(nn.Module):
    """Parameters of a 1-d convolution with weight normalisation (Salimans and Kingma 2016): weight = g v / |v|."""

    def __init__(self, inputs: int, outputs: int, taps: int = 1) -> None:
        super().__init__()
        weight = nn.init.kaiming_normal_(torch.empty(outputs, inputs, taps))
        self.weight_g = nn.Parameter(weight.norm(dim=(1, 2), keepdim=True))
        self.weight_v = nn.Parameter(weight)
        bound = 1 / math.sqrt(inputs * taps)
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def weight(self) -> Tensor:
        """The folded weight as a matrix (outputs, taps * inputs), tap by tap."""
        v = self.weight_v
        return (v * (self.weight_g / v.norm(dim=(1, 2), keepdim=True))).transpose(1, 2).flatten(1)


class Conv(nn.Module):
    """Like the three classes below, a shelf that gives parameters the names of the published checkpoints."""

    def __init__(self, conv: WeightNormConv) -> None:
        super().__init__()
        self.conv = conv


class LastConv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 1)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)


class Kernel(nn.Module):
    def __init__(self, kernel: S4Kernel) -> None:
        super().__init__()
        self.kernel = kernel


class S4(nn.Module):
    def __init__(self, features: int, kernel: S4Kernel) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.randn(1, features))
        self.kernel = Kernel(kernel)
        self.output_linear = nn.Linear(features, features)
        self.output_linear.bias = nn.Parameter(self.output_linear.bias.detach()[:, None].clone())


class S4Layer(nn.Module):
    """Parameters of one S4 layer: convolution, GELU, linear map, residual, LayerNorm."""

    def __init__(self, features: int, config: DenoiserConfig) -> None:
        super().__init__()
        lmax = config.s4_lmax // config.patch
        self.s4_layer = S4(features, S4Kernel(1 + config.s4_bidirectional, features, config.s4_d_state, lmax))
        self.norm_layer = nn.LayerNorm(features) if config.s4_layernorm else None

    @property
    def kernel(self) -> S4Kernel:
        return self.s4_layer.kernel.kernel


class ResidualBlock(nn.Module):
    """Parameters of one residual block, and of the attention behind it where there is one."""

    def __init__(self, config: DenoiserConfig, attends: bool = False) -> None:
        super().__init__()
        c = config.res_channels
        self.fc_t = nn.Linear(config.diffusion_step_embed_dim_out, c)
        self.S41 = S4Layer(2 * c, config)
        self.conv_layer = Conv(WeightNormConv(c, 2 * c, 3))
        self.S42 = S4Layer(2 * c, config)
        self.res_conv = WeightNormConv(c, c)
        self.skip_conv = WeightNormConv(c, config.skip_channels)
        self.fc_label = nn.Linear(config.label_embed_dim, 2 * c) if config.label_embed_classes else None
        self.attention = AttentionLayer(c) if attends else None


class ResidualGroup(nn.Module):
    """The embedding of the step and the residual blocks."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.fc_t1 = nn.Linear(config.diffusion_step_embed_dim_in, config.diffusion_step_embed_dim_mid)
        self.fc_t2 = nn.Linear(config.diffusion_step_embed_dim_mid, config.diffusion_step_embed_dim_out)
        self.residual_blocks = nn.ModuleList(
            ResidualBlock(config, config.attends(i)) for i in range(config.num_res_layers)
        )


class Denoiser(nn.Module):
    """The network, called as net((x, cond, steps)): x (B, 8, L), cond (B, K), steps (B, 1) -> (B, 8, L).

    What comes back is what the network was trained to predict: eps for a published checkpoint. With `velocity`, a pair
    (alpha, sigma) of (T,) tables, the raw output is v = alpha eps - sigma x_0 (Salimans and Ho 2022) and is turned
    into eps = sigma x + alpha v here, in float32; `predict` gives v itself.
    """

    def __init__(
        self,
        config: DenoiserConfig,
        *,
        cauchy: Cauchy = "conjugate_pairs",
        velocity: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if cauchy not in CAUCHY:
            raise ValueError(f"cauchy is {cauchy!r}: expected one of {', '.join(CAUCHY)}")
        self.config, self.cauchy = config, cauchy
        c, skip = config.res_channels, config.skip_channels
        self.init_conv = nn.ModuleList([Conv(WeightNormConv(config.in_channels * config.patch, c))])
        self.embedding = (
            nn.Embedding(config.label_embed_classes, config.label_embed_dim)
            if config.label_embed_classes
            else None
        )
        self.residual_layer = ResidualGroup(config)
        self.final_conv = nn.ModuleDict(
            {"0": Conv(WeightNormConv(skip, skip)), "2": LastConv(skip, config.out_channels * config.patch)}
        )
        self.velocity = velocity is not None
        if velocity is not None:
            for name, table in zip(("alpha", "sigma"), velocity, strict=True):
                self.register_buffer(
                    name, torch.tensor(table, dtype=torch.float32, device="cpu"), persistent=False
                )
        self._cache: dict[str, tuple[tuple[object, ...], object]] = {}

    @property
    def blocks(self) -> list[ResidualBlock]:
        return cast("list[ResidualBlock]", list(self.residual_layer.residual_blocks))

    @property
    def outer_convs(self) -> tuple[WeightNormConv, WeightNormConv, nn.Conv1d]:
        """The first convolution and the two behind the skip connections; the last is zero before training."""
        first, behind = cast(Conv, self.init_conv[0]), cast(Conv, self.final_conv["0"])
        return first.conv, behind.conv, cast(LastConv, self.final_conv["2"]).conv

    def forward(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        x, cond, steps = inputs
        prediction = self.predict(x, cond, steps)
        if not self.velocity:
            return prediction
        index = steps.reshape(-1).long()
        alpha, sigma = (self.get_buffer(name)[index][:, None, None] for name in ("alpha", "sigma"))
        return sigma * x + alpha * prediction

    def predict(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        """The raw output for x (B, 8, L), cond (B, K), steps (B, 1): eps, or v of a velocity network: (B, 8, L)."""
        if torch.is_grad_enabled():
            weights = effective_weights(self, x.shape[-1])
        else:
            weights = self.frozen_weights(x.shape[-1])
        return denoise(
            weights, x, biases(self, cond, steps), self.config.s4_dropout if self.training else 0.0
        )

    def frozen_weights(self, length: int, dtype: torch.dtype = torch.float32) -> Weights:
        """Effective weights for signals of `length`, kept until a parameter or buffer changes."""
        return self.kept("weights", (length, dtype), lambda: effective_weights(self, length, dtype=dtype))

    @torch.no_grad()
    def kept(self, what: str, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """make(), kept until a parameter or buffer changes or another key is asked for."""
        state = tuple((t.data_ptr(), t._version) for t in (*self.parameters(), *self.buffers()))
        key = (*key, self.cauchy, state)
        if what not in self._cache or self._cache[what][0] != key:
            self._cache.pop(what, None)  # before the new one takes its memory
            self._cache[what] = key, make()
        return cast("T", self._cache[what][1])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": {}}


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


class Biases(NamedTuple):
    """What step and label add, for each block: (layers, C, B) and (layers, 2 C, B)."""

    step: Tensor
    label: Tensor | None


def effective_weights(
    net: Denoiser,
    length: int,
    *,
    dtype: torch.dtype = torch.float32,
    bases: Sequence[tuple[Tensor, Tensor]] | None = None,
    toeplitz: bool = False,
) -> Weights:
    """Fold weight norms and compute S4 kernels for signals of `length`; differentiable in the parameters.

    `bases` (from `kernel_bases`) spare the Cauchy sums. With `toeplitz` kernels stay two-sided taps, for convolution
    by Toeplitz matrices, over a length padded to a multiple of 8; else they are spectra, for FFTs. Matrices come in
    `dtype`, kernels and norms in float32.
    """
    tokens = -(-length // net.config.patch)
    size = padded_tokens(net, length) if toeplitz or bases is not None else tokens

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


def padded_tokens(net: Denoiser, length: int) -> int:
    """The length at which the layers run, as a multiple of 8: what tensor cores want."""
    return -(-length // (8 * net.config.patch)) * 8


def kernel_bases(net: Denoiser, length: int) -> list[tuple[Tensor, Tensor]]:
    """The constant bases of all S4 kernels for signals of `length`, for training; see `effective_weights`."""
    size = padded_tokens(net, length)
    return [
        (kernel_basis(b.S41.kernel, size, net.cauchy), kernel_basis(b.S42.kernel, size, net.cauchy))
        for b in net.blocks
    ]


def biases(net: Denoiser, cond: Tensor, steps: Tensor) -> Biases:
    """Project the embeddings of steps (B, 1) and labels (B, K) for all blocks; B may differ between the two.

    Columns that cond lacks at its end are 0: for a network that also takes age and sex, both unknown.
    """
    group = net.residual_layer
    embedded = step_embedding(steps, net.config.diffusion_step_embed_dim_in)
    for linear in (group.fc_t1, group.fc_t2):
        embedded = F.silu(linear(embedded))
    step = _project([b.fc_t for b in net.blocks], embedded)
    if net.embedding is None:
        return Biases(step, None)
    given, classes = cond.shape[-1], len(net.embedding.weight)
    if given not in (classes, classes - len(COLUMNS)):
        raise ValueError(
            f"conditions have {given} columns: the network expects {classes}, or all but age and sex"
        )
    embedded = cond.float() @ net.embedding.weight[:given]
    return Biases(step, _project([b.fc_label for b in net.blocks], embedded))


def _project(layers: Sequence[nn.Linear | None], embedded: Tensor) -> Tensor:
    """All layers at once on embedded (B, E): (layers, outputs, B)."""
    weight = torch.stack([layer.weight for layer in layers if layer is not None])
    bias = torch.stack([layer.bias for layer in layers if layer is not None])
    return weight @ embedded.T + bias[..., None]


def _matmul(weight: Tensor, x: Tensor, addend: Tensor) -> Tensor:
    """weight (O, I), x (I, B, L), a bias (O, 1) or another addend (O, B, L): (O, B, L)."""
    return torch.addmm(addend.flatten(1), weight, x.flatten(1)).unflatten(1, x.shape[1:])


def s4_layer(u: Tensor, w: S4Weights, valid: int, dropout: float, convolve: Convolve) -> Tensor:
    """LayerNorm(u + W gelu(k * u)), all of it on (H, B, L); samples from `valid` on are padding and do not enter."""
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
    z = y.float()  # in place from here on, where gradients allow
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
    """One gated residual block on x (C, B, L), step (C, B), label (2 C, B): the next x and the skip output.

    The attention behind the block, where there is one, is part of it.

    convolve: u (H, B, L) with two-sided taps, where kernels are taps.
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
    seen: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """The network as a pure function: x (B, 8, L) float32 -> (B, 8, L) float32, in the precision of its weights.

    seen: is shown the residual stream (C, B, L / patch) behind each block, by its number.
    """
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
        if seen is not None:
            seen(i, h[..., :tokens])
    assert skip is not None
    skip = skip * math.sqrt(1 / len(weights.blocks))
    (w0, b0), (w1, b1) = weights.last
    y = _matmul(w1, torch.relu(_matmul(w0, skip, b0)), b1)[..., :tokens].float()
    return y.unflatten(0, (-1, patch)).permute(2, 0, 3, 1).flatten(-2)[..., :length]
