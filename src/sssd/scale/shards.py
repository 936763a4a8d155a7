"""Shards as files: Parquet, HDF5, NPZ, and folders of WFDB records; one class to write and one to read each.

Records travel as blocks, columns of equal length n by name:

    index (n,) int64, requested (n,) str, labels (n, K) uint8, signal_uv (n, 12, L) int16 in microvolts, I II III aVR
    aVL aVF V1..V6; where the plan has them, age (n,) float32 and sex (n,) str

What a file holds depends on its records alone: not on the sizes of the blocks that were appended, nor on the time.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..io.wfdb import render
from ..record import Ecg, as_statement
from .manifest import Corpus, Note, beside, file_hash, sync, write_note

Block = dict[str, NDArray[Any]]

COLUMNS = ("index", "requested", "labels", "signal_uv", "age", "sex")
LIMIT = 32767  # microvolts: what is beyond is cut off here
ROWS = 128  # records per row group of Parquet, and at once in memory
NEEDS = {"parquet": "pyarrow", "hdf5": "h5py"}
TABLE = "records.csv"
RECORDED = ("generator", "model", "cauchy", "sampler", "steps", "eta", "spacing", "precision", "seed")
SIGNAL = "int16 microvolts, little-endian, lead after lead"


def check_format(name: str) -> str:
    """The format; ValueError where it is unknown or its package is not installed."""
    if name not in _WRITERS:
        raise ValueError(f"unknown format {name!r}; choose from {', '.join(_WRITERS)}")
    package = NEEDS.get(name)
    if package and find_spec(package) is None:
        raise ValueError(f"{name} needs the package {package}: pip install 'sssd-ecg[io]'")
    return name


def cut(block: Block, start: int, stop: int) -> Block:
    return {name: column[start:stop] for name, column in block.items()}


def join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def rows(block: Block) -> int:
    return len(block["index"])


def recipes(corpus: Corpus) -> list[dict[str, Any]]:
    """How the records of each part were made, as far as a record says so itself."""
    return [{name: getattr(part, name) for name in RECORDED} for part in corpus.parts]


def provenance(corpus: Corpus) -> dict[str, Any]:
    """What every shard says of all its records."""
    parts = [{"records": p.records, **r} for p, r in zip(corpus.parts, recipes(corpus), strict=True)]
    return {"synthetic": True, **(parts[0] if len(parts) == 1 else {"parts": parts})}


def _describe(corpus: Corpus) -> dict[str, str]:
    """The same as text, for the formats that hold it once per file."""
    return {
        "label_names": json.dumps(corpus.label_names),
        "leads": json.dumps(corpus.leads),
        "fs_hz": json.dumps(corpus.fs_hz),
        "signal_uv": f"{SIGNAL}, ({len(corpus.leads)}, {corpus.length})",
        "provenance": json.dumps(provenance(corpus), sort_keys=True),
    }


# --- one shard being written ------------------------------------------------------------------------------------


class Statistics:
    """Sums over the records of a shard, in whole numbers: the same in any order."""

    def __init__(self, corpus: Corpus) -> None:
        leads = len(corpus.leads)
        self.count, self.clipped = 0, 0
        self.low, self.high = np.full(leads, 32767), np.full(leads, -32768)
        self.first, self.second = np.zeros(leads, np.int64), np.zeros(leads, np.int64)
        self.labels = np.zeros(len(corpus.label_names), np.int64)

    def add(self, block: Block) -> None:
        signal = block["signal_uv"]
        self.count += signal.shape[0] * signal.shape[2]
        low, high = signal.min(axis=(0, 2)), signal.max(axis=(0, 2))
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        if max(high.max(), -int(low.min())) >= LIMIT:
            self.clipped += int((np.abs(signal.astype(np.int32)) >= LIMIT).sum())
        self.first += signal.sum(axis=0, dtype=np.int32).sum(axis=1, dtype=np.int64)
        square = signal.astype(np.int32)
        np.multiply(square, square, out=square)
        self.second += square.sum(axis=2, dtype=np.int64).sum(axis=0)
        self.labels += block["labels"].sum(axis=0, dtype=np.int64)

    def lead_uv(self) -> tuple[tuple[float, ...], ...]:
        table = []
        for low, high, first, second in zip(self.low, self.high, self.first, self.second, strict=True):
            mean = int(first) / self.count
            variance = max(int(second) / self.count - mean * mean, 0.0)
            table.append((float(low), float(high), round(mean, 3), round(variance**0.5, 3)))
        return tuple(table)


Given = TypeVar("Given")


class Behind(Generic[Given]):
    """Calls a function in another thread, in order; what waits is one thing at most."""

    def __init__(self, function: Callable[[Given], object]) -> None:
        self._function, self._thread = function, ThreadPoolExecutor(1)
        self._last: Future[object] | None = None

    def give(self, value: Given) -> None:
        if self._last is not None:
            self._last.result()
        self._last = self._thread.submit(self._function, value)

    def close(self, wait: bool = True) -> None:
        """Come to an end; raises what the function raised, where it is waited for."""
        self._thread.shutdown()
        if wait and self._last is not None:
            self._last.result()


class Shard:
    """A shard being written: beside its place, complete or not at all."""

    def __init__(self, folder: Path, corpus: Corpus, number: int) -> None:
        self.folder, self.corpus, self.number = folder, corpus, number
        self.target = folder / corpus.file(number)
        self.part = beside(self.target)
        self.statistics, self.written = Statistics(corpus), 0
        self._waiting: list[Block] = []
        self._counting = Behind(self.statistics.add)
        remove(self.part)
        self._writer = _WRITERS[corpus.format](self.part, corpus, len(corpus.span(number)))

    def append(self, block: Block) -> None:
        """Add records, any number at once; they are written ROWS at a time."""
        self._counting.give(block)
        self._waiting.append({name: block[name] for name in COLUMNS if name in block})
        if sum(map(rows, self._waiting)) >= ROWS:
            whole = join(self._waiting)
            keep = rows(whole) - rows(whole) % ROWS
            for start in range(0, keep, ROWS):
                self._write(cut(whole, start, start + ROWS))
            self._waiting = [cut(whole, keep, rows(whole))] if keep < rows(whole) else []

    def finish(self) -> Note:
        """Move the shard in place and write its note."""
        if self._waiting:
            self._write(join(self._waiting))
        self._counting.close()
        span = self.corpus.span(self.number)
        assert self.written == len(span), (self.written, span)
        statistics = self.statistics.lead_uv()
        sha256 = self._writer.close({"lead_uv": json.dumps(statistics), "first": str(span.start)})
        if self.part.is_dir() and hasattr(os, "sync"):
            os.sync()  # thousands of small files: one by one takes as long as writing them
        else:
            sync(self.part)
        bytes_, sha256 = (self.part.stat().st_size, sha256) if sha256 else file_hash(self.part)
        if self.part.is_dir():
            remove(self.target)
        self.part.replace(self.target)
        sync(self.target.parent)
        note = Note(
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
        write_note(self.folder, note)
        return note

    def abort(self) -> None:
        """Leave nothing of it."""
        self._counting.close(wait=False)
        self._writer.abort()
        remove(self.part)

    def _write(self, block: Block) -> None:
        self._writer.append(block)
        self.written += rows(block)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Writer(Protocol):
    """Writes blocks of ROWS records (the last: fewer) to a file. close returns its SHA-256, or "" if not known."""

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None: ...
    def append(self, block: Block) -> None: ...
    def close(self, facts: dict[str, str]) -> str: ...
    def abort(self) -> None: ...


class Reader(Protocol):
    """Reads records start .. stop - 1 of a shard. Damaged files raise ValueError or OSError."""

    def __init__(self, path: Path, corpus: Corpus) -> None: ...
    def read(self, start: int, stop: int) -> Block: ...
    def close(self) -> None: ...


def open_shard(folder: Path, corpus: Corpus, number: int) -> Reader:
    """A shard to read from."""
    return _READERS[corpus.format](folder / corpus.file(number), corpus)


def statements(labels: NDArray[np.uint8], label_names: tuple[str, ...]) -> list[str]:
    """(n,) the names of the labels of each record, joined by "+"."""
    row, column = np.nonzero(labels)
    names = [label_names[k] for k in column.tolist()]
    ends = np.searchsorted(row, np.arange(len(labels) + 1)).tolist()
    return ["+".join(names[ends[i] : ends[i + 1]]) for i in range(len(labels))]


# --- Parquet ------------------------------------------------------------------------------------------------------


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed in another thread while they are written."""

    def __init__(self, path: Path) -> None:
        self._file, self._digest = path.open("wb", buffering=0), hashlib.sha256()
        self._hashing = Behind[bytes](self._digest.update)
        self._at, self._lost = 0, False

    def writable(self) -> bool:
        return True

    def lose(self) -> None:
        """From now on nothing is written: what is left of a file that is given up."""
        self._lost = True

    def write(self, data: Any) -> int:
        if self._lost:
            return len(data)
        content = bytes(data)
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]
        self._hashing.give(content)
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        self._hashing.close()
        self._file.close()
        super().close()

    def sha256(self) -> str:
        return self._digest.hexdigest()


