"""Annotations of a record as files: in the format of WFDB (.atr) and as a CSV table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from ..record import Annotation, Ecg

NUMBERS = {"P": 0, "QRS": 1, "T": 2}  # of "(" and ")", as the QT database numbers them
_END_OF_HEAD = (0, 236, 255, 255, 255, 255, 1, 0)


def atr(ecg: Ecg) -> bytes:
    """Return the content of a WFDB annotation file, which states the sampling rate of the record."""
    import wfdb

    marks = ecg.annotations
    made = wfdb.Annotation(
        "record",
        "atr",
        sample=np.array([max(one.sample, one.symbol == '"') for one in marks]),  # rdann wants no notes at 0
        symbol=[one.symbol for one in marks],
        num=np.array([NUMBERS.get(one.wave, 0) if one.symbol in "()" else 0 for one in marks]),
        aux_note=[one.note for one in marks],
        fs=ecg.fs_hz,
    )
    made.sym_to_aux()  # from here on as in its wrann, which writes a file
    made.check_fields()
    made.standardize_custom_labels()
    made.create_label_map()
    made.convert_label_attribute("symbol", "label_store")
    parts = (made.calc_fs_bytes(), made.calc_cl_bytes(), _END_OF_HEAD, made.calc_core_bytes(), (0, 0))
    return bytes(np.concatenate(parts).astype(np.uint8))


def table(ecg: Ecg) -> bytes:
    """Return a CSV table of the annotations, one in each row: time_s, sample, symbol, wave, note."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("time_s", "sample", "symbol", "wave", "note"))
    for one in ecg.annotations:
        writer.writerow((f"{one.sample / ecg.fs_hz:.6f}", one.sample, one.symbol, one.wave, one.note))
    return text.getvalue().encode()


def arrays(ecgs: Sequence[Ecg]) -> dict[str, np.ndarray]:
    """Return the annotations of a set as columns of equal length, with the number of the record of each."""
    marks = [(i, one) for i, ecg in enumerate(ecgs) for one in ecg.annotations]
    return {
        "annotation_record": np.array([i for i, _ in marks], dtype=np.int64),
        "annotation_sample": np.array([one.sample for _, one in marks], dtype=np.int64),
        **{
            f"annotation_{name}": np.array([getattr(one, name) for _, one in marks], dtype=np.str_)
            for name in ("symbol", "wave", "note")
        },
    }


def from_arrays(data: dict[str, np.ndarray], count: int) -> list[tuple[Annotation, ...]]:
    """Return the annotations of each of `count` records from what `arrays` made; ValueError if that does not match."""
    found: list[list[Annotation]] = [[] for _ in range(count)]
    columns = [data.get(name, np.zeros(0)) for name in arrays(())]
    if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        raise ValueError("the columns annotation_... have different lengths")
    for i, sample, *texts in zip(*(column.tolist() for column in columns), strict=True):
        if not 0 <= i < count:
            raise ValueError(f"annotation_record is {i}; expected 0 to {count - 1}")
        found[i].append(Annotation(int(sample), *map(str, texts)))
    return [tuple(marks) for marks in found]
