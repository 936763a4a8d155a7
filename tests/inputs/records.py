"""Small recordings and tables for the tests of inputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from sssd.data.prepare import prepare
from sssd.data.recordings import Recordings, read
from sssd.leads import CLINICAL


def beats_mv(seed: int = 0, *, fs_hz: float = 100.0, seconds: float = 10.0) -> np.ndarray:
    """(12, L) in mV, of about the amplitude of an ECG; the limb leads keep Einthoven's and Goldberger's laws."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    pulse = np.exp(-((((t * (1 + 0.1 * random.random())) % 1.0) - 0.5) ** 2) / 0.001)
    one, two, *chest = (pulse * size + 0.01 * np.sin(9 * t + size) for size in random.uniform(0.3, 1.5, 8))
    three = two - one
    return np.array([one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2, *chest])


def npz(folder: Path, name: str, **parts: Any) -> Path:
    """An NPZ record of 10 s at 100 Hz, whose parts may be given in other ways."""
    file = folder / f"{name}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    given = {"signal_mv": beats_mv(len(name)), "fs_hz": 100.0} | parts
    np.savez(file, **{key: value for key, value in given.items() if value is not None})
    return file


def prepared(
    folder: Path,
    table: str | bytes,
    *,
    records: Sequence[str] = ("r1", "r2", "r3"),
    encoding: str = "utf-8",
    **options: Any,
) -> tuple[Recordings, dict[str, Any]]:
    """What `prepare` makes of a table, and of records that are all right: the set and prepare.json."""
    source, out = folder / "records", folder / "out"
    for name in records:
        npz(source, name)
    file = folder / "table.csv"
    file.write_bytes(table if isinstance(table, bytes) else table.encode(encoding))
    source.mkdir(exist_ok=True)
    manifest = prepare(source, out, labels_csv=file, **options)
    assert manifest == json.loads((out / "prepare.json").read_text(encoding="utf-8"))
    return read(out), manifest


def labels_of(recordings: Recordings) -> list[str]:
    """The labels of each recording, joined by "+"."""
    names = np.array(recordings.label_names)
    return ["+".join(names[row == 1].tolist()) for row in recordings.labels]


def wfdb_record(
    folder: Path,
    name: str,
    *,
    line: str = "{name} {n} 100 {length}",
    signal: str = "{file} 16 1000(0)/mV 16 0 0 0 0 {lead}",
    signal_mv: np.ndarray | None = None,
    leads: Sequence[str] = CLINICAL,
    units: float = 1000.0,
    comments: Sequence[str] = (),
    mat: bool = False,
    encoding: str = "utf-8",
) -> Path:
    """A WFDB record written by hand, so that its header may be any: `line` and `signal` are its lines.

    units: integers per mV. mat: the samples are in a MATLAB file of version 4, as in the PhysioNet challenges.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = beats_mv(len(name)) if signal_mv is None else signal_mv
    data = np.rint(values * units).astype("<i2")
    file = f"{name}.mat" if mat else f"{name}.dat"
    if mat:
        savemat(folder / file, {"val": data}, format="4")
        signal = signal.replace(" 16 ", " 16+24 ", 1)
    else:
        (folder / file).write_bytes(data.T.tobytes())
    record = line.format(name=name, n=len(leads), length=data.shape[1])
    lines = [
        record,
        *(signal.format(file=file, lead=lead) for lead in leads),
        *(f"#{text}" for text in comments),
    ]
    header = folder / f"{name}.hea"
    header.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return header
