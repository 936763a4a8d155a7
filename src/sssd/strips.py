"""Strips: records longer than the network's, from overlapping windows that are denoised together.

    strip (B, 8, L) ─▶ windows ─▶ the network ─▶ predictions, averaged where windows overlap ─▶ strip (B, 8, L)

In each step of the sampler the network reads every window of the strip, and where windows overlap its predictions are
averaged (Bar-Tal et al. 2023, MultiDiffusion, eq. 5). Windows thus share their noise and agree in every step, so that
there is no seam to mend afterwards. The sampler does not notice: what it gets is one prediction for the whole strip.

Where statements change on the way, the windows about the change are read twice, with the statements before and after,
and the predictions are crossfaded within a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .noise import normal

OVERLAP = 0.5  # of a window, at least
EDGE_S = (
    0.2  # the ends of a window count for nothing: recordings of PTB-XL have an artefact of resampling there
)
FADE_S = 1.0  # in which the statements before a change give way to those after it

Floats = NDArray[np.float64]
Predict = Callable[[Tensor, int], Tensor]  # (x (B, 8, L), t) -> prediction (B, 8, L)


@dataclass(frozen=True)
class Strip:
    """The windows of a strip.

    samples: L. window: samples that the network reads. ends: (G,) the sample at which each part ends, the last is L.
    fs_hz: of all of them.
    """

    samples: int
    window: int
    ends: tuple[int, ...]
    fs_hz: float
    overlap: float = OVERLAP

    @property
    def padded(self) -> int:
        """The samples that are generated: those of the strip and, after them, the end of the last window."""
        return max(self.samples + round(EDGE_S * self.fs_hz), self.window)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first samples of the windows, evenly spread; neighbours share at least `overlap` of a window."""
        room = self.padded - self.window
        count = math.ceil(room / ((1 - self.overlap) * self.window)) + 1
        return tuple(int(at) for at in np.rint(np.linspace(0, room, count)))

    @property
    def seams(self) -> tuple[int, ...]:
        """The samples in the middle of each overlap."""
        return tuple(
            (left + self.window + right) // 2
            for left, right in zip(self.starts, self.starts[1:], strict=False)
        )

    @cached_property
    def pieces(self) -> list[tuple[int, int, Tensor]]:
        """The first sample of a window, the part with whose statements it is read, and its weights (window,).

        At each sample of the strip the weights add up to 1.
        """
        edge = round(EDGE_S * self.fs_hz)
        ramp = np.arange(self.window) + 0.5
        rise = np.clip((np.minimum(ramp, ramp[::-1]) - edge) / self.window, 1e-6, None)
        total = np.zeros(self.padded)
        for start in self.starts:
            total[start : start + self.window] += rise
        found = []
        for start in self.starts:
            place = slice(start, start + self.window)
            for part, share in enumerate(self.shares):
                if share[place].any():
                    weight = rise / total[place] * share[place]
                    found.append((start, part, torch.from_numpy(weight.astype(np.float32))))
        return found

    @cached_property
    def shares(self) -> Floats:
        """How far each sample belongs to each part, (G, padded); a change takes `FADE_S`."""
        at = np.arange(self.padded)[None] + 0.5
        begun = np.clip((at - np.array([0, *self.ends[:-1]])[:, None]) / (FADE_S * self.fs_hz) + 0.5, 0, 1)
        begun[0] = 1.0
        return begun - np.concatenate((begun[1:], np.zeros((1, self.padded))))

    def noise(self, seeds: Sequence[int], index: Sequence[int], t: int, device: torch.device | str) -> Tensor:
        """Return the noise (B, 8, padded) of strips at a step; a longer strip's begins with that of a shorter one."""
        return normal(seeds, index, t, (self.padded, 8), device).transpose(1, 2).contiguous()

    def stitched(self, bind: Callable[[list[int], list[int]], Predict], strips: int, rows: int) -> Predict:
        """Return the network as a function of whole strips, x (B, 8, padded) and the time step.

        bind(records, parts): the network as a function of windows (n, 8, window), which are of these strips (n,) and
        read with the statements of these parts (n,). rows: windows that it reads at once.
        """
        every = [(strip, *piece) for strip in range(strips) for piece in self.pieces]
        batches = [every[i : i + rows] for i in range(0, len(every), rows)]
        bound = [(batch, bind([one[0] for one in batch], [one[2] for one in batch])) for batch in batches]

        def predict(x: Tensor, t: int) -> Tensor:
            out = torch.zeros_like(x)
            for batch, network in bound:
                cut = torch.stack([x[strip, :, start : start + self.window] for strip, start, _, _ in batch])
                for (strip, start, _, weight), one in zip(batch, network(cut, t), strict=True):
                    out[strip, :, start : start + self.window] += weight.to(x.device) * one
            return out

        return predict


def strip_of(seconds: Sequence[float], *, window: int, fs_hz: float) -> Strip | None:
    """Return the windows of a strip with parts of these lengths in s; None if one window with one part is enough."""
    ends = np.rint(np.cumsum(seconds) * fs_hz).astype(int).tolist()
    if not ends or (len(ends) == 1 and ends[0] <= window):
        return None
    return Strip(ends[-1], window, tuple(ends), fs_hz)
