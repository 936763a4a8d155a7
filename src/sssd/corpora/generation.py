"""Generating the records of a shard, in batches by record number, while the batch before is written.

Batch b holds the records b B .. (b + 1) B - 1, and the last batch is filled up: the shape of every computation, and so
every bit, depends on the record's number alone. It does not depend on the size of the shards or on where a run was
stopped. Only the present batch and the few that wait to be written are in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..leads import to_twelve
from .beside import annotated, noise
from .block import LIMIT_UV, NOT_FINITE, Block, cut, rows
from .plan import Plan
from .recipe import Generate, Made
from .schema import Corpus, Note
from .shard import Shard

MAX_WAITING = 4  # batches that may wait to be written

# records of one batch: columns, and a function that returns their signals, as a function `Generate` makes them
Piece = tuple[Block, Callable[[], NDArray[Any]]]
Pieces = Callable[[range], Iterator[Piece]]


def batches(corpus: Corpus, plan: Plan, generate: Generate) -> Pieces:
    """Return a function that generates the records of a span, batch by batch.

    The last batch is kept, because it may reach into the next shard.
    """
    (recipe,) = corpus.parts
    last: tuple[int, Block, Made] = (-1, {}, np.empty(0, np.float32))

    def pieces(span: range) -> Iterator[Piece]:
        nonlocal last
        size = recipe.batch_size
        for b in range(span.start // size, -(-span.stop // size)):
            if last[0] != b:
                index = np.arange(b * size, (b + 1) * size, dtype=np.int64)
                columns = {"index": index, **plan.rows(index, recipe.seed)}
                made = generate(columns)
                last = b, annotated(corpus, columns, _signals(made)) if recipe.annotate else columns, made
            start, stop = max(span.start - b * size, 0), min(span.stop - b * size, size)
            yield cut(last[1], start, stop), partial(_signals, last[2], start, stop)

    return pieces


def _signals(made: Made, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Return rows of a batch's signals, once they are there."""
    return (made() if callable(made) else made)[start:stop]


def quantised(corpus: Corpus, columns: Block, signals: NDArray[Any]) -> Block:
    """Return the columns with 12 leads in whole microvolts, cut off at +-32.767 mV. ValueError for NaN and infinity.

    signals: see `Generate`. In a corpus with noise, it is added here.
    """
    if signals.dtype == np.int16:
        finite = (signals != NOT_FINITE).all(axis=(1, 2))
        twelve = None
    else:
        twelve = to_twelve(signals)
        finite = np.isfinite(twelve).all(axis=(1, 2))
    if not finite.all():
        record = int(columns["index"][~finite][0])
        raise ValueError(f"record {record} holds NaN or infinite values: the model cannot generate it")
    if twelve is None:
        return {**columns, "signal_uv": signals}
    added = noise(corpus, columns["index"])
    if added is None:
        return {**columns, "signal_uv": _microvolts(twelve)}
    noisy = (twelve.astype(np.float64) + added).astype(np.float32)
    return {**columns, "signal_uv": _microvolts(noisy), "clean_uv": _microvolts(twelve)}


def _microvolts(twelve: NDArray[np.float32]) -> NDArray[np.int16]:
    units = np.rint(twelve.astype(np.float64) * 1000.0)
    return np.clip(units, -LIMIT_UV, LIMIT_UV, out=units).astype(np.int16)


def write_shard(folder: Path, corpus: Corpus, number: int, pieces: Pieces) -> Iterator[int | Future[Note]]:
    """Generate the records of a shard and write them, in another thread, to its file.

    Yields the number of records generated so far. When all are generated, it yields a future of the note: the rest of
    the shard is written, hashed and flushed to the disk while the caller goes on. What fails in the writing thread is
    raised here or by the note, and nothing of the shard is left.
    """
    thread = ThreadPoolExecutor(1, "writer")
    opened = thread.submit(Shard, folder, corpus, number)
    waiting: deque[Future[Shard] | Future[None]] = deque([opened])
    records = 0
    try:
        for columns, signals in pieces(corpus.span(number)):
            waiting.append(thread.submit(_append, opened, corpus, columns, signals))
            while waiting and (waiting[0].done() or len(waiting) > MAX_WAITING):
                waiting.popleft().result()
            records += rows(columns)
            yield records
        note = thread.submit(_finish, opened, list(waiting))
    except BaseException:
        thread.shutdown(wait=True, cancel_futures=True)
        if opened.exception() is None:
            opened.result().abort()
        raise
    thread.shutdown(wait=False)
    yield note


def _append(
    opened: Future[Shard], corpus: Corpus, columns: Block, signals: Callable[[], NDArray[Any]]
) -> None:
    opened.result().append(quantised(corpus, columns, signals()))


def _finish(opened: Future[Shard], before: list[Future[Shard] | Future[None]]) -> Note:
    """Finish a shard in its thread, in which everything before is done."""
    try:
        for each in before:
            each.result()
        return opened.result().finish()
    except BaseException:
        if opened.exception() is None:
            opened.result().abort()
        raise