class ParquetWriter:
    """One row per record; signals are bytes, which Parquet copies, where lists of numbers are encoded one by one."""

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._corpus = corpus
        labels = pa.list_(pa.field("element", pa.uint8(), nullable=False), len(corpus.label_names))
        columns = {
            "index": pa.int64(),
            "requested": pa.string(),
            "statements": pa.string(),
            "labels": labels,
            "signal_uv": pa.binary(2 * len(corpus.leads) * corpus.length),
            "age": pa.float32(),
            "sex": pa.string(),
        }
        chosen = {n: t for n, t in columns.items() if n not in ("age", "sex") or n in corpus.extra}
        self._schema = pa.schema(list(chosen.items()), metadata=_describe(corpus))
        self._file = _Hashed(path)
        small = [name for name in chosen if name != "signal_uv"]
        self._writer = pq.ParquetWriter(
            self._file, self._schema, compression="none", use_dictionary=["requested", "statements"],
            write_statistics=[name for name in small if name != "labels"],
        )  # fmt: skip

    def append(self, block: Block) -> None:
        import pyarrow as pa

        n = rows(block)
        labels, signal = (
            np.ascontiguousarray(block["labels"]),
            np.ascontiguousarray(block["signal_uv"], "<i2"),
        )
        age = block.get("age")
        columns = {
            "index": pa.array(block["index"]),
            "requested": pa.array(block["requested"].tolist(), pa.string()),
            "statements": pa.array(statements(labels, self._corpus.label_names), pa.string()),
            "labels": pa.FixedSizeListArray.from_arrays(
                pa.array(labels.reshape(-1)), type=self._schema.field("labels").type
            ),
            "signal_uv": pa.FixedSizeBinaryArray.from_buffers(
                self._schema.field("signal_uv").type, n, [None, pa.py_buffer(signal)]
            ),
            "age": None if age is None else pa.array(age, mask=np.isnan(age)),
            "sex": pa.array([s or None for s in block["sex"].tolist()], pa.string())
            if "sex" in block
            else None,
        }
        table = pa.table([columns[name] for name in self._schema.names], schema=self._schema)
        self._writer.write_table(table, row_group_size=ROWS)

    def close(self, facts: dict[str, str]) -> str:
        self._writer.add_key_value_metadata(facts)
        self._writer.close()
        self._file.close()
        return self._file.sha256()

    def abort(self) -> None:
        self._file.lose()
        self._writer.close()
        self._file.close()


