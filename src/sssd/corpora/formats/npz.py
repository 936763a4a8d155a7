"""NPZ: the same arrays that `generate` writes and `train` reads."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..arrays import Shape, load_arrays
from ..beside import longest_text
from ..block import Block, cut, join
from ..schema import Corpus
from .metadata import columns, file_metadata

if TYPE_CHECKING:
    import io


class NpzWriter:
    """Compresses signals as they come, and keeps the other columns until the shard is complete."""

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
            "corpus": np.array(json.dumps({**file_metadata(self._corpus), **facts}, sort_keys=True)),
        }
        for name, column in arrays.items():
            # text is made as wide as the longest entry, whatever block it came from
            array = np.array(column.tolist(), np.str_) if column.dtype.kind == "U" else column
            with self._zip.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(cast("io.BufferedWriter", file), array, allow_pickle=False)
        self._zip.close()

    def abort(self) -> None:
        for part in (self._signal, self._zip):
            try:
                part.close()
            except (OSError, ValueError):  # the rest cannot be written either
                pass


class NpzReader:
    """Reads the whole shard when it is opened: an archive is compressed as a whole."""

    def __init__(self, path: Path, corpus: Corpus, span: range) -> None:
        wanted: dict[str, tuple[str, Shape]] = {**columns(corpus, len(span))}
        if "annotations" in wanted:
            wanted["annotations"] = (f"U{longest_text(corpus)}", (len(span),))
        self._block: Block = load_arrays(path, wanted)

    def read(self, start: int, stop: int) -> Block:
        return cut(self._block, start, stop)

    def close(self) -> None:
        self._block = {}
