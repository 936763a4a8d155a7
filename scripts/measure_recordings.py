"""Measure what the model makes of recordings, and write tables and pictures into docs/recordings.md.

    python scripts/measure_recordings.py vary edit complete --data ../shared/data/ptbxl_folds1-9

Recordings are of fold 9, which the model has not seen. Each part takes a few minutes on one core of a CPU; its table
and its picture replace the earlier ones between the marks <!-- vary --> and <!-- /vary -->. --checkpoint measures
another network than the built-in one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from docs_page import IMAGES, ROOT, paste, table
from matplotlib.figure import Figure

from sssd import SSSDECG, Ecg
from sssd.editing.change import partial_table, request_for
from sssd.editing.completion import covariance, known_part, projection
from sssd.evaluation import classifier
from sssd.io.files import replacing
from sssd.labels import CODES
from sssd.leads import CLINICAL, to_eight, to_twelve
from sssd.request import conditions
from sssd.samplers import StepTable, invert, run, v_denoiser
from sssd.sampling import Sampling, _bound
from sssd.signals.beats import find_beats

PAGE = ROOT / "docs/recordings.md"
READ = ("NORM", "SR", "AFIB", "CLBBB", "CRBBB", "IMI", "ASMI", "LVH", "STACH", "SBRAD", "PVC", "1AVB", "LAFB")
NEAR_S = 0.05  # a beat is kept if one is found within this time of it


@dataclass(frozen=True)
class Data:
    """Recordings (n, 12, L) in mV with their statements (n, 71) and folds."""

    signal: np.ndarray
    labels: np.ndarray
    fold: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Data:
        with np.load(folder / "signals.npz") as file:
            return cls(file["signal_uv"].astype(np.float32) / 1000, file["labels"], file["strat_fold"])

    def part(self, folds: list[int]) -> Data:
        rows = np.isin(self.fold, folds)
        return Data(self.signal[rows], self.labels[rows], self.fold[rows])

    def having(self, present: str, absent: str = "") -> np.ndarray:
        """The rows that have all statements `present` and none of `absent`, each joined by "+"."""
        columns = [self.labels[:, CODES.index(name)] > 0 for name in present.split("+")]
        without = [self.labels[:, CODES.index(name)] == 0 for name in absent.split("+") if name]
        return np.flatnonzero(np.all(columns + without, axis=0))

    def ecg(self, row: int) -> Ecg:
        statements = tuple(name for name, on in zip(CODES, self.labels[row], strict=True) if on)
        return Ecg(self.signal[row], 100.0, statements=statements)


class Reader:
    """Statements read from ECGs by a classifier that is trained on folds 1 to 7; thresholds are set on fold 8."""

    def __init__(self, data: Data, epochs: int = 12) -> None:
        columns = [CODES.index(name) for name in READ]
        train, tune = data.part(list(range(1, 8))), data.part([8])
        eight = np.ascontiguousarray(to_eight(train.signal))
        self.model = classifier.train(eight, train.labels[:, columns], epochs=epochs, width=24)
        p, y = classifier.predict(self.model, to_eight(tune.signal)), tune.labels[:, columns] > 0
        grid = np.linspace(0.01, 0.99, 197)
        found = np.array(
            [
                [(p[y[:, k], k] > t).mean() - (p[~y[:, k], k] > t).mean() for t in grid]
                for k in range(len(READ))
            ]
        )  # Youden's index
        self.threshold = grid[found.argmax(axis=1)]

    def has(self, signal: np.ndarray, name: str) -> np.ndarray:
        """Whether records (n, 12, L) have the statement: (n,)."""
        k = READ.index(name)
        return classifier.predict(self.model, to_eight(signal))[:, k] > self.threshold[k]


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


# --- vary ---------------------------------------------------------------------------------------------------


def vary(model: SSSDECG, data: Data, reader: Reader) -> str:
    test = data.part([9])
    rows = chosen(np.arange(len(test.signal)), 16)
    out, panels = [], []
    for strength in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0):
        made = [model.vary(test.ecg(row), 2, strength, seed=1, progress=False) for row in rows]
        signal = np.array([[one.signal for one in set_] for set_ in made])  # (n, 2, 12, L)
        source = test.signal[rows][:, None]
        between = np.median(rms_uv(signal[:, 0], signal[:, 1]))
        kept = np.mean(
            [beats_kept(test.signal[row], x) for row, two in zip(rows, signal, strict=True) for x in two]
        )
        near = np.mean([own(x, row, test.signal) for row, two in zip(rows, signal, strict=True) for x in two])
        same = [reader.has(signal[:, 0], name)[test.labels[rows, CODES.index(name)] > 0] for name in READ]
        out.append(
            [
                f"{strength:g}",
                f"{np.median(rms_uv(signal, source)):.0f}",
                f"{between:.0f}",
                f"{kept:.2f}",
                f"{100 * near:.0f} %",
                f"{100 * np.concatenate(same).mean():.0f} %",
            ]
        )
        if strength in (0.2, 0.4, 0.8):
            panels.append((f"strength {strength:g}", [("", signal[2, 0, 1], "tab:blue")]))
    real = [reader.has(test.signal[rows], name)[test.labels[rows, CODES.index(name)] > 0] for name in READ]
    draw(IMAGES / "vary.png", [("recording", [("", test.signal[rows[2], 1], "black")]), *panels], 10, "II")
    head = [
        "strength",
        "from the recording, uV rms",
        "between two, uV rms",
        "beats kept (F1)",
        "nearest to its own recording",
        "statements read",
    ]
    note = f"The classifier reads {100 * np.concatenate(real).mean():.0f} % of these statements in the recordings."
    return f"{table(head, out)}\n\n{note}\n\n![One recording and its variations](images/vary.png)"


# --- edit ---------------------------------------------------------------------------------------------------

EDITS = (  # statements that a recording has and lacks, what is asked for, and what is to stay
    ("NORM+SR", "CLBBB", "CLBBB+SR", "SR"),
    ("NORM+SR", "IMI", "IMI+SR", "SR"),
    ("NORM+SR", "LVH", "LVH+SR", "SR"),
    ("NORM+SR", "AFIB", "AFIB", ""),
    ("AFIB", "NORM", "NORM+SR", ""),
)
EACH = 3


@dataclass(frozen=True)
class Case:
    row: int
    wanted: str
    kept: str


def edit_cases(test: Data) -> list[Case]:
    return [
        Case(int(row), wanted, kept)
        for present, absent, wanted, kept in EDITS
        for row in chosen(test.having(present, absent), EACH)
    ]


class Bench:
    """Ways to invert and edit a batch of recordings; x0 (B, 8, L) and all states are in the network's units."""

    def __init__(
        self, model: SSSDECG, table: StepTable, source: np.ndarray, target: np.ndarray, dtype: torch.dtype
    ):
        self.table, self.evaluations = table, 0

        def denoiser(vectors: np.ndarray) -> Callable:
            cond = torch.from_numpy(conditions(vectors, len(vectors), model.classes))
            net = _bound(model.model, cond, [int(t) for t in table.steps], length=model.shape[1], dtype=dtype)

            def counted(x: torch.Tensor, t: int) -> torch.Tensor:
                self.evaluations += 1
                return net(x, t)

            return v_denoiser(table, counted)

        self.source, self.target = denoiser(source), denoiser(target)

    def steps(self) -> tuple[np.ndarray, np.ndarray]:
        a = self.table.alpha[1:] / self.table.alpha[:-1]
        return a, self.table.sigma[1:] - a * self.table.sigma[:-1]  # x <- a x + b eps

    def ddim(self, x0: torch.Tensor, rounds: int) -> torch.Tensor:
        x = invert(self.table, self.source, x0, rounds=rounds)
        return run(self.table, self.target, x, lambda i: x)

    def sdedit(self, x0: torch.Tensor) -> torch.Tensor:
        z = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
        x = float(self.table.alpha[0]) * x0 + float(self.table.sigma[0]) * z
        return run(self.table, self.target, x, lambda i: x)

    def edict(self, x0: torch.Tensor, p: float = 0.93) -> torch.Tensor:
        """Two coupled states, which are inverted exactly (Wallace et al. 2023, eq. 14 and 15)."""
        a, b = self.steps()
        x, y = x0, x0
        for i in reversed(range(self.table.S)):
            y1 = (y - (1 - p) * x) / p
            x1 = (x - (1 - p) * y1) / p
            y = (y1 - b[i] * self.source(x1, i)[0]) / a[i]
            x = (x1 - b[i] * self.source(y, i)[0]) / a[i]
        for i in range(self.table.S):
            x1 = a[i] * x + b[i] * self.target(y, i)[0]
            y1 = a[i] * y + b[i] * self.target(x1, i)[0]
            x = p * x1 + (1 - p) * y1
            y = p * y1 + (1 - p) * x
        return x

    def bdia(self, x0: torch.Tensor) -> torch.Tensor:
        """Steps from both sides of a node, which are inverted exactly (Zhang et al. 2023, eq. 13 with gamma 1)."""
        a, b = self.steps()
        last = self.table.S - 1
        x = [x0, (x0 - b[last] * self.source(x0, last)[0]) / a[last]]  # nodes S and S - 1
        for i in range(last, 0, -1):
            eps = self.source(x[1], i)[0]
            before = x[0] + (x[1] - b[i - 1] * eps) / a[i - 1] - a[i] * x[1] - b[i] * eps
            x = [x[1], before]
        after, here = x  # nodes 1 and 0
        for i in range(1, self.table.S):
            eps = self.target(after, i)[0]
            here, after = after, here - (after - b[i - 1] * eps) / a[i - 1] + a[i] * after + b[i] * eps
        return after


