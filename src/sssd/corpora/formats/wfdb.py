"""WFDB: a folder of records named by their numbers, and a table of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ...io.wfdb import render
from ...record import Ecg, as_statement
from ..block import Block
from ..manifest import Corpus
from .about import recipes, statements

TABLE = "records.csv"


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

    def close(self, facts: dict[str, str]) -> None:
        self._table.close()

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
