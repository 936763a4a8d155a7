"""P, QRS and T waves of a record over all leads, by a network that learnt from the marks of cardiologists.

The network is a U-Net over time (Ronneberger et al. 2015; for ECGs Moskalenko et al. 2020). It reads the eight leads at
100 Hz and says of each sample how probable P, QRS, T and none of them are. A wave lasts while its probability is above
one half; its ends are interpolated between samples. The weights were trained on the 200 recordings of LUDB (Kalyakulina
et al. 2020, ODC-By 1.0) by scripts/train_delineator.py.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..models.precision import float32_products
from ..models.settings import float32_modules, isolated

FS_HZ = 100.0
WAVES = ("P", "QRS", "T")
SHORTEST_S = {"P": 0.03, "QRS": 0.03, "T": 0.05}
BRIDGED_S = 0.03  # a wave may fall below one half for so long
WIDTHS, KERNEL = (16, 24, 32, 40), 9
LEAST = 2 ** (len(WIDTHS) - 1)  # records are padded to a multiple of it

Floats = NDArray[np.float64]


class Delineator(nn.Module):
    """Records (B, 8, L) of `scaled` -> logits (B, 4, L) of P, QRS, T and none; L a multiple of `LEAST`."""

    def __init__(self) -> None:
        super().__init__()
        before = (8, *WIDTHS[:-1])
        self.down = nn.ModuleList(_block(a, b) for a, b in zip(before, WIDTHS, strict=True))
        up = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList(_block(a + b, b) for a, b in up)
        self.last = nn.Conv1d(WIDTHS[0], 1 + len(WAVES), 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else nn.functional.max_pool1d(x, 2))
            kept.append(x)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat((x.repeat_interleave(2, dim=-1), beside), 1))
        logits: Tensor = self.last(x)
        return logits


def _block(before: int, after: int) -> nn.Sequential:
    def layer(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv1d(a, b, KERNEL, padding=KERNEL // 2, bias=False), nn.BatchNorm1d(b), nn.ReLU()]

    return nn.Sequential(*layer(before, after), *layer(after, after))


def scaled(eight_mv: Floats) -> Tensor:
    """Return leads (..., 8, L) as the network takes them: each less its median, over the mean deviation of them all."""
    x = eight_mv - np.median(eight_mv, axis=-1, keepdims=True)
    spread = np.abs(x).mean(axis=(-2, -1), keepdims=True)
    return torch.from_numpy((x / np.maximum(spread, 1e-3)).astype(np.float32))


@isolated()
@float32_products("highest")
@torch.no_grad()
def probabilities(model: Delineator, eight_mv: Floats) -> Floats:
    """Return the probability of P, QRS and T at each sample, (3, L), of leads (8, L) in mV at 100 Hz."""
    length = eight_mv.shape[-1]
    padded = np.pad(eight_mv, ((0, 0), (0, -length % LEAST)), mode="edge")
    out: Floats = model(scaled(padded)[None])[0].softmax(0)[: len(WAVES), :length].double().numpy()
    return out


def waves_of(probability: Floats) -> dict[str, Floats]:
    """Return where each wave begins and ends, (n, 2) in s, from the probabilities (3, L) of P, QRS and T at 100 Hz."""
    return {name: _runs(p, SHORTEST_S[name]) for name, p in zip(WAVES, probability, strict=True)}


def _runs(p: Floats, shortest_s: float) -> Floats:
    inside = np.concatenate(([False], p > 0.5, [False]))
    change = np.flatnonzero(inside[1:] != inside[:-1])  # in pairs: first sample inside, first sample after
    runs: list[tuple[float, float]] = []
    for first, after in zip(change[::2], change[1::2], strict=True):
        if first == 0 or after == len(p):
            continue  # cut off by an end of the record
        onset = first - (p[first] - 0.5) / (p[first] - p[first - 1])
        end = after - 1 + (p[after - 1] - 0.5) / (p[after - 1] - p[after])
        if runs and onset / FS_HZ - runs[-1][1] < BRIDGED_S:
            runs[-1] = (runs[-1][0], end / FS_HZ)
        else:
            runs.append((onset / FS_HZ, end / FS_HZ))
    return np.array([run for run in runs if run[1] - run[0] >= shortest_s]).reshape(-1, 2)


@cache
def trained() -> Delineator:
    """Return the network with the weights that ship."""
    from safetensors.torch import load

    with isolated(), float32_modules():
        model = Delineator()
    model.load_state_dict(
        load(resources.files("sssd.signals").joinpath("delineator.safetensors").read_bytes())
    )
    return model.eval()
