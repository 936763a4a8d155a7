"""The parameters of SSSD-ECG's network, under the names that its published checkpoints use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import AttentionLayer
from .s4 import S4Kernel


@dataclass(frozen=True)
class DenoiserConfig:
    """The size of the network, with the names of SSSD-ECG's wavenet_config; the defaults are the published network.

    patch             the number of consecutive samples folded into channels; all layers run at length L / patch
    attention_every   the number of blocks after which a layer of self-attention follows; 0 for no attention
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
        """Return whether a layer of attention follows this block (0, 1, ...)."""
        return self.attention_every > 0 and (block + 1) % self.attention_every == 0


class WeightNormConv(nn.Module):
    """The parameters of a 1-d convolution with weight normalisation (Salimans and Kingma 2016): weight = g v / |v|."""

    def __init__(self, inputs: int, outputs: int, taps: int = 1) -> None:
        super().__init__()
        weight = nn.init.kaiming_normal_(torch.empty(outputs, inputs, taps))
        self.weight_g = nn.Parameter(weight.norm(dim=(1, 2), keepdim=True))
        self.weight_v = nn.Parameter(weight)
        bound = 1 / math.sqrt(inputs * taps)
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def weight(self) -> Tensor:
        """Return the folded weight as a matrix (outputs, taps * inputs), tap by tap."""
        v = self.weight_v
        return (v * (self.weight_g / v.norm(dim=(1, 2), keepdim=True))).transpose(1, 2).flatten(1)


class Conv(nn.Module):
    """Holds a convolution. This and the next three classes only give parameters their names in checkpoints."""

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
    """The parameters of one S4 layer: convolution, GELU, linear map, residual connection, LayerNorm."""

    def __init__(self, features: int, config: DenoiserConfig) -> None:
        super().__init__()
        lmax = config.s4_lmax // config.patch
        self.s4_layer = S4(features, S4Kernel(1 + config.s4_bidirectional, features, config.s4_d_state, lmax))
        self.norm_layer = nn.LayerNorm(features) if config.s4_layernorm else None

    @property
    def kernel(self) -> S4Kernel:
        return self.s4_layer.kernel.kernel


class ResidualBlock(nn.Module):
    """The parameters of one residual block, and of the attention behind it if there is one."""

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
    """The parameters of the step embedding and of the residual blocks."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.fc_t1 = nn.Linear(config.diffusion_step_embed_dim_in, config.diffusion_step_embed_dim_mid)
        self.fc_t2 = nn.Linear(config.diffusion_step_embed_dim_mid, config.diffusion_step_embed_dim_out)
        self.residual_blocks = nn.ModuleList(
            ResidualBlock(config, config.attends(i)) for i in range(config.num_res_layers)
        )
