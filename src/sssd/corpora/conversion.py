"""Converting a corpus to another format or shard size, and merging several corpora into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config.names import CorpusFormat
from . import manifest
from .block import EXTRA, GROUP, NUMBERS, Block, rows
from .disk_errors import explained
from .formats import ShardReader
from .lock import locked
from .notes import finished, write_note
from .run import Report, check_new, clear, complete
from .schema import Corpus
from .shard import Shard


def convert(
    source: Path,
    out: Path,
    format: CorpusFormat,
    *,
    shard_size: int | None = None,
    progress: Report | None = None,
) -> Corpus:
    """Write the records of `source` in another format; if it was stopped, call it again to complete the copy.

    ValueError if a shard of the source is missing or altered.
    """
    corpus = manifest.read(source)
    target = replace(corpus, format=format, shard_size=shard_size or corpus.shard_size)
    _copy([source], [corpus], out, target, progress)
    return target


def merge(
    sources: Sequence[Path],
    out: Path,
    *,
    format: CorpusFormat | None = None,
    shard_size: int | None = None,
    progress: Report | None = None,
) -> Corpus:
    """Write the records of several corpora one after the other, with new numbers.

    If it was stopped, call it again to complete the copy.

    ValueError where labels, leads, sampling rate or length differ, where only some have noise, or where two corpora
    hold the same records.
    """
    corpora = [manifest.read(source) for source in sources]
    first = corpora[0]
    for source, corpus in zip(sources, corpora, strict=True):
        for name in ("label_names", "leads", "fs_hz", "length", "noise"):
            if getattr(corpus, name) != getattr(first, name):
                raise ValueError(
                    f"{name} of {str(source)!r} is not that of {str(sources[0])!r}: they cannot be merged"
                )
    parts = tuple(part for corpus in corpora for part in corpus.parts)
    keys = [part.same_records() for part in parts]
    if len(set(keys)) < len(keys):
        raise ValueError(
            "two of the corpora hold the same records (model, labels, sampler and seed are the same): merge each once"
        )
    target = Corpus(
        records=sum(corpus.records for corpus in corpora),
        shard_size=shard_size or first.shard_size,
        format=format or first.format,
        label_names=first.label_names,
        leads=first.leads,
        fs_hz=first.fs_hz,
        length=first.length,
        extra=tuple(name for name in EXTRA if any(name in corpus.extra for corpus in corpora)),
        parts=parts,
    )
    _copy(sources, corpora, out, target, progress)
    return target


def _copy(
    sources: Sequence[Path], corpora: Sequence[Corpus], out: Path, target: Corpus, progress: Report | None
) -> None:
    requests = manifest.read_requests(sources[0], corpora[0]) if len(target.parts) == 1 else None
    if not _begun(out, target):
        check_new(out)
    with explained(out, "give the same command again"):
        out.mkdir(parents=True, exist_ok=True)
        with locked(out):
            if _begun(out, target):
                manifest.restore(out)
            else:
                manifest.begin(out, target, requests)
            reader = _JoinedCorpora(sources, corpora, target.extra)
            clear(out)
            for number in range(target.shards):
                span = target.span(number)
                if not finished(out, target, number, check=True):
                    shard = Shard(out, target, number)
                    try:
                        for block in reader.read(span):
                            shard.append(block)
                        note = shard.finish()
                    except BaseException:
                        shard.abort()
                        raise
                    write_note(out, note)
                if progress is not None:
                    progress(span.stop, target.records)
            reader.close()
            complete(out, target)


def _begun(out: Path, target: Corpus) -> bool:
    try:
        return manifest.read(out) == target
    except (FileNotFoundError, ValueError):
        return False


class _JoinedCorpora:
    """The records of several corpora, one after the other; a shard's SHA-256 is checked before the shard is read."""

    def __init__(self, sources: Sequence[Path], corpora: Sequence[Corpus], extra: tuple[str, ...]) -> None:
        self._sources, self._corpora, self._extra = sources, corpora, extra
        self._starts = np.cumsum([0, *(corpus.records for corpus in corpora)]).tolist()
        self._open: tuple[tuple[int, int], ShardReader] | None = None

    def read(self, span: range) -> Iterator[Block]:
        at = span.start
        while at < span.stop:
            k = int(np.searchsorted(self._starts, at, side="right")) - 1
            corpus, inside = self._corpora[k], at - self._starts[k]
            shard = inside // corpus.shard_size
            first = inside - corpus.span(shard).start
            stop = min(first + GROUP, len(corpus.span(shard)), first + span.stop - at)
            block = self._shard(k, shard).read(first, stop)
            n = rows(block)
            block = {**block, "index": np.arange(at, at + n, dtype=np.int64)}
            for name in self._extra:
                unknown = np.full(n, np.nan, np.float32) if name in NUMBERS else np.full(n, "", np.str_)
                block.setdefault(name, unknown)
            yield block
            at += n

    def _shard(self, k: int, shard: int) -> ShardReader:
        if self._open is None or self._open[0] != (k, shard):
            self.close()
            source, corpus = self._sources[k], self._corpora[k]
            if not finished(source, corpus, shard, check=True):
                raise ValueError(
                    f"{str(source)!r}: shard {shard} is missing or altered; `sssd-ecg corpus verify {source}` says more"
                )
            self._open = ((k, shard), ShardReader(source, corpus, shard))
        return self._open[1]

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
