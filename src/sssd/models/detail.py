"""The network that makes what a record at 500 Hz has above 46.5 Hz: convolutions that also read the record's shape.

    x (B, 8, 5 L), the record's shape (B, 32, L) and its levels (B, 48) -> (B, 8, width, L) -> blocks -> v (B, 8, 5 L)

The five samples at 500 Hz that go with one sample at 100 Hz are channels. All leads share the convolutions over time
(Liu et al. 2022, ConvNeXt), and each block mixes the leads; step and levels scale, shift and gate it (Peebles and Xie
2023, adaLN). It reads windows of 400 ms about QRS complexes, because the rest of the detail is noise (sssd.detail). The
preconditioning is that of sssd.models.transformer. B records, L samples at 100 Hz.
"""

from __future__ import annotations

import hashlib
from typing import cast

import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn

from ..schedule import Schedule, karras
from .transformer import FREQUENCIES, LEADS, preconditioning

FACTOR = 5  # 500 Hz over 100 Hz
WIDTH, BLOCKS, KERNEL, HIDDEN, EMBED = 48, 4, 7, 2, 64
WINDOW = 40  # samples at 100 Hz that it reads at a time: a QRS complex and what is about it
SHAPE = 4  # rows of a lead's shape, see sssd.detail.shape_of
LEVELS = 6 * LEADS  # levels of a record, see sssd.detail.columns
SCHEDULE = 100, 0.003, 6.0  # steps; smallest and largest sigma / alpha


def detail_schedule() -> Schedule:
    """Return the noise levels at which the network is trained."""
    return karras(*SCHEDULE)


class Block(nn.Module):
    """h (B, 8, width, L) + gate * perceptron(convolution over time, and over leads)."""

    def __init__(self) -> None:
        super().__init__()
        self.modulation = nn.Linear(EMBED, 3 * WIDTH)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.over_time = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2, groups=WIDTH)
        self.over_leads = nn.Parameter(torch.zeros(WIDTH, LEADS, LEADS))
        self.up = nn.Conv1d(WIDTH, HIDDEN * WIDTH, 1)
        self.down = nn.Conv1d(HIDDEN * WIDTH, WIDTH, 1)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(e)[:, None, :, None].chunk(3, 2)
        z = self.over_time(h.flatten(0, 1)).view(h.shape)
        z = z + torch.einsum("cij,bjcl->bicl", self.over_leads, z)
        z = z * torch.rsqrt(z.square().mean(2, keepdim=True) + 1e-5)
        z = z * (1 + scale) + shift
        z = self.down(F.gelu(self.up(z.flatten(0, 1)), approximate="tanh")).view(h.shape)
        return h + (0.5 + 0.5 * gate) * z


class DetailNetwork(nn.Module):
    """The network, with what is needed beside it in its buffers.

    mean, std: (48,) of the levels of the training records. rows: (n, 48) float16, the normalised levels of recordings
    from which those of records are drawn. leads: (8, 8), see sssd.detail.DetailScale.
    """

    mean: Tensor
    std: Tensor
    rows: Tensor
    leads: Tensor
    hash: str = ""  # SHA-256 of the file that it is from

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.step = nn.Linear(2 * FREQUENCIES[2], EMBED)
        self.levels = nn.Linear(LEVELS, EMBED)
        self.mix = nn.Linear(EMBED, EMBED)
        self.first = nn.Conv1d(FACTOR + SHAPE, WIDTH, 3, padding=1)
        self.lead = nn.Parameter(torch.zeros(LEADS, WIDTH, 1))
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.last = nn.Conv1d(WIDTH, FACTOR, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(Tensor, self.last.bias))
        self.register_buffer("mean", torch.zeros(LEVELS))
        self.register_buffer("std", torch.ones(LEVELS))
        self.register_buffer("rows", torch.zeros(rows, LEVELS, dtype=torch.float16))
        self.register_buffer("leads", torch.eye(LEADS))
        schedule = detail_schedule()
        for name, values in preconditioning(schedule.alpha.tolist(), schedule.sigma.tolist()).items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    @classmethod
    def read(cls, content: bytes) -> DetailNetwork:
        """Return the network of a file's content, as `content` returns it."""
        state = load(content)
        network = cls(rows=len(state["rows"]))
        network.load_state_dict(state)
        network.hash = hashlib.sha256(content).hexdigest()
        return network.eval()

    def content(self) -> bytes:
        """Return the content of a file with this network in half precision."""
        return save({name: tensor.half().contiguous().cpu() for name, tensor in self.state_dict().items()})

    def forward(self, x: Tensor, given: Tensor, steps: Tensor) -> Tensor:
        """Return the velocity (B, 8, 5 L) for x (B, 8, 5 L), `given` (B, 48 + 32 L) and steps (B, 1) or (1, 1)."""
        at = steps.reshape(-1).long()
        skip, out, whole = (self.get_buffer(name)[at][:, None, None] for name in ("skip", "out", "whole"))
        batch, _, length = x.shape
        shape = given[:, LEVELS:].view(batch, LEADS, SHAPE, -1)
        folded = (whole * x).view(batch, LEADS, -1, FACTOR).transpose(2, 3)
        u = torch.cat((folded, shape), 2)  # (B, 8, 9, L)
        h = self.first(u.flatten(0, 1)).view(batch, LEADS, WIDTH, -1) + self.lead
        e = F.silu(self.step(self.get_buffer("sines")[at]) + self.levels(given[:, :LEVELS]))
        e = F.silu(self.mix(e))
        for block in self.blocks:
            h = block(h, e)
        y = self.last(h.flatten(0, 1)).view(batch, LEADS, FACTOR, -1).transpose(2, 3).reshape(x.shape)
        return skip * x - out * y

    def given(self, levels: Tensor, shape: Tensor) -> Tensor:
        """Return what `forward` is given, from the levels (B, 48) and the shape (B, 32, L) of records."""
        return torch.cat(((levels - self.mean) / self.std, shape.flatten(1)), 1)
