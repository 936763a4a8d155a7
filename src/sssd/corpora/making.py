"""One shard from its plan: batches by record number, written while the next one is generated.

Batch b holds records b B .. (b + 1) B - 1, and the last one is filled up: the shape of every computation, and with it
every bit, depends on the record's number alone, not on the shard it goes to or on where a run went on. Nothing is kept
but the batch at hand and the few that wait to be written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..leads import to_twelve
from .block import LIMIT, Block, cut, rows
from .manifest import Corpus, Note
from .plan import Plan
from .recipe import Generate
from .shard import Shard

AHEAD = 4  # batches that may wait to be written


def batches(corpus: Corpus, plan: Plan, generate: Generate) -> Callable[[range], Iterator[Any]]:
    """Records as a function of their span: pieces (columns, 8 leads in mV), each of one batch.

    The last batch is kept, for it may reach into the next shard.
    """
    (recipe,) = corpus.parts
    last: list[Any] = [-1, None, None]

    def pieces(span: range) -> Iterator[Any]:
        size = recipe.batch_size
        for b in range(span.start // size, -(-span.stop // size)):
            if last[0] != b:
                index = np.arange(b * size, (b + 1) * size, dtype=np.int64)
                columns = {"index": index, **plan.rows(index, recipe.seed)}
                last[:] = b, columns, generate(columns)
            start, stop = max(span.start - b * size, 0), min(span.stop - b * size, size)
            yield cut(last[1], start, stop), last[2][start:stop]

    return pieces


def quantised(columns: Block, eight: NDArray[np.float32]) -> Block:
    """The columns with 12 leads in whole microvolts, cut off at +-32.767 mV. ValueError for NaN."""
    units = np.rint(to_twelve(eight).astype(np.float64) * 1000.0)
    finite = np.isfinite(units).all(axis=(1, 2))
    if not finite.all():
        record = int(columns["index"][~finite][0])
        raise ValueError(f"record {record} holds NaN or infinite values: the model cannot generate it")
    return {**columns, "signal_uv": np.clip(units, -LIMIT, LIMIT, out=units).astype(np.int16)}


def write_shard(
    folder: Path, corpus: Corpus, number: int, pieces: Callable[[range], Iterator[Any]]
) -> Iterator[int | Note]:
    """Write one shard in another thread while this one makes its pieces; what fails there is raised here.

    Yields how many of its records are made so far, and at last its note: what the shard counts by, once it is written.
    """
    with ThreadPoolExecutor(1, "writer") as thread:
        opened = thread.submit(Shard, folder, corpus, number)
        waiting: deque[Future[Any]] = deque([opened])
        records = 0
        try:
            for columns, eight in pieces(corpus.span(number)):
                waiting.append(thread.submit(_append, opened, columns, eight))
                while waiting and (waiting[0].done() or len(waiting) > AHEAD):
                    waiting.popleft().result()
                records += rows(columns)
                yield records
            for each in waiting:
                each.result()
            note = thread.submit(opened.result().finish).result()
        except BaseException:
            thread.shutdown(wait=True, cancel_futures=True)
            if opened.exception() is None:
                opened.result().abort()
            raise
    yield note


def _append(opened: Future[Shard], columns: Block, eight: NDArray[np.float32]) -> None:
    opened.result().append(quantised(columns, eight))