def edit(model: SSSDECG, data: Data, reader: Reader) -> str:
    test = data.part([9])
    cases = edit_cases(test)
    rows = np.array([case.row for case in cases])
    x0 = model.scale.to_network(torch.from_numpy(np.ascontiguousarray(to_eight(test.signal[rows]))))
    before = test.labels[rows].astype(np.float32)
    after = np.concatenate([request_for(model, case.wanted).vectors for case in cases])

    def judged(made: np.ndarray) -> list[str]:
        """Wanted statements that are read, those that are to stay, beats, and nearest to its own recording."""
        wanted = [
            reader.has(x[None], case.wanted.split("+")[0])[0] for case, x in zip(cases, made, strict=True)
        ]
        stay = [(case, x) for case, x in zip(cases, made, strict=True) if case.kept]
        kept = [reader.has(x[None], case.kept)[0] for case, x in stay]
        beats = [beats_kept(test.signal[case.row], x) for case, x in stay]
        near = [own(x, case.row, test.signal) for case, x in zip(cases, made, strict=True)]
        return [
            f"{100 * np.mean(wanted):.0f} %",
            f"{100 * np.mean(kept):.0f} %",
            f"{np.mean(beats):.2f}",
            f"{100 * np.mean(near):.0f} %",
        ]

    def measured(name: str, steps: int, strength: float, how: Callable, dtype: torch.dtype = torch.float32):
        part = partial_table(model, Sampling("ddim", steps, 0.0, "trailing"), strength)
        started = time.monotonic()
        made = []
        for labels in (before, after):
            bench = Bench(model, part, before, labels, dtype)
            made.append(to_twelve(model.scale.to_mv(how(bench, x0)).numpy()))
        took = (time.monotonic() - started) / 2 / len(cases)
        null = rms_uv(made[0], test.signal[rows])
        print(name, steps, strength, np.median(null), judged(made[1]), flush=True)
        return made[1], [
            name,
            f"{strength:g}",
            f"{bench.evaluations}",
            f"{took:.1f}",
            f"{np.median(null):.1f}",
            f"{np.quantile(null, 0.9):.1f}",
            *judged(made[1]),
        ]

    methods = [
        measured("DDIM", 20, 0.6, lambda b, x: b.ddim(x, 1)),
        measured("DDIM", 50, 0.6, lambda b, x: b.ddim(x, 1)),
        measured("DDIM", 100, 0.6, lambda b, x: b.ddim(x, 1)),
        measured("ReNoise, 2 rounds", 20, 0.6, lambda b, x: b.ddim(x, 2)),
        measured("ReNoise, 4 rounds", 20, 0.6, lambda b, x: b.ddim(x, 4)),
        measured("EDICT", 20, 0.6, lambda b, x: b.edict(x)),
        measured("BDIA", 20, 0.6, lambda b, x: b.bdia(x)),
        measured("SDEdit", 20, 0.6, lambda b, x: b.sdedit(x)),
    ]
    strengths = [
        measured("as built", 50, strength, lambda b, x: b.ddim(x, 2)) for strength in (0.4, 0.6, 0.8, 1.0)
    ]
    panels = [("recording, NORM+SR", [("", test.signal[rows[0], 6], "black")])]
    for k in (0, EACH):
        panels.append(
            (
                f"edited to {cases[k].wanted}",
                [("", strengths[1][0][k, 6], "tab:blue"), ("", test.signal[rows[k], 6], "0.7")],
            )
        )
    draw(IMAGES / "edit.png", panels, 10, "V1")
    head = [
        "method",
        "strength",
        "evaluations",
        "s on a CPU",
        "null edit, uV rms (median)",
        "90th percentile",
        "wanted statement read",
        "kept statement read",
        "beats kept (F1)",
        "nearest to its own",
    ]
    real = [
        reader.has(test.signal[test.having(name)], name).mean()
        for name in ("CLBBB", "IMI", "LVH", "AFIB", "NORM")
    ]
    text = (
        f"The classifier reads {100 * np.mean(real):.0f} % of such statements in recordings that have them."
    )
    return (
        f"{table(head, [row for _, row in methods])}\n\n{table(head, [row for _, row in strengths])}\n\n{text}\n\n"
        "![Edits of recordings](images/edit.png)"
    )


