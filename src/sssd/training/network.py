"""Wraps the network for training, which computes what does not change between steps once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..engine.bound import kernels_run
from ..models.denoiser import Denoiser
from ..models.function import biases, denoise, residual_block
from ..models.network import Network
from ..models.transformer import Transformer, layer
from ..models.weights import effective_weights, kernel_bases

# Toeplitz matrices are stored up to this number of tokens, where 512 features take 0.3 GB in bf16.
MOST_STORED_TOKENS = 512


class TrainingNet(nn.Module):
    """Computes the network's raw prediction (noise or velocity) for records of one length.

    The bases of the S4 kernels are constant. On a GPU the convolutions run on tensor cores and the blocks are compiled.

    length: samples of a record. precision: that of matrix products, "float32" or "bf16". toeplitz: convolve by products
    with Toeplitz matrices, which is fastest on GPUs, and not by FFT.
    """

    def __init__(self, net: Denoiser, length: int, precision: str, toeplitz: bool) -> None:
        super().__init__()
        self.net, self.length, self.toeplitz = net, length, toeplitz
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.block: Callable[..., Any] = residual_block
        if toeplitz:
            self.block = torch.compile(_gpu_block(length // net.config.patch))
        for i, pair in enumerate(kernel_bases(net, length)):
            for j, basis in enumerate(pair):
                self.register_buffer(f"basis_{i}_{j}", basis, persistent=False)

    def forward(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        """Return the prediction (B, 8, L) for x (B, 8, L), label columns cond (B, K) and steps (B, 1)."""
        layers = range(self.net.config.num_res_layers)
        bases = [(self.get_buffer(f"basis_{i}_0"), self.get_buffer(f"basis_{i}_1")) for i in layers]
        weights = effective_weights(
            self.net, self.length, dtype=self.dtype, bases=bases, toeplitz=self.toeplitz
        )
        dropout = self.net.config.s4_dropout if self.training else 0.0
        return denoise(weights, x, biases(self.net, cond, steps), dropout, self.block)


class TransformerTrainingNet(nn.Module):
    """Computes the velocity that a transformer predicts. On a GPU its layers are compiled.

    precision: that of matrix products, "float32" or "bf16".
    """

    def __init__(self, net: Transformer, precision: str, compiled: bool) -> None:
        super().__init__()
        self.net = net
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.block: Callable[..., Any] = torch.compile(layer) if compiled else layer

    def forward(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        """Return the prediction (B, 8, L) for x (B, 8, L), conditions cond (B, K) and steps (B, 1)."""
        self.net.forget()  # a CUDA graph that found kept weights would never see new ones
        return self.net.evaluate(x, cond, steps, self.net.weights(self.dtype, x.shape[-1]), self.block)


def training_net(net: Network, length: int, precision: str, device: torch.device) -> nn.Module:
    """Return the network as training calls it on this device."""
    gpu = device.type == "cuda"
    if isinstance(net, Transformer):
        return TransformerTrainingNet(net, precision, gpu).to(device)
    assert isinstance(net, Denoiser)
    return TrainingNet(net, length, precision, toeplitz=gpu).to(device)


def _gpu_block(tokens: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the residual block with the convolution that suits a GPU and this number of tokens."""
    if tokens <= MOST_STORED_TOKENS or not torch.cuda.is_available():
        return residual_block
    if not kernels_run(torch.device("cuda", torch.cuda.current_device())):
        return residual_block
    from ..engine.kernels.trainable import convolve

    return partial(residual_block, convolve=convolve)
