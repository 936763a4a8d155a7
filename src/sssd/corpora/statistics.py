"""What is known of the signals of a shard without reading it again."""

from __future__ import annotations

import numpy as np

from .block import LIMIT, Block
from .manifest import Corpus

CACHED = 4  # records that are summed at once: as many as the processor's cache holds


class Statistics:
    """Sums over the records of a shard, in whole numbers: the same in any order."""

    def __init__(self, corpus: Corpus) -> None:
        leads = len(corpus.leads)
        self.count, self.clipped = 0, 0
        self.low, self.high = np.full(leads, 32767), np.full(leads, -32768)
        self.first, self.second = np.zeros(leads, np.int64), np.zeros(leads, np.int64)
        self.labels = np.zeros(len(corpus.label_names), np.int64)
        self._exact = np.empty(
            (CACHED, leads, corpus.length)
        )  # sums of whole numbers below 2^53 are not rounded

    def add(self, block: Block) -> None:
        signal = block["signal_uv"]
        self.count += signal.shape[0] * signal.shape[2]
        low, high = signal.min(axis=(0, 2)), signal.max(axis=(0, 2))
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        if max(high.max(), -int(low.min())) >= LIMIT:
            self.clipped += int((np.abs(signal.astype(np.int32)) >= LIMIT).sum())
        ones = np.ones(signal.shape[2])
        for i in range(0, len(signal), CACHED):
            exact = self._exact[: len(signal) - i]
            exact[...] = signal[i : i + CACHED]
            squares = exact[..., None, :] @ exact[..., None]  # (n, 12, 1, 1)
            self.first += (exact @ ones).sum(axis=0).astype(np.int64)
            self.second += squares.sum(axis=(0, 2, 3)).astype(np.int64)
        self.labels += block["labels"].sum(axis=0, dtype=np.int64)

    def lead_uv(self) -> tuple[tuple[float, ...], ...]:
        table = []
        for low, high, first, second in zip(self.low, self.high, self.first, self.second, strict=True):
            mean = int(first) / self.count
            variance = max(int(second) / self.count - mean * mean, 0.0)
            table.append((float(low), float(high), round(mean, 3), round(variance**0.5, 3)))
        return tuple(table)
