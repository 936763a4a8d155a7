"""NPZ: the archive that `generate` writes and `train` reads."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..block import Block, cut, join
from ..manifest import Corpus
from .about import describe

if TYPE_CHECKING:
    import io


class NpzWriter:
    """The archive that `generate` writes and `train` reads; signals are compressed as they come."""

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None:
        self._corpus, self._rest = corpus, list[Block]()
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._signal = self._zip.open("signal_uv.npy", "w", force_zip64=True)
        shape = (records, len(corpus.leads), corpus.length)
        head = {"descr": "<i2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(cast("io.BufferedWriter", self._signal), head)

    def append(self, block: Block) -> None:
        self._signal.write(np.ascontiguousarray(block["signal_uv"], "<i2").data.cast("B"))
        self._rest.append({name: column for name, column in block.items() if name != "signal_uv"})

    def close(self, facts: dict[str, str]) -> None:
        self._signal.close()
        arrays: dict[str, NDArray[Any]] = {
            **join(self._rest),
            "label_names": np.array(self._corpus.label_names, np.str_),
            "leads": np.array(self._corpus.leads, np.str_),
            "fs_hz": np.array(self._corpus.fs_hz),
            "corpus": np.array(json.dumps({**describe(self._corpus), **facts}, sort_keys=True)),
        }
        for name, column in arrays.items():
            array = (
                np.array(column.tolist(), np.str_) if column.dtype.kind == "U" else column
            )  # as wide as needed
            with self._zip.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(cast("io.BufferedWriter", file), array, allow_pickle=False)
        self._zip.close()

    def abort(self) -> None:
        for part in (self._signal, self._zip):
            try:
                part.close()
            except (OSError, ValueError):  # it cannot write what is left either
                pass


class NpzReader:
    def __init__(self, path: Path, corpus: Corpus) -> None:
        names = ("index", "requested", "labels", "signal_uv", *corpus.extra)
        try:
            with np.load(path, allow_pickle=False) as archive:
                self._block: Block = {name: archive[name] for name in names}
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{str(path)!r} is damaged: {error}") from error

    def read(self, start: int, stop: int) -> Block:
        return cut(self._block, start, stop)

    def close(self) -> None:
        self._block = {}
