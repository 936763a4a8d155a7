"""Parquet: one row for each record. A signal is a string of bytes, which Parquet copies; a list of numbers would be
encoded number by number.

Arrow writes to the file itself: through a file object of Python each page would be copied once more, while the
interpreter's lock is held.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...checks import counted
from ..beside import longest_text
from ..block import EXTRA, GROUP, NUMBERS, SIGNALS, Block, cut, join, rows
from ..schema import Corpus
from .metadata import file_metadata, signals, statements

PAGE = 1 << 16  # bytes: a page is still in the processor's cache when it is written
OVERHEAD = 1 << 16  # bytes of a record beside its signal that a reader accepts


class ParquetWriter:
    """Writes `GROUP` records as one row group."""

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._corpus = corpus
        types = _types(corpus)
        self._schema = pa.schema(list(types.items()), metadata=file_metadata(corpus))
        self._file = pa.OSFile(str(path), "wb")
        small = [name for name in types if name not in (*SIGNALS, "annotations")]
        try:
            self._writer = pq.ParquetWriter(
                self._file, self._schema, compression="none", data_page_size=PAGE,
                use_dictionary=["requested", "statements"],
                write_statistics=[name for name in small if name != "labels"],
            )  # fmt: skip
        except OSError:  # the disk is full
            self._file.close()
            raise

    def append(self, block: Block) -> None:
        import pyarrow as pa

        n = rows(block)
        labels = np.ascontiguousarray(block["labels"])
        columns = {
            "index": pa.array(block["index"]),
            "requested": pa.array(block["requested"].tolist(), pa.string()),
            "statements": pa.array(statements(labels, self._corpus.label_names), pa.string()),
            "labels": pa.FixedSizeListArray.from_arrays(
                pa.array(labels.reshape(-1)), type=self._schema.field("labels").type
            ),
        }
        for name in signals(self._corpus):
            signal = np.ascontiguousarray(block[name], "<i2")
            columns[name] = pa.FixedSizeBinaryArray.from_buffers(
                self._schema.field(name).type, n, [None, pa.py_buffer(signal)]
            )
        for name in self._corpus.extra:
            values = block[name]
            columns[name] = (
                pa.array(values, mask=np.isnan(values))
                if name in NUMBERS
                else pa.array([value or None for value in values.tolist()], pa.string())
            )
        table = pa.table([columns[name] for name in self._schema.names], schema=self._schema)
        self._writer.write_table(table, row_group_size=GROUP)

    def close(self, facts: dict[str, str]) -> None:
        self._writer.add_key_value_metadata(facts)
        self._writer.close()
        self._file.close()

    def abort(self) -> None:
        for part in (self._writer, self._file):
            try:
                part.close()
            except OSError:  # the rest cannot be written either
                pass


class ParquetReader:
    """Reads one row group at a time and keeps the last one."""

    def __init__(self, path: Path, corpus: Corpus, span: range) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path, memory_map=False)
        self._corpus = corpus
        self._group: tuple[int, Block] | None = None
        self._check(span)

    def read(self, start: int, stop: int) -> Block:
        groups = range(start // GROUP, -(-stop // GROUP))
        parts = []
        for group in groups:
            first = group * GROUP
            parts.append(cut(self._read(group), max(start - first, 0), stop - first))
        return join(parts)

    def _read(self, group: int) -> Block:
        if self._group is None or self._group[0] != group:
            names = [name for name in _types(self._corpus) if name != "statements"]
            table = self._file.read_row_group(group, columns=names, use_threads=False)
            shape = (-1, len(self._corpus.leads), self._corpus.length)
            size = 2 * shape[1] * shape[2]
            labels = table.column("labels").combine_chunks().flatten().to_numpy()
            block: Block = {
                "index": table.column("index").to_numpy(),
                "requested": np.array(table.column("requested").to_pylist(), np.str_),
                "labels": labels.reshape(len(table), -1),
            }
            for name in signals(self._corpus):
                column = table.column(name).combine_chunks()
                if column.null_count:
                    raise ValueError("a signal is null")
                values = np.frombuffer(
                    column.buffers()[1], "<i2", len(column) * size // 2, column.offset * size
                )
                block[name] = values.reshape(shape)
            for name in self._corpus.extra:
                cells = table.column(name).to_pylist()
                block[name] = (
                    np.array([np.nan if v is None else v for v in cells], np.float32)
                    if name in NUMBERS
                    else np.array([v or "" for v in cells], np.str_)
                )
            self._group = (group, block)
        return self._group[1]

    def close(self) -> None:
        self._file.close()

    def _check(self, span: range) -> None:
        """Raise ValueError unless columns and row groups are those of this shard, before any data are read."""
        found, metadata = self._file.schema_arrow, self._file.metadata
        for name, kind in _types(self._corpus).items():
            if name not in found.names or found.field(name).type != kind:
                raise ValueError(f"the column {name} is absent or not of the type {kind}")
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        sizes = [len(span[i : i + GROUP]) for i in range(0, len(span), GROUP)]
        if [group.num_rows for group in groups] != sizes:
            raise ValueError(f"it does not hold {counted(len(span), 'record')} in groups of {GROUP}")
        of_signals = 2 * len(self._corpus.leads) * self._corpus.length * len(signals(self._corpus))
        limit = of_signals + OVERHEAD + longest_text(self._corpus)
        if any(group.total_byte_size > limit * group.num_rows for group in groups):
            raise ValueError(f"its records take more than {limit} bytes each")


def _types(corpus: Corpus) -> dict[str, Any]:
    """Return the Arrow types of the columns, in their order."""
    import pyarrow as pa

    types = {
        "index": pa.int64(),
        "requested": pa.string(),
        "statements": pa.string(),
        "labels": pa.list_(pa.field("element", pa.uint8(), nullable=False), len(corpus.label_names)),
        **{name: pa.binary(2 * len(corpus.leads) * corpus.length) for name in signals(corpus)},
        "age": pa.float32(),
        "sex": pa.string(),
        "heart_rate": pa.float32(),
        "source": pa.string(),
        "annotations": pa.string(),
    }
    return {n: t for n, t in types.items() if n not in EXTRA or n in corpus.extra}
