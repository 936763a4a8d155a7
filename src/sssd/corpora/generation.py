"""Generating the records of a shard, in batches by record number, while the batch before is written.

Batch b holds the records b B .. (b + 1) B - 1, and the last batch is filled up: the shape of every computation, and so
every bit, depends on the record's number alone. It does not depend on the size of the shards or on where a run was
stopped. Only the present batch and the few that wait to be written are in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..leads import to_twelve
from .beside import annotated, noise
from .block import LIMIT_UV, Block, cut, rows
from .plan import Plan
from .recipe import Generate
from .schema import Corpus, Note
from .shard import Shard

MAX_WAITING = 4  # batches that may wait to be written

Piece = tuple[Block, NDArray[np.float32]]  # records of one batch: columns, and 8 leads (n, 8, L) in mV
Pieces = Callable[[range], Iterator[Piece]]


def batches(corpus: Corpus, plan: Plan, generate: Generate) -> Pieces:
    """Return a function that generates the records of a span, batch by batch.

    The last batch is kept, because it may reach into the next shard.
    """
    (recipe,) = corpus.parts
    last: tuple[int, Block, NDArray[np.float32]] = (-1, {}, np.empty(0, np.float32))

    def pieces(span: range) -> Iterator[Piece]:
        nonlocal last
        size = recipe.batch_size
        for b in range(span.start // size, -(-span.stop // size)):
            if last[0] != b:
                index = np.arange(b * size, (b + 1) * size, dtype=np.int64)
                columns = {"index": index, **plan.rows(index, recipe.seed)}
                eight = generate(columns)
                last = b, annotated(corpus, columns, eight) if recipe.annotate else columns, eight
            start, stop = max(span.start - b * size, 0), min(span.stop - b * size, size)
            yield cut(last[1], start, stop), last[2][start:stop]

    return pieces


def quantised(corpus: Corpus, columns: Block, eight: NDArray[np.float32]) -> Block:
    """Return the columns with 12 leads in whole microvolts, cut off at +-32.767 mV. ValueError for NaN and infinity.

    In a corpus with noise, it is added here.
    """
    twelve = to_twelve(eight)
    finite = np.isfinite(twelve).all(axis=(1, 2))
    if not finite.all():
        record = int(columns["index"][~finite][0])
        raise ValueError(f"record {record} holds NaN or infinite values: the model cannot generate it")
    added = noise(corpus, columns["index"])
    if added is None:
        return {**columns, "signal_uv": _microvolts(twelve)}
    noisy = (twelve.astype(np.float64) + added).astype(np.float32)
    return {**columns, "signal_uv": _microvolts(noisy), "clean_uv": _microvolts(twelve)}


def _microvolts(twelve: NDArray[np.float32]) -> NDArray[np.int16]:
    units = np.rint(twelve.astype(np.float64) * 1000.0)
    return np.clip(units, -LIMIT_UV, LIMIT_UV, out=units).astype(np.int16)


def write_shard(folder: Path, corpus: Corpus, number: int, pieces: Pieces) -> Iterator[int | Note]:
    """Generate the records of a shard and write them, in another thread, to its file.

    Yields the number of records generated so far and, once the file is in place, the note to write about it. What
    fails in the writing thread is raised here, and nothing of the shard is left.
    """
    with ThreadPoolExecutor(1, "writer") as thread:
        opened = thread.submit(Shard, folder, corpus, number)
        waiting: deque[Future[Shard] | Future[None]] = deque([opened])
        records = 0
        try:
            for columns, eight in pieces(corpus.span(number)):
                waiting.append(thread.submit(_append, opened, corpus, columns, eight))
                while waiting and (waiting[0].done() or len(waiting) > MAX_WAITING):
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


def _append(opened: Future[Shard], corpus: Corpus, columns: Block, eight: NDArray[np.float32]) -> None:
    opened.result().append(quantised(corpus, columns, eight))
