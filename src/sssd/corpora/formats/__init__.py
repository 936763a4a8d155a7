"""Shards as files: one module for each format, with one class that writes and one that reads.

What a file holds depends on its records alone: not on the sizes of the blocks that were appended, nor on the time.
A shard may come from somebody else, so `ShardReader` checks everything that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np

from ...checks import needed_for
from ...patient import FASTEST, OLDEST, SEXES, SLOWEST
from ..beside import from_text
from ..block import Block
from ..files import inside
from ..schema import Corpus
from .hdf5 import Hdf5Reader, Hdf5Writer
from .metadata import columns
from .npz import NpzReader, NpzWriter
from .parquet import ParquetReader, ParquetWriter
from .wfdb import WfdbReader, WfdbWriter

NEEDS = {
    "parquet": ("pyarrow", "17"),
    "hdf5": ("h5py", "3.15"),
}  # and the lowest version, as in pyproject.toml


class Writer(Protocol):
    """Writes blocks of GROUP records (the last block may be shorter) to a file."""

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None: ...
    def append(self, block: Block) -> None: ...
    def close(self, facts: dict[str, str]) -> None: ...
    def abort(self) -> None: ...


class Reader(Protocol):
    """Reads the records start .. stop - 1 of a shard whose records are numbered `span`.

    It opens no other file and reads no more data than the corpus says that the shard holds.
    """

    def __init__(self, path: Path, corpus: Corpus, span: range) -> None: ...
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
    """Return the format.

    ValueError if it is unknown, or its package is too old; ModuleNotFoundError if that is not installed.
    """
    if name not in WRITERS:
        raise ValueError(f"unknown format {name!r}; choose from {', '.join(WRITERS)}")
    if name in NEEDS:
        package, lowest = NEEDS[name]
        with needed_for(f"{name} needs", "io"):
            found = version(package)
        if _numbers(found) < _numbers(lowest):
            raise ValueError(
                f"{name} needs {package} {lowest} or newer, and {found} is installed: "
                "pip install --upgrade 'sssd-ecg[io]'"
            )
    return name


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


class ShardReader:
    """One shard of a corpus, open for reading. ValueError, which names the file, where it is damaged."""

    def __init__(self, folder: Path, corpus: Corpus, number: int) -> None:
        self._name, self._corpus, self._span = corpus.file(number), corpus, corpus.span(number)
        path = inside(folder, self._name)
        with self._explained():
            self._reader = READERS[corpus.format](path, corpus, self._span)

    def read(self, start: int, stop: int) -> Block:
        """Return the records start .. stop - 1, counted within the shard."""
        with self._explained():
            block = self._reader.read(start, stop)
            _check(block, self._corpus, self._span[start:stop])
        return block

    def close(self) -> None:
        self._reader.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn whatever a parser raises over a damaged file into one kind of error; errors of the disk stay."""
        try:
            yield
        except (MemoryError, ImportError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk: the OSError of a parser has no number
            raise ValueError(f"{self._name} is damaged: {error}") from error


def check_readable(folder: Path, corpus: Corpus, number: int) -> None:
    """Raise ValueError unless a shard can be opened, and its first and its last record be read."""
    reader, last = ShardReader(folder, corpus, number), len(corpus.span(number)) - 1
    try:
        for row in {0, last}:
            reader.read(row, row + 1)
    finally:
        reader.close()


def _check(block: Block, corpus: Corpus, span: range) -> None:
    """Raise ValueError unless the block holds the records `span` of this corpus, with possible values."""
    for name, (kind, shape) in columns(corpus, len(span)).items():
        column = block[name]
        right = column.dtype.kind == "U" if kind == "U" else column.dtype == np.dtype(kind)
        if not right or column.shape != shape:
            raise ValueError(
                f"{name} has the shape {column.shape} and the type {column.dtype}; expected {shape} and {kind}"
            )
    if not np.array_equal(block["index"], np.arange(span.start, span.stop)):
        raise ValueError(f"index does not number the records {span.start} to {span.stop - 1}")
    if block["labels"].max(initial=0) > 1:
        raise ValueError("labels hold a value that is neither 0 nor 1")
    for name, least, most in (("age", 0.0, OLDEST), ("heart_rate", SLOWEST, FASTEST)):
        values = block[name] if name in corpus.extra else np.zeros(0)
        if not (np.isnan(values) | ((values >= least) & (values <= most))).all():
            raise ValueError(f"{name} holds a value outside {least:g} to {most:g}")
    if "sex" in corpus.extra and not np.isin(block["sex"], (*SEXES, "")).all():
        raise ValueError(f"sex holds a value that is not one of {', '.join(SEXES)}")
    for text in block["annotations"].tolist() if "annotations" in corpus.extra else ():
        if text:  # records of another corpus that was merged have none
            from_text(text, corpus.length)
