"""A small U-Net that completes recordings, trained for that alone: what the model's completions are compared with.

It reads the leads that are known, where they are known, and linear regression from them, and returns what regression
lacks. It is trained to a small rms error in what is missing, so that it gives one record, the most likely one, and not
several. It is trained on folds 1 to 8 of PTB-XL with random masks: from one to eight of the twelve leads are known, or
all leads outside of a gap. Its weights do not ship; training takes about 6 minutes on one core of a CPU.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sssd.editing.completion import covariance, projection
from sssd.io.files import replacing
from sssd.leads import CLINICAL, EIGHT, to_eight

WIDTHS = (24, 48, 96, 128)  # channels at 100, 50, 25 and 12.5 Hz
CROP = 512  # samples of a recording in a batch
BATCH, RATE = 32, 3e-3
GAP = 0.2  # the share of the masks that are a gap in all leads


class Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(before, after, 7, padding=3)
        self.norm = nn.GroupNorm(8, after)
        self.second = nn.Conv1d(after, after, 7, padding=3)
        self.past = nn.Conv1d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.past(x) + self.second(F.silu(self.norm(self.first(x))))


class UNet(nn.Module):
    """(B, 32, L): regression (8), known leads with zeros elsewhere (12), where they are known (12) -> (B, 8, L)."""

    def __init__(self) -> None:
        super().__init__()
        steps = list(zip(WIDTHS, WIDTHS[1:], strict=False))
        self.stem = Block(len(EIGHT) + 2 * len(CLINICAL), WIDTHS[0])
        self.down = nn.ModuleList(Block(before, after) for before, after in steps)
        self.up = nn.ModuleList(Block(before + after, before) for before, after in steps)
        self.last = nn.Conv1d(WIDTHS[0], len(EIGHT), 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.stem(x)]
        for block in self.down:
            levels.append(block(F.avg_pool1d(levels[-1], 2, ceil_mode=True)))
        x = levels.pop()
        for block in reversed(self.up):
            skip = levels.pop()
            wide = F.interpolate(x, size=skip.shape[-1], mode="linear", align_corners=False)
            x = block(torch.cat((skip, wide), dim=1))
        return self.last(x)


def seen(there: np.ndarray) -> Tensor:
    """What the network reads of what is known (12, L), NaN elsewhere: (32, L)."""
    guess = projection(there, covariance(), "cpu")(torch.zeros(1, len(EIGHT), there.shape[1]))[0]
    known = torch.from_numpy(np.stack((np.nan_to_num(there), np.isfinite(there)))).float()
    return torch.cat((guess, known.flatten(0, 1)))


def masked(signal: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A recording (12, L) with NaN where a random mask hides it."""
    there = signal.astype(np.float64)
    if random.random() < GAP:
        length = int(random.integers(50, 300))
        start = int(random.integers(0, signal.shape[1] - length))
        there[:, start : start + length] = np.nan
    else:
        leads = random.permutation(len(CLINICAL))[random.integers(1, 9) :]
        there[leads] = np.nan
    return there


def train(signal: np.ndarray, *, epochs: int, seed: int = 0) -> UNet:
    """A U-Net trained on recordings (n, 12, L) in mV."""
    torch.manual_seed(seed)
    random, model = np.random.default_rng(seed), UNet()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-3)
    steps = epochs * (len(signal) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    started, mean = time.monotonic(), 0.0
    for step in range(steps):
        parts = []
        for row in random.integers(0, len(signal), BATCH):
            at = int(random.integers(0, signal.shape[2] - 10 - CROP))  # the last 0.1 s is an artefact
            parts.append(signal[row, :, at : at + CROP])
        inputs = torch.stack([seen(masked(part, random)) for part in parts])
        target = torch.from_numpy(np.ascontiguousarray(to_eight(np.stack(parts))))
        error = inputs[:, : len(EIGHT)] + model(inputs) - target
        loss = ((error**2).mean(dim=(1, 2)) + 1e-6).sqrt().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean = float(loss.detach()) if step == 0 else 0.98 * mean + 0.02 * float(loss.detach())
        if (step + 1) % 50 == 0:
            print(
                f"U-Net, step {step + 1} of {steps}: {1e3 * mean:.0f} uV, {time.monotonic() - started:.0f} s",
                flush=True,
            )
    return model.eval()


@torch.no_grad()
def completed(model: UNet, there: np.ndarray) -> Tensor:
    """The record (1, 8, L) of what is known (12, L), NaN elsewhere, which it has exactly."""
    inputs = seen(there)[None]
    return projection(there, covariance(), "cpu")(inputs[:, : len(EIGHT)] + model(inputs))


def kept(file: Path, signal: np.ndarray, *, epochs: int) -> UNet:
    """The U-Net of a file, or one that is trained now and kept there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as (part,):
            torch.save(train(signal, epochs=epochs).state_dict(), part)
    model = UNet()
    model.load_state_dict(torch.load(file, weights_only=True))
    return model.eval()