class ParquetReader:
    def __init__(self, path: Path, corpus: Corpus) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path, memory_map=False)
        self._corpus = corpus
        self._group: tuple[int, Block] | None = None

    def read(self, start: int, stop: int) -> Block:
        groups = range(start // ROWS, -(-stop // ROWS))
        parts = []
        for group in groups:
            first = group * ROWS
            parts.append(cut(self._read(group), max(start - first, 0), stop - first))
        return join(parts)

    def _read(self, group: int) -> Block:
        if self._group is None or self._group[0] != group:
            table = self._file.read_row_group(group, use_threads=False)
            shape = (-1, len(self._corpus.leads), self._corpus.length)
            size = 2 * shape[1] * shape[2]
            column = table.column("signal_uv").combine_chunks()
            signal = np.frombuffer(column.buffers()[1], "<i2", len(column) * size // 2, column.offset * size)
            labels = table.column("labels").combine_chunks().flatten().to_numpy()
            block: Block = {
                "index": table.column("index").to_numpy(),
                "requested": np.array(table.column("requested").to_pylist(), np.str_),
                "labels": labels.reshape(len(column), -1),
                "signal_uv": signal.reshape(shape),
            }
            if "age" in self._corpus.extra:
                block["age"] = np.array(
                    [np.nan if v is None else v for v in table.column("age").to_pylist()], np.float32
                )
            if "sex" in self._corpus.extra:
                block["sex"] = np.array([v or "" for v in table.column("sex").to_pylist()], "<U6")
            self._group = (group, block)
        return self._group[1]

    def close(self) -> None:
        self._file.close()


# --- HDF5 ---------------------------------------------------------------------------------------------------------


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
        for name, value in _describe(corpus).items():
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

    def close(self, facts: dict[str, str]) -> str:
        for name, value in facts.items():
            self._file.attrs[name] = value
        self._file.flush()
        image = self._file.id.get_file_image()
        self._file.close()
        self._path.write_bytes(image)
        return hashlib.sha256(image).hexdigest()

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


# --- NPZ ----------------------------------------------------------------------------------------------------------


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

    def close(self, facts: dict[str, str]) -> str:
        self._signal.close()
        arrays: dict[str, NDArray[Any]] = {
            **join(self._rest),
            "label_names": np.array(self._corpus.label_names, np.str_),
            "leads": np.array(self._corpus.leads, np.str_),
            "fs_hz": np.array(self._corpus.fs_hz),
            "corpus": np.array(json.dumps({**_describe(self._corpus), **facts}, sort_keys=True)),
        }
        for name, column in arrays.items():
            array = (
                np.array(column.tolist(), np.str_) if column.dtype.kind == "U" else column
            )  # as wide as needed
            with self._zip.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(cast("io.BufferedWriter", file), array, allow_pickle=False)
        self._zip.close()
        return ""

    def abort(self) -> None:
        try:
            self._signal.close()
            self._zip.close()
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


# --- WFDB ---------------------------------------------------------------------------------------------------------


class WfdbWriter:
    """A folder of records named by their numbers, and records.csv with what their headers say."""

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None:
        self._path, self._corpus = path, corpus
        path.mkdir()
        self._names = np.array([as_statement(name) for name in corpus.label_names])
        self._ends = np.cumsum([part.records for part in corpus.parts])
        self._how = [
            {name: value for name, value in {"synthetic": True, **recipe}.items() if value is not None}
            for recipe in recipes(corpus)
        ]
        self._table = (path / TABLE).open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._table, lineterminator="\n")
        self._rows.writerow(["record", "index", "requested", "statements", "labels", *corpus.extra])

    def append(self, block: Block) -> None:
        listed = statements(block["labels"], self._corpus.label_names)
        for i, index in enumerate(block["index"].tolist()):
            part = int(np.searchsorted(self._ends, index, side="right"))
            start = int(self._ends[part - 1]) if part else 0
            extra = {name: block[name][i].item() for name in self._corpus.extra}
            given = {name: value for name, value in extra.items() if value == value and value != ""}
            ecg = Ecg(
                signal=block["signal_uv"][i] / 1000.0,
                fs_hz=self._corpus.fs_hz,
                leads=self._corpus.leads,
                statements=tuple(self._names[block["labels"][i] > 0].tolist()),
                provenance={
                    **self._how[part], "index": index - start, "requested": str(block["requested"][i]), **given
                },
            )  # fmt: skip
            name = record_name(index)
            header, data = render(name, ecg)
            (self._path / f"{name}.dat").write_bytes(data)
            (self._path / f"{name}.hea").write_text(header, encoding="ascii", newline="\n")
            bits = "".join(map(str, block["labels"][i].tolist()))
            cells = [given.get(column, "") for column in self._corpus.extra]
            self._rows.writerow([name, index, block["requested"][i], listed[i], bits, *cells])

    def close(self, facts: dict[str, str]) -> str:
        self._table.close()
        return ""

    def abort(self) -> None:
        try:
            self._table.close()
        except OSError:  # it cannot write what is left either
            pass


class WfdbReader:
    def __init__(self, path: Path, corpus: Corpus) -> None:
        self._path, self._corpus = path, corpus
        with (path / TABLE).open(newline="", encoding="utf-8") as file:
            self._table = list(csv.DictReader(file))

    def read(self, start: int, stop: int) -> Block:
        table = self._table[start:stop]
        shape = (self._corpus.length, len(self._corpus.leads))
        signals = [np.fromfile(self._path / f"{row['record']}.dat", "<i2").reshape(shape).T for row in table]
        block: Block = {
            "index": np.array([int(row["index"]) for row in table], np.int64),
            "requested": np.array([row["requested"] for row in table], np.str_),
            "labels": np.array([list(map(int, row["labels"])) for row in table], np.uint8),
            "signal_uv": np.stack(signals),
        }
        if "age" in self._corpus.extra:
            block["age"] = np.array([float(row["age"] or "nan") for row in table], np.float32)
        if "sex" in self._corpus.extra:
            block["sex"] = np.array([row["sex"] for row in table], "<U6")
        return block

    def close(self) -> None:
        self._table = []


def record_name(index: int) -> str:
    """The name of a WFDB record."""
    return f"{index:09d}"


_WRITERS: dict[str, type[Writer]] = {
    "parquet": ParquetWriter,
    "hdf5": Hdf5Writer,
    "npz": NpzWriter,
    "wfdb": WfdbWriter,
}
_READERS: dict[str, type[Reader]] = {
    "parquet": ParquetReader,
    "hdf5": Hdf5Reader,
    "npz": NpzReader,
    "wfdb": WfdbReader,
}
