"""One shard while it is written: it is written beside its place, and is there complete or not at all."""

from __future__ import annotations

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ..io.files import beside, sync
from .block import COLUMNS, GROUP, Block, cut, join, rows
from .files import file_hash, remove
from .formats import WRITERS
from .schema import Corpus, Note
from .shard_statistics import ShardStatistics


class Shard:
    """Takes blocks of records of any size, and becomes a file."""

    def __init__(self, folder: Path, corpus: Corpus, number: int) -> None:
        self.corpus, self.number = corpus, number
        self.target = folder / corpus.file(number)
        self.part = beside(self.target)
        self.statistics, self.written = ShardStatistics(corpus), 0
        self._waiting: list[Block] = []
        self._thread = ThreadPoolExecutor(1, "statistics")
        self._counting: Future[None] | None = None
        self._writer = WRITERS[corpus.format](self.part, corpus, len(corpus.span(number)))

    def append(self, block: Block) -> None:
        """Add records; they are written in groups of `GROUP`."""
        if self._counting is not None:
            self._counting.result()
        self._counting = self._thread.submit(self.statistics.add, block)
        self._waiting.append({name: block[name] for name in COLUMNS if name in block})
        if sum(map(rows, self._waiting)) >= GROUP:
            whole = join(self._waiting)
            keep = rows(whole) - rows(whole) % GROUP
            for start in range(0, keep, GROUP):
                self._write(cut(whole, start, start + GROUP))
            self._waiting = [cut(whole, keep, rows(whole))] if keep < rows(whole) else []

    def finish(self) -> Note:
        """Move the shard into place; returns the note to write about it."""
        if self._waiting:
            self._write(join(self._waiting))
        if self._counting is not None:
            self._counting.result()
        self._thread.shutdown()
        span = self.corpus.span(self.number)
        assert self.written == len(span), (self.written, span)
        statistics = self.statistics.lead_uv()
        self._writer.close({"lead_uv": json.dumps(statistics), "first": str(span.start)})
        with ThreadPoolExecutor(1) as thread:
            hashing = thread.submit(file_hash, self.part)
            if self.part.is_dir() and hasattr(os, "sync"):
                os.sync()  # thousands of small files: flushing them one by one takes as long as writing them
            else:
                sync(self.part)
            bytes_, sha256 = hashing.result()
        if self.part.is_dir():
            remove(self.target)
        self.part.replace(self.target)
        sync(self.target.parent)
        return Note(
            shard=self.number,
            first=span.start,
            records=len(span),
            file=self.corpus.file(self.number),
            bytes=bytes_,
            sha256=sha256,
            corpus=self.corpus.digest,
            clipped=self.statistics.clipped,
            lead_uv=statistics,
            label_counts=tuple(self.statistics.labels.tolist()),
        )

    def abort(self) -> None:
        """Remove what was written so far."""
        self._thread.shutdown()
        self._writer.abort()
        remove(self.part)

    def _write(self, block: Block) -> None:
        self._writer.append(block)
        self.written += rows(block)
