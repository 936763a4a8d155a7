"""A transformer over patches of a record (Peebles and Xie 2023, DiT), preconditioned as in EDM (Karras et al. 2022).

    x (B, 8, L) and a high-passed copy, each of unit variance -> tokens (B, N, width) -> layers -> F (B, 8, L) -> v

Step, statements and patient scale, shift and gate both halves of every layer, so that they can also change small waves.
The residual stream, the input and the output are float32; the products of the layers run in the precision of their
weights. float32 at the ends matters: next to a QRS complex of 1 mV, bf16 cannot represent a change of 1 uV.

B records, N tokens of `patch` samples, K columns of conditions, E width of their embedding, T steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import counted
from ..config.schema import TransformerConfig
from ..patient import HEART_RATE, LABELS_ONLY, VARIABILITY, Takes
from .network import Network

LEADS = 8
DATA_STD = 0.3  # standard deviation of records on the network's scale, with emphasis (sssd.scale)
HIGH_STD = 0.03  # and of their high-passed copies, between QRS complexes
SMOOTHING = tuple(math.comb(6, k) / 64 for k in range(7))  # binomial; the copy is what it leaves over
REACH = 124  # tokens to either side that the convolution in front of attention sees: all of a record of 10 s
FREQUENCIES = (0.25, 16.0, 32)  # of the sines of log sigma: lowest, highest, number
SLOWEST = 0.01  # radians per token of the slowest rotation; the fastest is 1
MLP = 4  # width of the hidden layer behind attention, in widths of a token


class LayerWeights(NamedTuple):
    """The matrices of one layer, (outputs, inputs), all but `modulation` in the precision of the products."""

    qkv: Tensor
    output: Tensor
    up: Tensor
    down: Tensor
    mixing: (
        Tensor  # (width, tokens, tokens), the convolution over tokens as a Toeplitz matrix for each channel
    )
    modulation: tuple[Tensor, Tensor]  # (6 width, E) and (6 width,) float32


class Layer(nn.Module):
    """The parameters of `layer`; before training the modulation and the convolution over tokens are zero."""

    def __init__(self, width: int, embed: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(embed, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, MLP * width, bias=False)
        self.down = nn.Linear(MLP * width, width, bias=False)
        self.taps = nn.Parameter(torch.zeros(2 * REACH + 1, width))  # from the earliest token to the latest

    @property
    def hidden(self) -> list[nn.Parameter]:
        """The matrices between hidden layers, which Muon trains."""
        return [cast(nn.Parameter, part.weight) for part in (self.qkv, self.output, self.up, self.down)]

    def weights(self, dtype: torch.dtype, tokens: int) -> LayerWeights:
        qkv, output, up, down = (matrix.to(dtype) for matrix in self.hidden)
        modulation = self.modulation.weight, self.modulation.bias
        return LayerWeights(qkv, output, up, down, toeplitz(self.taps, tokens).to(dtype), modulation)


def toeplitz(taps: Tensor, tokens: int) -> Tensor:
    """Return the matrices (width, tokens, tokens) of a convolution with taps (2 R + 1, width).

    Row i of a matrix has taps[R + j - i] in column j, and zeros where j - i is beyond R.
    """
    reach = len(taps) // 2
    excess = tokens - 1 - reach
    wide = F.pad(taps.T, (excess, excess))  # (width, 2 tokens - 1); a negative excess cuts
    return wide.unfold(-1, tokens, 1).flip(1)


def convolved(z: Tensor, mixing: Tensor) -> Tensor:
    """Convolve each channel of z (B, N, width) over its tokens, given its matrices (width, N, N)."""
    return torch.einsum("cij,bjc->bic", mixing, z)


Block = Callable[[Tensor, Tensor, LayerWeights, tuple[Tensor, Tensor], int], Tensor]


def layer(
    x: Tensor,
    e: Tensor,
    w: LayerWeights,
    rotation: tuple[Tensor, Tensor],
    heads: int,
    convolve: Callable[[Tensor, Tensor], Tensor] = convolved,
) -> Tensor:
    """Apply one layer to x (B, N, width) float32, given the embedded conditions e (B, E).

    Attention with rotary positions (Su et al. 2021) and normalised queries and keys (Henry et al. 2020), and a
    perceptron; each is scaled, shifted and gated (Peebles and Xie 2023, adaLN). In front of attention, each channel is
    convolved over the whole record: it can resonate with a heart rate, as the S4 layers of SSSD-ECG can. rotation: cos
    and sin (N, d / 2). convolve: a function of the tokens and `w.mixing`.
    """
    batch, tokens, width = x.shape
    dtype = w.qkv.dtype
    modulation = F.linear(e, *w.modulation)[:, None]
    scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = modulation.chunk(6, -1)
    z = F.layer_norm(x, (width,)) * (1 + scale_1) + shift_1
    z = z + convolve(z.to(dtype), w.mixing)
    qkv = F.linear(z.to(dtype), w.qkv).view(batch, tokens, 3, heads, width // heads)
    q, k_, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, d)
    q, k_ = (rotated(F.rms_norm(part.float(), part.shape[-1:]), *rotation).to(dtype) for part in (q, k_))
    attended = F.scaled_dot_product_attention(q, k_, v).transpose(1, 2).reshape(batch, tokens, width)
    x = x + (0.5 + 0.5 * gate_1) * F.linear(attended, w.output)
    z = F.layer_norm(x, (width,)) * (1 + scale_2) + shift_2
    hidden = F.gelu(F.linear(z.to(dtype), w.up), approximate="tanh")
    return x + (0.5 + 0.5 * gate_2) * F.linear(hidden, w.down)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x (..., N, d) by angles that grow along N (Su et al. 2021, eq. 34); cos and sin (N, d / 2)."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def high_passed(x: Tensor) -> Tensor:
    """Return what a binomial smoothing over 7 samples leaves of x (B, 8, L)."""
    length, reach = x.shape[-1], len(SMOOTHING) // 2
    padded = F.pad(x, (reach, reach), mode="replicate")
    for k, weight in enumerate(SMOOTHING):
        x = x - weight * padded[..., k : k + length]
    return x


class Transformer(Network):
    """The network; see `Network`. It predicts the velocity.

    The K columns of conditions are the classes of wavenet_config (the last are what it `takes`, sssd.patient), then one
    that is 1 where they are left out, so that unconditional differs from "no statement", then one for each of
    `config.sources`, which is 1 for the set of recordings that a record comes from, then, with `config.circumstances`,
    one that is 1 where the circumstances of the recording are known, and these. cond may leave out columns from
    the end: patient and circumstances are unknown then.

    The schedule gives the noise level s = sigma / alpha of each step. With the record x_ve = x / alpha,
    D = c_skip x_ve + c_out F (Karras et al. 2022, table 1) and v = (alpha x - D) / sigma, so v = skip x - out F.
    """

    config: TransformerConfig
    circumstances: Tensor | None  # (rows, C) float16, those of training records; normalised
    circumstances_scale: Tensor | None  # (2, C) the mean and standard deviation by which they were
    heart_rates: Tensor | None  # (rows,) float16, those of the same records per minute; 0 where unknown
    variabilities: Tensor | None  # (rows,) float16, how much their RR intervals vary, as `Takes` scales it
    statements: Tensor | None  # (rows, bytes) uint8, the bits of their label vectors
    statement_weights: Tensor | None  # (labels,) how much each counts where label vectors differ

    def __init__(
        self,
        config: TransformerConfig,
        *,
        classes: int,
        velocity: tuple[Sequence[float], Sequence[float]],
        takes: Takes = LABELS_ONLY,
    ) -> None:
        super().__init__(velocity, takes)
        self.config, self.classes = config, classes
        self.cauchy = "conjugate_pairs"  # files name one, though there are no S4 kernels
        measured = circumstance_columns(config)
        self.columns = classes + 1 + len(config.sources) + (1 + measured if config.circumstances else 0)
        width, embed, sines = config.width, config.embed, 2 * FREQUENCIES[2]
        self.step = nn.Linear(sines, embed)
        self.early = nn.Linear(self.columns, embed)
        self.mix = nn.Linear(embed, embed)
        self.late = nn.Linear(self.columns, embed)
        self.first = nn.Linear(2 * LEADS * config.patch, width)
        self.layers = nn.ModuleList(Layer(width, embed) for _ in range(config.layers))
        self.last = nn.Linear(width, LEADS * config.patch)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        table = torch.zeros(config.circumstances, measured, dtype=torch.float16)
        scale = torch.stack((torch.zeros(measured), torch.ones(measured)))
        for name, values in (("circumstances", table), ("circumstances_scale", scale)):
            self.register_buffer(name, values if config.circumstances else None)
        rows, labels = config.circumstances, classes - len(takes.columns)
        drawn_from = {
            "heart_rates": torch.zeros(rows, dtype=torch.float16),
            "statements": torch.zeros(rows, -(-labels // 8), dtype=torch.uint8),
            "statement_weights": torch.ones(labels),
        }
        for name, values in drawn_from.items():
            self.register_buffer(name, values if config.heart_rates else None)
        variabilities = torch.zeros(rows, dtype=torch.float16)
        self.register_buffer("variabilities", variabilities if takes.variability else None)
        planes = width // config.heads // 2
        turn = np.geomspace(1.0, SLOWEST, planes)  # radians per token
        for name, constant in {**preconditioning(*velocity), "turn": turn}.items():
            self.register_buffer(
                name, torch.tensor(constant, dtype=torch.float32, device="cpu"), persistent=False
            )

    @property
    def untrained(self) -> bool:
        return not self.last.weight.any()

    @property
    def hidden(self) -> list[nn.Parameter]:
        """The matrices between hidden layers, which Muon trains."""
        return [matrix for one in self._layers for matrix in one.hidden]

    @property
    def heart_rate_columns(self) -> slice:
        """The columns of conditions that hold the heart rate (sssd.patient.HEART_RATE); none if it takes none."""
        first = self.rhythm_columns.start
        return slice(first, first + len(HEART_RATE) * self.takes.heart_rate)

    @property
    def rhythm_columns(self) -> slice:
        """The columns of conditions that hold the heart rate and its variability, as far as it takes them."""
        count = len(HEART_RATE) * self.takes.heart_rate + len(VARIABILITY) * self.takes.variability
        return slice(self.classes - count, self.classes)

    @property
    def _layers(self) -> list[Layer]:
        return cast("list[Layer]", list(self.layers))

    def predict(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        return self.evaluate(x, cond, steps, self.weights(torch.float32, x.shape[-1]))

    def weights(self, dtype: torch.dtype, length: int) -> list[LayerWeights]:
        """Return the weights of all layers with matrices in `dtype`; without gradients they are kept."""
        tokens = -(-length // self.config.patch)
        if torch.is_grad_enabled():
            self.forget()
            return [one.weights(dtype, tokens) for one in self._layers]
        return self.kept(
            "weights", (dtype, tokens), lambda: [one.weights(dtype, tokens) for one in self._layers]
        )

    def evaluate(
        self, x: Tensor, cond: Tensor, steps: Tensor, weights: Sequence[LayerWeights], block: Block = layer
    ) -> Tensor:
        """Return the velocity (B, 8, L) float32 for x (B, 8, L), cond (B, K) and steps (B, 1) or (1, 1).

        block: the function that applies a layer, which training compiles.
        """
        skip, out = self.scales(steps.reshape(-1).long(), "skip", "out")
        h = self.tokens(x, cond, steps, weights, block)
        y = self.last(F.layer_norm(h, h.shape[-1:])).unflatten(-1, (LEADS, self.config.patch))
        y = y.permute(0, 2, 1, 3).flatten(2)[..., : x.shape[-1]]
        return skip * x - out * y

    def tokens(
        self, x: Tensor, cond: Tensor, steps: Tensor, weights: Sequence[LayerWeights], block: Block = layer
    ) -> Tensor:
        """Return what the layers make of the tokens of a record, (B, N, width) float32; see `evaluate`."""
        at = steps.reshape(-1).long()
        whole, high = self.scales(at, "whole", "high")
        length, patch = x.shape[-1], self.config.patch
        tokens = -(-length // patch)
        u = torch.cat((whole * x, high * high_passed(x)), 1)
        u = F.pad(u, (0, tokens * patch - length)).unflatten(-1, (tokens, patch))
        h = self.first(u.permute(0, 2, 1, 3).flatten(2))
        e = self.embedded(cond, at)
        angle = torch.arange(tokens, device=x.device)[:, None] * self.get_buffer("turn")
        rotation = angle.cos(), angle.sin()
        for w in weights:
            h = block(h, e, w, rotation, self.config.heads)
        return h

    def scales(self, at: Tensor, *names: str) -> tuple[Tensor, ...]:
        """Return these tables of `preconditioning` at steps (B,) or (1,), each (B, 1, 1)."""
        return tuple(self.get_buffer(name)[at][:, None, None] for name in names)

    def embedded(self, cond: Tensor, at: Tensor) -> Tensor:
        """Embed steps (B,) or (1,) and conditions (B, K): (B, E)."""
        cond = self.full(cond)
        e = F.silu(self.step(self.get_buffer("sines")[at]) + self.early(cond))
        return F.silu(self.mix(e) + self.late(cond))

    def full(self, cond: Tensor) -> Tensor:
        """Return conditions (B, K') with all K columns; those left out are zero, which means unknown."""
        given, labels = cond.shape[-1], self.classes - len(self.takes.columns)
        allowed = {labels, self.classes, self.columns}
        if given not in allowed:
            expected = " or ".join(str(n) for n in sorted(allowed))
            raise ValueError(f"conditions have {counted(given, 'column')}: the network expects {expected}")
        full = F.pad(cond.float(), (0, self.columns - given))
        if self.config.sources and given < self.columns:
            full[:, self.classes + 1] = 1  # the first source
        return full

    def unconditional(self, cond: Tensor) -> Tensor:
        """Return conditions (B, K) without statements and patient, but with the same source and circumstances."""
        full = self.full(cond)
        classes = self.classes
        return torch.cat(
            (torch.zeros_like(full[:, :classes]), torch.ones_like(full[:, :1]), full[:, classes + 1 :]), 1
        )


def circumstance_columns(config: TransformerConfig) -> int:
    """Return how many numbers the circumstances of a recording have: two to four for each lead."""
    return LEADS * (2 + config.edge + config.slow)


def preconditioning(alpha: Sequence[float], sigma: Sequence[float]) -> dict[str, np.ndarray]:
    """Return the (T,) tables of a schedule that `Transformer` uses, from its alpha and sigma.

    With s = sigma / alpha and d = DATA_STD, c_skip = d^2 / (s^2 + d^2) and c_out = s d / sqrt(s^2 + d^2) give

        v = (alpha x - c_skip x / alpha - c_out F) / sigma = skip x - out F
        skip = s (1 - d^2) / (s^2 + d^2),    out = d sqrt(1 + s^2) / sqrt(s^2 + d^2)

    where no digits are lost at small s. whole and high scale x and its high-passed copy to unit variance; sines are
    `sines` of log s. ValueError if a step has no signal, since s is infinite there.
    """
    a, b = np.asarray(alpha), np.asarray(sigma)
    if not (a > 0).all():
        raise ValueError(
            "the schedule ends without signal (alpha = 0): a transformer expects a finite sigma / alpha"
        )
    s, d = b / a, DATA_STD
    left = (
        sum(w * w for w in SMOOTHING) + 1 - 2 * SMOOTHING[len(SMOOTHING) // 2]
    )  # of the variance of white noise
    return {
        "skip": s * (1 - d**2) / (s**2 + d**2),
        "out": d * np.sqrt((1 + s**2) / (s**2 + d**2)),
        "whole": np.sqrt((1 + s**2) / (s**2 + d**2)),
        "high": np.sqrt((1 + s**2) / (left * s**2 + HIGH_STD**2)),
        "sines": sines(np.log(s)),
    }


def sines(log_level: np.ndarray) -> np.ndarray:
    """Return the sines and cosines (T, 64) of levels (T,) at FREQUENCIES, float32.

    They are a table because a sine by WebGPU is off by 2e-4 (WGSL allows 5e-4, and more beyond pi).
    """
    low, high, count = FREQUENCIES
    level, frequency = (
        torch.tensor(values, dtype=torch.float32, device="cpu")
        for values in (log_level, np.geomspace(low, high, count))
    )
    phase = level[:, None] * frequency
    return torch.cat((phase.sin(), phase.cos()), 1).numpy()
