"""Recordings of PTB-XL, what is read in them and in what is made of them, and pictures: for scripts that measure."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sssd import Ecg
from sssd.evaluation import classifier
from sssd.io.files import replacing
from sssd.labels import CODES
from sssd.leads import to_eight
from sssd.signals.beats import find_beats

READ = ("NORM", "SR", "AFIB", "CLBBB", "CRBBB", "IMI", "ASMI", "LVH", "STACH", "SBRAD", "PVC", "1AVB", "LAFB")
NETWORKS = 5  # which read statements
NEAR_S = 0.05  # a beat is kept if one is found within this time of it


@dataclass(frozen=True)
class Data:
    """Recordings (n, 12, L) in mV with their statements (n, 71), folds, patients and dates."""

    signal: np.ndarray
    labels: np.ndarray
    fold: np.ndarray
    patient: np.ndarray
    date: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Data:
        with (folder / "metadata.csv").open(newline="", encoding="utf-8") as lines:
            known = {int(row["ecg_id"]): row for row in csv.DictReader(lines)}
        with np.load(folder / "signals.npz") as file:
            listed = [known[number] for number in file["ecg_id"].tolist()]
            patient, date = (
                np.array([row[name] for row in listed]) for name in ("patient_id", "recording_date")
            )
            return cls(
                file["signal_uv"].astype(np.float32) / 1000, file["labels"], file["strat_fold"], patient, date
            )

    def part(self, folds: list[int]) -> Data:
        rows = np.isin(self.fold, folds)
        return Data(*(getattr(self, field.name)[rows] for field in fields(self)))

    def having(self, present: str, absent: str = "") -> np.ndarray:
        """The rows that have all statements `present` and none of `absent`, each joined by "+"."""
        columns = [self.labels[:, CODES.index(name)] > 0 for name in present.split("+")]
        without = [self.labels[:, CODES.index(name)] == 0 for name in absent.split("+") if name]
        return np.flatnonzero(np.all(columns + without, axis=0))

    def ecg(self, row: int) -> Ecg:
        statements = tuple(name for name, on in zip(CODES, self.labels[row], strict=True) if on)
        return Ecg(self.signal[row], 100.0, statements=statements)


class Reader:
    """Statements read from ECGs by classifiers that are trained on folds 1 to 7; thresholds are set on fold 8.

    Their mean probability counts. Each has another seed, and a single one is not enough: in the same edits, six of them
    read between 73 and 95 % of the statements that are to stay (docs/decisions/recordings.md).
    """

    def __init__(self, data: Data, epochs: int = 12) -> None:
        columns = [CODES.index(name) for name in READ]
        train, tune = data.part(list(range(1, 8))), data.part([8])
        eight = np.ascontiguousarray(to_eight(train.signal))
        self.models = [
            classifier.train(eight, train.labels[:, columns], epochs=epochs, width=24, seed=seed)
            for seed in range(NETWORKS)
        ]
        p, y = self.probabilities(tune.signal), tune.labels[:, columns] > 0
        grid = np.linspace(0.01, 0.99, 197)
        found = np.array(
            [
                [(p[y[:, k], k] > t).mean() - (p[~y[:, k], k] > t).mean() for t in grid]
                for k in range(len(READ))
            ]
        )  # Youden's index
        self.threshold = grid[found.argmax(axis=1)]

    def probabilities(self, signal: np.ndarray) -> np.ndarray:
        """The probabilities (n, len(READ)) of the statements in records (n, 12, L)."""
        return np.mean([classifier.predict(model, to_eight(signal)) for model in self.models], axis=0)

    def has(self, signal: np.ndarray, name: str) -> np.ndarray:
        """Whether records (n, 12, L) have the statement: (n,)."""
        k = READ.index(name)
        return self.probabilities(signal)[:, k] > self.threshold[k]


def rms_uv(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rms over the 12 leads and all samples but the last 0.1 s, in uV: (n,)."""
    return 1e3 * np.sqrt(((a - b)[..., :-10] ** 2).mean(axis=(-2, -1)))


def beats_kept(source: np.ndarray, made: np.ndarray) -> float:
    """The share of beats of the source (12, L) at which the other record has one, and the other way round: F1."""
    a, b = find_beats(source, 100.0), find_beats(made, 100.0)
    if not len(a) or not len(b):
        return 0.0
    near = np.abs(a[:, None] - b[None]) <= NEAR_S * 100
    return 2 * float(near.any(axis=1).sum()) / (len(a) + len(b))


def own(made: np.ndarray, source: int, signal: np.ndarray) -> bool:
    """Whether of all recordings (n, 12, L) its own source is the nearest to a record (12, L)."""
    return int(((signal - made[None]) ** 2).sum(axis=(1, 2)).argmin()) == source


def chosen(rows: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(rows, min(n, len(rows)), replace=False))


def draw(
    path: Path, panels: list[tuple[str, list[tuple[str, np.ndarray, str]]]], seconds: float, lead: str
) -> None:
    """One panel below the other, each with a title and lines (label, lead (L,), colour)."""
    figure = Figure(figsize=(9, 1.35 * len(panels)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    for ax, (title, lines) in zip(axes, panels, strict=True):
        for label, signal, colour in lines:
            ax.plot(np.arange(len(signal)) * seconds / len(signal), signal, colour, lw=0.9, label=label)
        ax.set_title(title, loc="left", fontsize=8)
        ax.margins(x=0)
        ax.tick_params(labelsize=7)
        if lines[0][0]:
            ax.legend(fontsize=7, loc="upper right", ncols=3, frameon=False)
    axes[-1].set_xlabel(f"s; lead {lead}, mV", fontsize=8)
    with replacing(path, overwrite=True) as (part,):
        figure.savefig(part, dpi=110, format="png", metadata={"Software": None})