# --- complete -----------------------------------------------------------------------------------------------

KNOWN = (["II"], ["I", "II"], ["I", "II", "V2"], None)  # None: all leads, but not from 4 to 6 s
SAMPLES = 6


def at_beats(signal: np.ndarray, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R amplitudes and ST levels (C,) in mV of leads (C, L): medians over beats, above the level before the beat."""
    whole = [at for at in beats if 10 <= at < signal.shape[1] - 20]
    level = np.array([signal[:, at - 8 : at - 4].mean(axis=1) for at in whole])
    top = np.array([signal[:, at - 5 : at + 6].max(axis=1) for at in whole]) - level
    st = np.array([signal[:, at + 11 : at + 14].mean(axis=1) for at in whole]) - level
    return np.median(top, axis=0), np.median(st, axis=0)


def complete(model: SSSDECG, data: Data, _: Reader | None) -> str:
    test = data.part([9])
    rows = chosen(np.arange(len(test.signal)), 5)
    out, panels = [], []
    for known in KNOWN:
        gap = known is None
        missing = [i for i, lead in enumerate(CLINICAL) if gap or (lead[0] == "V" and lead not in known)]
        part = slice(400, 600) if gap else slice(0, 990)
        figures: dict[str, list] = {"completions": [], "one": [], "regression": [], "inside": []}
        for row in rows:
            real, ecg = test.signal[row], test.ecg(row)
            gaps = [(4.0, 6.0)] if gap else []
            made = model.complete(ecg, SAMPLES, known=known, gaps=gaps, seed=1, progress=False)
            signal = np.array([one.signal for one in made])
            there = known_part(real.astype(np.float64), known, gaps, 100.0)
            project = projection(there, covariance(), "cpu")
            guess = to_twelve(project(torch.zeros(1, *model.shape)).numpy())[0]
            beats = find_beats(real, 100.0)
            for name, one in (
                ("completions", signal.mean(axis=0)),
                ("one", signal[0]),
                ("regression", guess),
            ):
                error = (one - real)[missing][:, part]
                pairs = zip(one[missing], real[missing], strict=True)
                flat = gap and name == "regression"
                like = np.nan if flat else np.mean([np.corrcoef(a[part], b[part])[0, 1] for a, b in pairs])
                r, st = (
                    np.abs(a - b)[missing]
                    for a, b in zip(at_beats(one, beats), at_beats(real, beats), strict=True)
                )
                figures[name].append((1e3 * np.sqrt((error**2).mean()), like, r, st))
            low, high = np.quantile(signal, (0.05, 0.95), axis=0)
            figures["inside"].append(((real >= low) & (real <= high))[missing][:, part].mean())
            if known == ["I", "II"] and row == rows[0]:
                for lead in ("V1", "V5"):
                    k = CLINICAL.index(lead)
                    panels.append(
                        (
                            lead,
                            [
                                ("completions", signal[0, k], "tab:blue"),
                                *(("", x[k], "tab:blue") for x in signal[1:3]),
                                ("regression", guess[k], "tab:orange"),
                                ("recording", real[k], "black"),
                            ],
                        )
                    )
        for name, label in (
            ("completions", f"mean of {SAMPLES}"),
            ("one", "one of them"),
            ("regression", "regression"),
        ):
            rms, like = (np.array([f[k] for f in figures[name]]) for k in (0, 1))
            r, st = (np.concatenate([f[k] for f in figures[name]]) for k in (2, 3))
            inside = f"{100 * np.mean(figures['inside']):.0f} %" if name == "completions" else ""
            beats_cells = (
                ["", ""] if gap else [f"{np.median(x):.2f}, {np.quantile(x, 0.9):.2f}" for x in (r, st)]
            )
            corr = "" if np.isnan(like).any() else f"{np.median(like):.2f}"
            out.append(
                [
                    "4 s to 6 s missing" if gap else ", ".join(known),
                    label,
                    f"{np.median(rms):.0f}",
                    corr,
                    *beats_cells,
                    inside,
                ]
            )
    draw(IMAGES / "complete.png", panels, 10, "as named; I and II are known")
    head = [
        "known",
        "missing chest leads by",
        "uV rms (median)",
        "correlation",
        "R amplitude error, mV (median, 90th percentile)",
        "ST level error, mV (median, 90th percentile)",
        f"inside the 90 % interval of {SAMPLES}",
    ]
    return f"{table(head, out)}\n\n![Chest leads completed from I and II](images/complete.png)"


PARTS = {"vary": vary, "edit": edit, "complete": complete}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    data, model = Data.read(options.data), SSSDECG.from_pretrained(options.checkpoint, device="cpu")
    reader = Reader(data) if {"vary", "edit"} & set(options.parts) else None
    for name in options.parts:
        started = time.monotonic()
        text = PARTS[name](model, data, reader)
        paste(PAGE, name, text)
        print(f"{name}: {time.monotonic() - started:.0f} s\n{text}", flush=True)


if __name__ == "__main__":
    main()
