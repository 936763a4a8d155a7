"""HDF5: one dataset per column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..block import Block, rows
from ..manifest import Corpus
from .about import describe


class Hdf5Writer:
    """One dataset per column; a chunk per record, so that any one is read alone.

    The file is made in memory: HDF5 itself does not survive a disk that fills up while it writes.
    """

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None:
        import h5py

        self._path, self._n = path, 0
        grow = 1 << 24
        self._file = h5py.File(
            path.name, "w", libver="v110", driver="core", backing_store=False, block_size=grow
        )
        for name, value in describe(corpus).items():
            self._file.attrs["signal" if name == "signal_uv" else name] = value
        shape = (len(corpus.leads), corpus.length)
        text, width = h5py.string_dtype(), len(corpus.label_names)
        kinds: list[tuple[str, tuple[int, ...], Any]] = [
            ("index", (), "<i8"), ("requested", (), text), ("labels", (width,), "u1"),
            ("signal_uv", shape, "<i2"), ("age", (), "<f4"), ("sex", (), text),
        ]  # fmt: skip
        for name, rest, kind in kinds:
            if name in ("age", "sex") and name not in corpus.extra:
                continue
            chunk = (1, *rest) if name == "signal_uv" else (1024, *rest)
            self._file.create_dataset(name, (0, *rest), kind, maxshape=(None, *rest), chunks=chunk)

    def append(self, block: Block) -> None:
        stop = self._n + rows(block)
        for name, column in block.items():
            data = self._file[name]
            data.resize(stop, axis=0)
            data[self._n : stop] = column.astype(object) if column.dtype.kind == "U" else column
        self._n = stop

    def close(self, facts: dict[str, str]) -> None:
        for name, value in facts.items():
            self._file.attrs[name] = value
        self._file.flush()
        image = self._file.id.get_file_image()
        self._file.close()
        self._path.write_bytes(image)

    def abort(self) -> None:
        self._file.close()


class Hdf5Reader:
    def __init__(self, path: Path, corpus: Corpus) -> None:
        import h5py

        self._file, self._extra = h5py.File(path, "r"), corpus.extra

    def read(self, start: int, stop: int) -> Block:
        block = {name: self._file[name][start:stop] for name in ("index", "labels", "signal_uv")}
        block["requested"] = self._file["requested"].asstr()[start:stop].astype(np.str_)
        if "age" in self._extra:
            block["age"] = self._file["age"][start:stop]
        if "sex" in self._extra:
            block["sex"] = self._file["sex"].asstr()[start:stop].astype("<U6")
        return block

    def close(self) -> None:
        self._file.close()
