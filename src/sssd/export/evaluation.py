"""One evaluation of a network as a module that PyTorch can export: from x, step and conditions to eps and x0.

It holds what does not depend on these three: folded weights, S4 kernels, alpha and sigma of the schedule. Few programs
that run ONNX have a fast Fourier transform. So S4 kernels become convolutions of each channel with its taps, and the
convolutions of a transformer become products with a small matrix of cosines and one of sines. The matrices by which
PyTorch convolves would take 108 MB of the built-in model, and half of the time of a record.
"""

from __future__ import annotations

import math
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.denoiser import Denoiser
from ..models.function import biases, denoise, residual_block
from ..models.network import Network
from ..models.transformer import Layer, Transformer, layer
from ..models.weights import effective_weights
from ..schedule import Schedule


class Evaluation(nn.Module):
    """evaluation(x (B, 8, L), step (1,), cond (B, K)) returns eps and x0, each (B, 8, L).

    All are float32, but for the step, which is int64. cond has all columns of the network. x0 = alpha x - sigma v where
    the network predicts v (Salimans and Ho 2022), and (x - sigma eps) / alpha where it predicts the noise (Ho et al.
    2020, eq. 15).
    """

    def __init__(self, network: Network, schedule: Schedule, length: int) -> None:
        super().__init__()
        self.network = network
        for name, table in (("alpha", schedule.alpha), ("sigma", schedule.sigma)):
            self.register_buffer(name, torch.tensor(table, dtype=torch.float32, device="cpu"))
        self.length = length
        self.weights = (
            effective_weights(network, length, toeplitz=True) if isinstance(network, Denoiser) else None
        )
        if isinstance(network, Transformer):
            self.register_buffer("waves", waves(-(-length // network.config.patch)))

    def forward(self, x: Tensor, step: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.predict(x, cond, step[:, None])
        alpha, sigma = (self.get_buffer(name)[step][:, None, None] for name in ("alpha", "sigma"))
        if self.network.velocity:
            return sigma * x + alpha * raw, alpha * x - sigma * raw
        return raw, (x - sigma * raw) / alpha

    def predict(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        """Return the raw output of the network for steps (1, 1)."""
        net = self.network
        if isinstance(net, Transformer):
            tokens, wave = -(-self.length // net.config.patch), self.get_buffer("waves")
            layers = [
                cast(Layer, one)
                .weights(torch.float32, tokens)
                ._replace(mixing=spectrum(cast(Layer, one).taps, wave))
                for one in net.layers
            ]
            return net.evaluate(
                x, cond, steps, layers, partial(layer, convolve=partial(in_waves, waves=wave))
            )
        assert isinstance(net, Denoiser) and self.weights is not None
        block = partial(residual_block, convolve=convolve)
        return denoise(self.weights, x, biases(net, cond, steps), block=block)


def convolve(u: Tensor, taps: Tensor) -> Tensor:
    """Convolve u (H, B, L) with two-sided taps (H, 2 L - 1), each channel with its own: (H, B, L)."""
    y = F.conv1d(u.transpose(0, 1), taps.flip(-1)[:, None], padding=u.shape[-1] - 1, groups=len(u))
    return y.transpose(0, 1)


def waves(tokens: int) -> Tensor:
    """Return the cosines and sines (2, N, N) of a ring of 2 N - 1 tokens, at its first N frequencies and tokens.

    Both matrices are symmetric. On the ring, N tokens and the N - 1 zeros behind them do not meet.
    """
    turn = 2 * math.pi / (2 * tokens - 1)
    at = torch.arange(tokens, dtype=torch.float64, device="cpu")
    angle = turn * at[:, None] * at
    return torch.stack((angle.cos(), angle.sin())).float()


def spectrum(taps: Tensor, waves: Tensor) -> Tensor:
    """Return the spectrum (2, N, width) of a convolution with taps (2 R + 1, width): its cosines and its sines.

    It is scaled so that `in_waves` needs no factor: by 1 / (2 N - 1) of a ring, and twice that but for frequency 0,
    because each of the others stands for a pair.
    """
    cos, sin = waves
    tokens, reach = len(cos), len(taps) // 2
    room = tokens - 1 - reach  # a negative number cuts
    later = F.pad(taps[reach:], (0, 0, 0, room))  # of the token itself and of later ones
    earlier = F.pad(taps[:reach].flip(0), (0, 0, 1, room))
    scale = torch.full((tokens, 1), 2.0 / (2 * tokens - 1), dtype=torch.float32)
    scale[0] /= 2
    return torch.stack((scale * (cos @ (earlier + later)), scale * (sin @ (earlier - later))))


def in_waves(z: Tensor, mixing: Tensor, waves: Tensor) -> Tensor:
    """Convolve each channel of z (B, N, width) over its tokens, given the `spectrum` of its taps."""
    cos, sin = waves
    even, odd = mixing
    a, b = cos @ z, sin @ z
    return cos @ (even * a - odd * b) + sin @ (even * b + odd * a)
