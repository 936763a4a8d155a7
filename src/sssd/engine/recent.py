"""A small cache of the last few things that were made, limited in number and in size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Keeps the things that were asked for last: at most `count` of them, with at most `size` in total.

    The last one is always kept, whatever its size.
    """

    def __init__(self, count: int, size: float = float("inf")) -> None:
        self.count, self.size = count, size
        self._kept: OrderedDict[Hashable, tuple[V, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], V], size: float = 0.0) -> V:
        """Return the thing kept under `key`, or else make(), of this size. Old things are dropped before it is made."""
        with self._lock:
            if key not in self._kept:
                while self._kept and (len(self._kept) >= self.count or self._total() + size > self.size):
                    self._kept.popitem(last=False)
                self._kept[key] = make(), size
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def _total(self) -> float:
        return sum(size for _, size in self._kept.values())

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)
