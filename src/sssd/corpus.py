"""Reading a corpus as a PyTorch dataset: by record number, or as a stream.

    corpus = sssd.corpus.open("corpus")                     # corpus[i]; for a DataLoader with shuffle=True
    stream = sssd.corpus.open("corpus", streaming=True)     # divided among ranks and DataLoader workers

A record is {"signal": (12, L) float32 in mV, "labels": (K,) float32, "index": int}. If noise was added, it also has
"clean", the signal without it. `leads` gives the order of the leads. What is read is checked: a damaged shard raises
ValueError.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from .checks import checked_seed, whole
from .corpora import manifest
from .corpora.block import GROUP, SIGNALS, Block, cut, rows
from .corpora.formats import ShardReader, check_format
from .corpora.formats.metadata import statements
from .corpora.notes import read_notes
from .corpora.schema import Corpus

if TYPE_CHECKING:
    import pandas

Record = dict[str, Any]

MAX_OPEN = 8  # shards


@overload
def open(path: str | Path, *, streaming: Literal[False] = False) -> MapDataset: ...
@overload
def open(
    path: str | Path,
    *,
    streaming: Literal[True],
    shuffle: int | None = None,
    rank: int | None = None,
    world_size: int | None = None,
) -> Stream: ...
def open(
    path: str | Path,
    *,
    streaming: bool = False,
    shuffle: int | None = None,
    rank: int | None = None,
    world_size: int | None = None,
) -> MapDataset | Stream:
    """Open the corpus in a folder as a map-style dataset or, with `streaming`, as an iterable dataset.

    shuffle: a seed; the order of the stream depends on it and on `Stream.set_epoch`. Without it, records come in the
        order of their numbers.
    rank, world_size: which of the processes that share the stream this one is; by default, what torch.distributed or
        the environment of torchrun says, and otherwise one process alone.
    FileNotFoundError if there is no corpus; ValueError if it is damaged or not complete, or an argument is wrong.
    """
    if shuffle is not None:
        shuffle = _seed(shuffle)
    folder = Path(path)
    corpus = manifest.read(folder)
    check_format(corpus.format)
    for _ in read_notes(folder, corpus):
        pass  # raises where one is missing
    if streaming:
        return Stream(folder, corpus, shuffle, *_place(rank, world_size))
    if shuffle is not None or rank is not None or world_size is not None:
        raise ValueError(
            "shuffle, rank and world_size are for streaming=True; a DataLoader's sampler shuffles"
        )
    return MapDataset(folder, corpus)


class _Shards:
    """The shards of a corpus, a few of them open at a time. Each process opens its own."""

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self.folder, self.corpus = folder, corpus
        self._open: OrderedDict[int, ShardReader] = OrderedDict()
        self._process = os.getpid()

    def read(self, shard: int, start: int, stop: int) -> Block:
        if self._process != os.getpid():  # after a fork, open files belong to the parent
            self._open, self._process = OrderedDict(), os.getpid()
        if shard not in self._open:
            self._open[shard] = ShardReader(self.folder, self.corpus, shard)
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(shard)
        return self._open[shard].read(start, stop)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_process": -1}


class _Described:
    """What all records of a corpus have in common."""

    corpus: Corpus

    @property
    def label_names(self) -> tuple[str, ...]:
        """(K,) what the columns of `labels` stand for."""
        return self.corpus.label_names

    @property
    def leads(self) -> tuple[str, ...]:
        """(12,) the names of the rows of `signal`."""
        return self.corpus.leads

    @property
    def fs_hz(self) -> float:
        """Samples per second."""
        return self.corpus.fs_hz


class MapDataset(_Described, Dataset[Record]):
    """Records by number.

    To get one record, HDF5 and WFDB read that record alone, Parquet reads 128 records, and NPZ reads its whole shard.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self._shards, self.corpus = _Shards(folder, corpus), corpus

    def __len__(self) -> int:
        return self.corpus.records

    def frame(self) -> pandas.DataFrame:
        """Return a table of all records, indexed by their numbers, without the signals.

        Its columns are `requested`, `statements`, age, sex, heart_rate and source where the corpus has them, and one of
        0 and 1 for each label. All shards are read once.
        """
        import pandas

        parts = []
        for shard in range(self.corpus.shards):
            for start in range(0, len(self.corpus.span(shard)), GROUP):
                block = self._shards.read(shard, start, min(start + GROUP, len(self.corpus.span(shard))))
                told = {name: block[name] for name in ("requested", *self.corpus.extra)}
                told["statements"] = np.array(statements(block["labels"], self.label_names))
                labels = pandas.DataFrame(block["labels"], block["index"], self.label_names)
                parts.append(pandas.concat([pandas.DataFrame(told, block["index"]), labels], axis=1))
        return pandas.concat(parts)

    def __getitem__(self, i: int) -> Record:
        """Return record i, from the end if it is negative. IndexError if there is none; ValueError if it is damaged."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"record {i} of a corpus of {len(self)}")
        shard, row = divmod(range(len(self))[i], self.corpus.shard_size)
        return _record(self._shards.read(shard, row, row + 1), 0)


class Stream(_Described, IterableDataset[Record]):
    """Records one after the other; each record comes once over all ranks and workers, which get blocks of 128.

    The length is the number of records that this rank gets in this epoch from all of its workers together. The numbers
    of blocks that ranks get differ by one at most. Where all ranks have to take the same number of steps, set that
    number yourself.
    """

    def __init__(self, folder: Path, corpus: Corpus, shuffle: int | None, rank: int, world_size: int) -> None:
        self._shards, self.corpus = _Shards(folder, corpus), corpus
        self.shuffle, self.rank, self.world_size, self.epoch = shuffle, rank, world_size, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose another order for the next pass; it has an effect only with `shuffle`."""
        self.epoch = epoch

    def __len__(self) -> int:
        shard, number = np.divmod(self._blocks(), -(-self.corpus.shard_size // GROUP))
        records = np.minimum(self.corpus.shard_size, self.corpus.records - shard * self.corpus.shard_size)
        return int(np.minimum(GROUP, records - number * GROUP).sum())

    def __iter__(self) -> Iterator[Record]:
        worker = get_worker_info()
        mine = slice(None) if worker is None else slice(worker.id, None, worker.num_workers)
        for block in self._blocks()[mine].tolist():
            shard, number = divmod(block, -(-self.corpus.shard_size // GROUP))
            stop = min((number + 1) * GROUP, len(self.corpus.span(shard)))
            content = self._shards.read(shard, number * GROUP, stop)
            order = np.arange(rows(content))
            if self.shuffle is not None:
                order = np.random.default_rng((self.shuffle, self.epoch, block)).permutation(order)
            for row in order.tolist():
                yield _record(content, row)

    def _blocks(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the numbers of this rank's blocks: block 0 of shard s is s times the blocks of a full shard."""
        full = -(-self.corpus.shard_size // GROUP)
        last = -(-len(self.corpus.span(self.corpus.shards - 1)) // GROUP)
        blocks = np.arange((self.corpus.shards - 1) * full + last)
        if self.shuffle is not None:
            blocks = np.random.default_rng((self.shuffle, self.epoch)).permutation(blocks)
        return blocks[self.rank :: self.world_size]


def _record(block: Block, row: int) -> Record:
    one = cut(block, row, row + 1)
    millivolts = {
        name.removesuffix("_uv"): torch.from_numpy(one[name][0].astype(np.float32) / np.float32(1000))
        for name in SIGNALS
        if name in one
    }
    return {
        **millivolts,
        "labels": torch.from_numpy(one["labels"][0].astype(np.float32)),
        "index": int(one["index"][0]),
    }


def _seed(shuffle: Any) -> int:
    try:
        return checked_seed(shuffle)
    except ValueError:
        raise ValueError(
            f"shuffle is {shuffle!r}: expected a seed, which is a whole number from 0, or None for the order of numbers"
        ) from None


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if (rank is None) != (world_size is None):
        raise ValueError("rank and world_size belong together: give both or neither")
    if rank is None or world_size is None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if distributed:
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    rank, world_size = whole("rank", rank, 0), whole("world_size", world_size)
    if rank >= world_size:
        raise ValueError(f"rank is {rank} of {world_size}; expected 0 <= rank < world_size")
    return rank, world_size
