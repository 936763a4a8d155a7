"""WFDB: a folder of records that are named by their numbers, and a table of them.

A record with noise has the record without it beside it, as NUMBER_clean, and annotations are in NUMBER.atr as well.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import counted
from ...io.wfdb import render_files
from ...record import CLEAN, Ecg
from ...records import record
from ..beside import from_text, noise_facts
from ..block import NUMBERS, Block
from ..files import regular_files
from ..schema import Corpus
from .metadata import recipes, statements

TABLE = "records.csv"


class WfdbWriter:
    """A folder of records, and records.csv with one row for each of them."""

    def __init__(self, path: Path, corpus: Corpus, records: int) -> None:
        self._path, self._corpus = path, corpus
        path.mkdir()
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
            extra: dict[str, Any] = {name: block[name][i].item() for name in self._corpus.extra}
            given = {name: value for name, value in extra.items() if value == value and value != ""}
            told = {name: value for name, value in given.items() if name != "annotations"}
            ecg = record(
                block["signal_uv"][i] / 1000.0,
                block["labels"][i],
                self._corpus.label_names,
                fs_hz=self._corpus.fs_hz,
                leads=self._corpus.leads,
                provenance={
                    **self._how[part], "index": index - start, "requested": str(block["requested"][i]), **told
                },
            )  # fmt: skip
            name = record_name(index)
            for file, content in render_files(name, self._beside(ecg, block, i, part, index - start)).items():
                (self._path / file).write_bytes(content)
            bits = "".join(map(str, block["labels"][i].tolist()))
            cells = [given.get(column, "") for column in self._corpus.extra]
            self._rows.writerow([name, index, block["requested"][i], listed[i], bits, *cells])

    def _beside(self, ecg: Ecg, block: Block, i: int, part: int, index: int) -> Ecg:
        """Return record i of a block with its annotations, and with the record without its noise."""
        text = str(block["annotations"][i]) if "annotations" in self._corpus.extra else ""
        if text:
            marks, left_out = from_text(text, self._corpus.length)
            told = {**ecg.provenance, "annotations": {"left_out": left_out}}
            ecg = replace(ecg, annotations=marks, provenance=told)
        if not self._corpus.noise:
            return ecg
        signal, clean = block["signal_uv"][i], block["clean_uv"][i]
        without = {name: value for name, value in ecg.provenance.items() if name != "noise"}
        noise = noise_facts(self._corpus.parts[part], index, signal, clean)
        clean_ecg = replace(ecg, signal=clean / 1000.0, provenance=without)
        return replace(ecg, clean=clean_ecg, provenance={**without, "noise": noise})

    def close(self, facts: dict[str, str]) -> None:
        self._table.close()

    def abort(self) -> None:
        try:
            self._table.close()
        except OSError:  # the rest cannot be written either
            pass


class WfdbReader:
    """Reads the samples of each record; the names of the files follow from the records' numbers, not from the table."""

    def __init__(self, path: Path, corpus: Corpus, span: range) -> None:
        self._path, self._corpus, self._span = path, corpus, span
        self._ends = {"": "signal_uv", **({CLEAN: "clean_uv"} if corpus.noise else {})}
        files = {entry.name for entry in regular_files(path)}
        missing = {f"{record_name(i)}{end}.dat" for i in span for end in self._ends} - files
        if missing:
            raise ValueError(f"{min(missing)} is missing")
        with (path / TABLE).open(newline="", encoding="utf-8") as file:
            self._table = list(islice(csv.DictReader(file), len(span) + 1))
        if len(self._table) != len(span):
            raise ValueError(f"{TABLE} does not hold {counted(len(span), 'record')}")

    def read(self, start: int, stop: int) -> Block:
        table = self._table[start:stop]
        block: Block = {
            "index": np.array([int(row["index"]) for row in table], np.int64),
            "requested": np.array([row["requested"] for row in table], np.str_),
            "labels": np.array([list(map(int, row["labels"])) for row in table], np.uint8),
        }
        for end, name in self._ends.items():
            block[name] = np.stack([self._signal(index, end) for index in self._span[start:stop]])
        for name in self._corpus.extra:
            cells = [row[name] for row in table]
            block[name] = (
                np.array([float(cell or "nan") for cell in cells], np.float32)
                if name in NUMBERS
                else np.array(cells, np.str_)
            )
        return block

    def close(self) -> None:
        self._table = []

    def _signal(self, index: int, end: str) -> NDArray[np.int16]:
        """Return the signal (12, L) in microvolts of the file whose name ends so."""
        length, leads = self._corpus.length, len(self._corpus.leads)
        path = self._path / f"{record_name(index)}{end}.dat"
        if path.stat().st_size != 2 * length * leads:
            raise ValueError(f"{path.name} does not hold {leads} leads of {length} samples")
        return np.fromfile(path, "<i2").reshape(length, leads).T


def record_name(index: int) -> str:
    """Return the name of a WFDB record."""
    return f"{index:09d}"
