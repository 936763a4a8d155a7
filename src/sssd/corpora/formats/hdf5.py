"""HDF5: one dataset for each column."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..block import NUMBERS, SIGNALS, Block, rows
from ..schema import Corpus
from .metadata import columns, file_metadata, signals


class Hdf5Writer:
    """One dataset for each column, and one chunk for each record's signal, so that a record can be read alone.

    The file is in the format of HDF5 1.8, so that old versions and other implementations of HDF5 can read it. It is
    made in memory: the HDF5 library crashes the process when the disk fills up while it writes.
    """

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None:
        import h5py

        self._path, self._n, self._content = path, 0, io.BytesIO()
        self._file = h5py.File(self._content, "w", libver="v108")
        for name, value in file_metadata(corpus).items():
            self._file.attrs[name.removesuffix("_uv")] = value
        for name, (kind, shape) in columns(corpus, records).items():
            chunks = (1, *shape[1:]) if name in SIGNALS else None
            dtype = h5py.string_dtype() if kind == "U" else kind
            self._file.create_dataset(name, shape, dtype, chunks=chunks)

    def append(self, block: Block) -> None:
        stop = self._n + rows(block)
        for name, column in block.items():
            self._file[name][self._n : stop] = column.astype(object) if column.dtype.kind == "U" else column
        self._n = stop

    def close(self, facts: dict[str, str]) -> None:
        for name, value in facts.items():
            self._file.attrs[name] = value
        self._file.close()
        self._path.write_bytes(self._content.getbuffer())

    def abort(self) -> None:
        self._file.close()


class Hdf5Reader:
    """Reads datasets whose data lie in the file itself: HDF5 can also point at other files, which are not opened."""

    def __init__(self, path: Path, corpus: Corpus, span: range) -> None:
        import h5py

        self._extra, self._signals = corpus.extra, signals(corpus)
        self._file = h5py.File(path, "r")
        try:
            for name, (kind, shape) in columns(corpus, len(span)).items():
                self._check(name, shape, kind)
        except BaseException:
            self._file.close()
            raise

    def read(self, start: int, stop: int) -> Block:
        block = {name: self._file[name][start:stop] for name in ("index", "labels", *self._signals)}
        block["requested"] = self._file["requested"].asstr()[start:stop].astype(np.str_)
        for name in self._extra:
            column = self._file[name]
            block[name] = (
                column[start:stop] if name in NUMBERS else column.asstr()[start:stop].astype(np.str_)
            )
        return block

    def close(self) -> None:
        self._file.close()

    def _check(self, name: str, shape: tuple[int, ...], kind: str) -> None:
        """Raise ValueError unless the dataset lies in this file and has this shape and type ("U": text)."""
        import h5py

        if not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is absent or lies in another file")
        dataset = self._file[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise ValueError(f"the data of {name} lie in another file")
        text = h5py.check_string_dtype(dataset.dtype)
        if kind == "U":
            right = text is not None and text.length is None
        else:
            right = dataset.dtype == np.dtype(kind)
        if not right or dataset.shape != shape:
            raise ValueError(f"{name} has the shape {dataset.shape} and the type {dataset.dtype}")
