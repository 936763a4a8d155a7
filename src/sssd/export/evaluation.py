"""One evaluation of a network as a module that PyTorch can export: from x, step and conditions to eps and x0.

It holds what does not depend on these three: folded weights, S4 kernels, alpha and sigma of the schedule. S4 kernels
become convolutions of each channel with its taps, because few programs that run ONNX have a fast Fourier transform.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.denoiser import Denoiser
from ..models.function import biases, denoise, residual_block
from ..models.network import Network
from ..models.transformer import Layer, Transformer
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
            tokens = -(-self.length // net.config.patch)
            layers = [cast(Layer, layer).weights(torch.float32, tokens) for layer in net.layers]
            return net.evaluate(x, cond, steps, layers)
        assert isinstance(net, Denoiser) and self.weights is not None
        block = partial(residual_block, convolve=convolve)
        return denoise(self.weights, x, biases(net, cond, steps), block=block)


def convolve(u: Tensor, taps: Tensor) -> Tensor:
    """Convolve u (H, B, L) with two-sided taps (H, 2 L - 1), each channel with its own: (H, B, L)."""
    y = F.conv1d(u.transpose(0, 1), taps.flip(-1)[:, None], padding=u.shape[-1] - 1, groups=len(u))
    return y.transpose(0, 1)
