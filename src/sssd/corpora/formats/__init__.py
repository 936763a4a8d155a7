"""Shards as files: one module per format, with one class to write and one to read.

What a file holds depends on its records alone: not on the sizes of the blocks that were appended, nor on the time.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from ..block import Block
from ..manifest import Corpus
from .hdf5 import Hdf5Reader, Hdf5Writer
from .npz import NpzReader, NpzWriter
from .parquet import ParquetReader, ParquetWriter
from .wfdb import WfdbReader, WfdbWriter

NEEDS = {"parquet": "pyarrow", "hdf5": "h5py"}


class Writer(Protocol):
    """Writes blocks of ROWS records (the last: fewer) to a file."""

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None: ...
    def append(self, block: Block) -> None: ...
    def close(self, facts: dict[str, str]) -> None: ...
    def abort(self) -> None: ...


class Reader(Protocol):
    """Reads records start .. stop - 1 of a shard. Damaged files raise ValueError or OSError."""

    def __init__(self, path: Path, corpus: Corpus) -> None: ...
    def read(self, start: int, stop: int) -> Block: ...
    def close(self) -> None: ...


WRITERS: dict[str, type[Writer]] = {
    "parquet": ParquetWriter,
    "hdf5": Hdf5Writer,
    "npz": NpzWriter,
    "wfdb": WfdbWriter,
}
READERS: dict[str, type[Reader]] = {
    "parquet": ParquetReader,
    "hdf5": Hdf5Reader,
    "npz": NpzReader,
    "wfdb": WfdbReader,
}


def check_format(name: str) -> str:
    """The format; ValueError where it is unknown or its package is not installed."""
    if name not in WRITERS:
        raise ValueError(f"unknown format {name!r}; choose from {', '.join(WRITERS)}")
    package = NEEDS.get(name)
    if package and find_spec(package) is None:
        raise ValueError(f"{name} needs the package {package}: pip install 'sssd-ecg[io]'")
    return name


def open_shard(folder: Path, corpus: Corpus, number: int) -> Reader:
    """A shard to read from."""
    return READERS[corpus.format](folder / corpus.file(number), corpus)
