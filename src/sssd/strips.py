"""Strips: records longer than the network's, from overlapping windows that are denoised together.

    strip (B, 8, L) ─▶ windows ─▶ the network ─▶ predictions, crossfaded where windows overlap ─▶ strip (B, 8, L)

In each step of the sampler the network reads every window of the strip, and its predictions are put together (Bar-Tal
et al. 2023, MultiDiffusion, eq. 5). Windows thus share their noise and see in every step what their neighbours made, so
that there is no seam to mend afterwards. To the sampler it is one prediction for the whole strip.

Each sample is taken from the window in whose middle it lies, and neighbours are crossfaded within a tenth of a window.
An average over the whole overlap would blur beats on which they do not agree, and with few steps amplitudes would fall.

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

from .noise import drawn
from .samplers.loop import BoundNetwork

OVERLAP = 0.2  # of a window, at least
FADE = 0.1  # of a window, in which it gives way to the next
CHANGE_S = 1.0  # in which the statements before a change give way to those after it
EDGE_S = 0.2  # left over at the end of a strip, where recordings of PTB-XL have an artefact of resampling

Floats = NDArray[np.float64]


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
        """The samples in the middle of each overlap, where one window gives way to the next."""
        pairs = zip(self.starts, self.starts[1:], strict=False)
        return tuple((left + self.window + right) // 2 for left, right in pairs)

    @cached_property
    def pieces(self) -> list[tuple[int, int, Tensor]]:
        """The first sample of a window, the part with whose statements it is read, and its weights (window,).

        At each sample of the strip the weights add up to 1.
        """
        of_windows = self._shares(self.seams, FADE * self.window)
        of_parts = self._shares(self.ends[:-1], CHANGE_S * self.fs_hz)
        found = []
        for start, of_window in zip(self.starts, of_windows, strict=True):
            for part, of_part in enumerate(of_parts):
                weight = (of_window * of_part)[start : start + self.window]
                if weight.any():
                    found.append((start, part, torch.from_numpy(weight.astype(np.float32))))
        return found

    def _shares(self, changes: Sequence[int], fade: float) -> Floats:
        """Return how far each sample belongs to each stretch between `changes` (n,): (n + 1, padded).

        fade: samples that a change takes.
        """
        at = np.arange(self.padded) + 0.5
        begun = [np.clip((at - change) / fade + 0.5, 0, 1) for change in changes]
        edges = np.stack([np.ones(self.padded), *begun, np.zeros(self.padded)])
        return edges[:-1] - edges[1:]

    def noise(self, state: Tensor, t: int) -> Tensor:
        """Return the noise (B, 8, padded) of strips at a step, from their `sssd.noise.origin` (B, 2).

        A longer strip's noise begins with that of a shorter one.
        """
        return drawn(state, t, (self.padded, 8)).transpose(1, 2).contiguous()

    def stitched(
        self, bind: Callable[[list[int], list[int]], BoundNetwork], strips: int, rows: int
    ) -> BoundNetwork:
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
