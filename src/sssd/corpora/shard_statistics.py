"""Statistics of the signals of a shard, gathered while it is written."""

from __future__ import annotations

import numpy as np

from .block import LIMIT_UV, Block
from .schema import Corpus

CACHED = 4  # records that are summed at once: as many as the processor's cache holds

LeadRow = tuple[float, float, float, float]


class ShardStatistics:
    """Sums over the records of a shard, in whole numbers, so that they are the same in any order."""

    def __init__(self, corpus: Corpus) -> None:
        leads = len(corpus.leads)
        self.count, self.clipped = 0, 0
        self.low, self.high = np.full(leads, 32767), np.full(leads, -32768)
        self.first, self.second = np.zeros(leads, np.int64), np.zeros(leads, np.int64)
        self.labels = np.zeros(len(corpus.label_names), np.int64)
        # float64, in which sums of whole numbers below 2^53 are not rounded
        self._exact = np.empty((CACHED, leads, corpus.length))

    def add(self, block: Block) -> None:
        """Count the records of a block."""
        signal = block["signal_uv"]
        self.count += signal.shape[0] * signal.shape[2]
        low, high = signal.min(axis=(0, 2)), signal.max(axis=(0, 2))
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        if max(high.max(), -int(low.min())) >= LIMIT_UV:
            self.clipped += int((np.abs(signal.astype(np.int32)) >= LIMIT_UV).sum())
        ones = np.ones(signal.shape[2])
        for i in range(0, len(signal), CACHED):
            exact = self._exact[: len(signal) - i]
            exact[...] = signal[i : i + CACHED]
            squares = exact[..., None, :] @ exact[..., None]  # (n, 12, 1, 1)
            self.first += (exact @ ones).sum(axis=0).astype(np.int64)
            self.second += squares.sum(axis=(0, 2, 3)).astype(np.int64)
        self.labels += block["labels"].sum(axis=0, dtype=np.int64)

    def lead_uv(self) -> tuple[LeadRow, ...]:
        """Return (12, 4): least, largest, mean and standard deviation of each lead in microvolts."""
        table = []
        for low, high, first, second in zip(self.low, self.high, self.first, self.second, strict=True):
            mean = int(first) / self.count
            variance = max(int(second) / self.count - mean * mean, 0.0)
            table.append((float(low), float(high), round(mean, 3), round(variance**0.5, 3)))
        return tuple(table)
