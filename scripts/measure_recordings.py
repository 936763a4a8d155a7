"""Measure what the model makes of recordings, and write tables and pictures into docs/recordings.md.

    python scripts/measure_recordings.py vary edit complete --data ../shared/data/ptbxl_folds1-9

Recordings are of fold 9, which the model has not seen. Each part takes a few minutes on one core of a CPU; its table
and its picture replace the earlier ones between the marks <!-- vary --> and <!-- /vary -->. --checkpoint measures
another network than the built-in one.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from docs_page import IMAGES, ROOT, paste, table
from matplotlib.figure import Figure

from sssd import SSSDECG, Ecg
from sssd.batch import Given, _bound
from sssd.editing.change import partial_table, request_for
from sssd.editing.completion import SPREAD, covariance, known_part, projection
from sssd.editing.inversion import EDIT_STEPS, GUIDANCE, STRENGTH
from sssd.evaluation import classifier
from sssd.io.files import replacing
from sssd.labels import CODES
from sssd.leads import CLINICAL, to_eight, to_twelve
from sssd.request import conditions
from sssd.samplers import StepTable, invert, run, v_denoiser
from sssd.sampling import Sampling
from sssd.signals.beats import find_beats

PAGE = ROOT / "docs/recordings.md"
READ = ("NORM", "SR", "AFIB", "CLBBB", "CRBBB", "IMI", "ASMI", "LVH", "STACH", "SBRAD", "PVC", "1AVB", "LAFB")
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

EDITS = (  # statements that a recording has and lacks, what is asked for, what is new in it, and what is to stay
    ("NORM+SR", "CLBBB", "CLBBB+SR", "CLBBB", "SR"),
    ("NORM+SR", "IMI", "IMI+SR", "IMI", "SR"),
    ("NORM+SR", "LVH", "LVH+SR", "LVH", "SR"),
    ("AFIB", "CRBBB", "AFIB+CRBBB", "CRBBB", "AFIB"),
    ("NORM+SR", "AFIB", "AFIB", "AFIB", ""),
    ("IMI+SR", "AFIB", "AFIB+IMI", "AFIB", "IMI"),
    ("AFIB", "NORM", "NORM+SR", "NORM", ""),
)
RHYTHMS = ("SR", "AFIB")
EACH = 3
PATIENTS = 20  # at most, who were recorded twice
HAPPENED = ("CLBBB", "CRBBB", "AFIB", "IMI", "ASMI", "LVH", "LAFB")  # statements that a second recording has


@dataclass(frozen=True)
class Case:
    row: int
    wanted: str
    new: str
    kept: str
    rhythm: bool  # whether the rhythm stays


def edit_cases(test: Data) -> list[Case]:
    return [
        Case(int(row), wanted, new, kept, all((r in present) == (r in wanted) for r in RHYTHMS))
        for present, absent, wanted, new, kept in EDITS
        for row in chosen(test.having(present, absent), EACH)
    ]


class Bench:
    """Ways to edit a batch of recordings; x0 (B, 8, L) and all states are in the network's units."""

    def __init__(self, model: SSSDECG, table: StepTable, source: np.ndarray, target: np.ndarray):
        self.table = table

        def denoiser(vectors: np.ndarray) -> Callable:
            cond = torch.from_numpy(conditions(vectors, len(vectors), model.classes))
            times = [int(t) for t in table.steps]
            net = _bound(model.model, cond, times, length=model.shape[1], dtype=torch.float32)
            return v_denoiser(table, net)

        self.source, self.target = denoiser(source), denoiser(target)

    def steps(self) -> tuple[np.ndarray, np.ndarray]:
        a = self.table.alpha[1:] / self.table.alpha[:-1]
        return a, self.table.sigma[1:] - a * self.table.sigma[:-1]  # x <- a x + b eps

    def ddim(self, x0: torch.Tensor) -> torch.Tensor:
        x = invert(self.table, self.source, x0, rounds=1)
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


def by_noise_of_steps(
    model: SSSDECG,
    x_mv: torch.Tensor,
    source: np.ndarray,
    target: np.ndarray,
    strength: float,
    guidance: float,
) -> np.ndarray:
    """Edit records (B, 8, L) as `SSSDECG.edit` does, all at once: (B, 12, L)."""
    table = partial_table(model, Sampling("ddim", EDIT_STEPS, 1.0, "trailing"), strength)
    own = torch.from_numpy(conditions(source, len(source), model.classes))
    given = Given(x_mv, own=own, guidance=guidance)
    made = model.sample(model.request(target), table, seed=1, given=given, progress=False)
    return to_twelve(made.numpy())


def edit(model: SSSDECG, data: Data, reader: Reader) -> str:
    test = data.part([9])
    cases = edit_cases(test)
    rows = np.array([case.row for case in cases])
    x_mv = torch.from_numpy(np.ascontiguousarray(to_eight(test.signal[rows])))
    x0 = model.scale.to_network(x_mv)
    before = test.labels[rows].astype(np.float32)
    after = np.concatenate([request_for(model, case.wanted).vectors for case in cases])
    there = [bool(case.kept) and reader.has(test.signal[case.row][None], case.kept)[0] for case in cases]

    def judged(made: np.ndarray) -> list[str]:
        wanted = [reader.has(x[None], case.new)[0] for case, x in zip(cases, made, strict=True)]
        kept = [
            reader.has(x[None], case.kept)[0]
            for case, x, was in zip(cases, made, there, strict=True)
            if was  # a statement that is not read in the recording cannot be kept
        ]
        beats = [
            beats_kept(test.signal[case.row], x) for case, x in zip(cases, made, strict=True) if case.rhythm
        ]
        near = [own(x, case.row, test.signal) for case, x in zip(cases, made, strict=True)]
        return [
            f"{100 * np.mean(wanted):.0f} %",
            f"{100 * np.mean(kept):.0f} %",
            f"{np.mean(beats):.2f}",
            f"{100 * np.mean(near):.0f} %",
        ]

    def line(
        name: str, strength: float, guidance: float, null: np.ndarray | None, made: np.ndarray
    ) -> list[str]:
        uv = "" if null is None else f"{np.median(rms_uv(null, test.signal[rows])):.1f}"
        found = [name, f"{strength:g}", f"{guidance:g}", uv, *judged(made)]
        print(*found, flush=True)
        return found

    def by_bench(name: str, how: Callable) -> list[str]:
        part = partial_table(model, Sampling("ddim", EDIT_STEPS, 0.0, "trailing"), STRENGTH)
        null, made = (
            to_twelve(model.scale.to_mv(how(Bench(model, part, before, labels), x0)).numpy())
            for labels in (before, after)
        )
        return line(name, STRENGTH, 0.0, null, made)

    made_by = {}

    def as_built(strength: float, guidance: float) -> list[str]:
        built_in = (strength, guidance) == (STRENGTH, GUIDANCE)
        null = by_noise_of_steps(model, x_mv, before, before, strength, guidance) if built_in else None
        made_by[strength, guidance] = by_noise_of_steps(model, x_mv, before, after, strength, guidance)
        return line("noise of each step", strength, guidance, null, made_by[strength, guidance])

    methods = [
        by_bench("SDEdit", lambda bench, x: bench.sdedit(x)),
        by_bench("EDICT", lambda bench, x: bench.edict(x)),
        by_bench("DDIM", lambda bench, x: bench.ddim(x)),
        *(as_built(STRENGTH, guidance) for guidance in (0.0, GUIDANCE, 5.0)),
        as_built(0.6, GUIDANCE),
    ]
    chosen_one = made_by[STRENGTH, GUIDANCE]
    panels = [("recording, NORM+SR", [("", test.signal[rows[0], 6], "black")])]
    for k in (0, EACH):
        panels.append(
            (
                f"edited to {cases[k].wanted}",
                [("", chosen_one[k, 6], "tab:blue"), ("", test.signal[rows[k], 6], "0.7")],
            )
        )
    draw(IMAGES / "edit.png", panels, 10, "V1")
    head = [
        "method",
        "strength",
        "guidance",
        "null edit, uV rms (median)",
        "wanted statement read",
        "kept statement read",
        "beats kept (F1)",
        "nearest to its own",
    ]
    each = [
        f"{wanted} from {present} {np.mean([reader.has(chosen_one[k][None], cases[k].new)[0] for k in part]):.0%}"
        for i, (present, _, wanted, _, _) in enumerate(EDITS)
        for part in [range(i * EACH, (i + 1) * EACH)]
    ]
    real = [
        reader.has(test.signal[test.having(name)], name).mean() for name in sorted({c.new for c in cases})
    ]
    text = (
        f"These are {len(cases)} edits of recordings. Kept statements are counted where they are read in the "
        f"recording, and beats where the rhythm is to stay. The classifier reads {100 * np.mean(real):.0f} % of the "
        "wanted statements in recordings that have them. The classifier reads the wanted statement in these shares of "
        f"the edits by the built-in method: {', '.join(each)}."
    )
    return f"{table(head, methods)}\n\n{text}\n\n{happened(model, data)}\n\n![Edits of recordings](images/edit.png)"


def mean_beat(signal: np.ndarray) -> np.ndarray:
    """The mean beat (12, 65) of a record (12, L), from 0.25 s before its R peaks to 0.4 s behind them."""
    whole = [at for at in find_beats(signal, 100.0) if 25 <= at < signal.shape[1] - 40]
    beats = np.array([signal[:, at - 25 : at + 40] for at in whole])
    return (beats - np.median(beats, axis=2, keepdims=True)).mean(axis=0)


def happened(model: SSSDECG, data: Data) -> str:
    """Compare edits with the second recording of patients who have a statement there that they lacked before."""
    earlier: dict[str, list[int]] = {}
    for row in np.argsort(data.date, kind="stable"):
        earlier.setdefault(data.patient[row], []).append(int(row))
    columns = [CODES.index(name) for name in HAPPENED]
    pairs = [
        (a, b)
        for rows in earlier.values()
        for a, b in zip(rows, rows[1:], strict=False)
        if ((data.labels[a, columns] == 0) & (data.labels[b, columns] > 0)).any()
    ]
    pairs = pairs[:: -(-len(pairs) // PATIENTS)]
    first, second = (np.array(rows) for rows in zip(*pairs, strict=True))
    x_mv = torch.from_numpy(np.ascontiguousarray(to_eight(data.signal[first])))
    before, after = (data.labels[rows].astype(np.float32) for rows in (first, second))
    made = by_noise_of_steps(model, x_mv, before, after, STRENGTH, GUIDANCE)
    unlike = {
        name: np.array(
            [
                np.sqrt(((mean_beat(x) - mean_beat(y)) ** 2).mean())
                for x, y in zip(signal, data.signal[second], strict=True)
            ]
        )
        for name, signal in (("edit", made), ("first", data.signal[first]))
    }
    others = np.array(
        [
            min(
                np.sqrt(((mean_beat(made[k]) - mean_beat(data.signal[j])) ** 2).mean())
                for j in second[np.arange(len(second)) != k]
            )
            for k in range(len(second))
        ]
    )
    return (
        f"{len(pairs)} patients of PTB-XL's folds 1 to 9 have a later recording with one of {', '.join(HAPPENED)}, "
        f"which the earlier one lacks. When the earlier one is edited to the statements of the later one, its mean "
        f"beat is {1e3 * np.median(unlike['edit']):.0f} uV rms from that of the later one (median); without the edit "
        f"it is {1e3 * np.median(unlike['first']):.0f} uV from it. The edit is the nearer one in "
        f"{100 * (unlike['edit'] < unlike['first']).mean():.0f} %. It is nearer to the patient's own later recording "
        f"than to that of any other of these patients in {100 * (unlike['edit'] < others).mean():.0f} %. The model was "
        f"trained on most of these recordings."
    )


# --- complete -----------------------------------------------------------------------------------------------

KNOWN = (["II"], ["I", "II"], ["I", "II", "V2"], None)  # None: all leads, but not from 4 to 6 s
GENERATED = 4  # records of the model that are completed as well
SAMPLES = 19  # of which nine tenths of what is like them lies between the least and the largest one: 18 / 20


def at_beats(signal: np.ndarray, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R amplitudes and ST levels (C,) in mV of leads (C, L): medians over beats, above the level before the beat."""
    whole = [at for at in beats if 10 <= at < signal.shape[1] - 20]
    level = np.array([signal[:, at - 8 : at - 4].mean(axis=1) for at in whole])
    top = np.array([signal[:, at - 5 : at + 6].max(axis=1) for at in whole]) - level
    st = np.array([signal[:, at + 11 : at + 14].mean(axis=1) for at in whole]) - level
    return np.median(top, axis=0), np.median(st, axis=0)


def inside_of_generated(
    model: SSSDECG, labels: np.ndarray, seed: int, known: list[str], missing: list[int]
) -> float:
    """The share of a generated record between its completions, without the factor: the sampler's own coverage."""
    statements = [name for name, on in zip(CODES, labels, strict=True) if on]
    real = to_twelve(model.generate(["+".join(statements)], exact=True, seed=seed, return_numpy=True))[0]
    ecg = Ecg(real, 100.0, statements=tuple(statements))
    signal = np.array(
        [one.signal for one in model.complete(ecg, SAMPLES, known=known, seed=2, progress=False)]
    )
    there = known_part(real.astype(np.float64), known, [], 100.0)
    guess = to_twelve(projection(there, covariance(), "cpu")(torch.zeros(1, *model.shape)).numpy())[0]
    plain = guess + (signal - guess) / SPREAD
    return float(((real >= plain.min(axis=0)) & (real <= plain.max(axis=0)))[missing][:, :990].mean())


def complete(model: SSSDECG, data: Data, _: Reader | None) -> str:
    test = data.part([9])
    rows = chosen(np.arange(len(test.signal)), 8, seed=3)
    out, panels = [], []
    for known in KNOWN:
        gap = known is None
        missing = [i for i, lead in enumerate(CLINICAL) if gap or (lead[0] == "V" and lead not in known)]
        part = slice(400, 600) if gap else slice(0, 990)
        figures: dict[str, list] = {"completions": [], "one": [], "regression": []}
        inside: dict[str, list[float]] = {"as built": [], "without": [], "of generated": []}
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
            plain = signal if gap else guess + (signal - guess) / SPREAD
            for name, one in (("as built", signal), ("without", plain)):
                between = (real >= one.min(axis=0)) & (real <= one.max(axis=0))
                inside[name].append(between[missing][:, part].mean())
            if known == ["I", "II"] and len(inside["of generated"]) < GENERATED:
                inside["of generated"].append(
                    inside_of_generated(model, test.labels[row], int(row), known, missing)
                )
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
            cells = [f"{100 * np.mean(inside[kind]):.0f} %" for kind in ("as built", "without")]
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
                    *(cells if name == "completions" else ["", ""]),
                ]
            )
        if known == ["I", "II"]:
            note = (
                f"These are {len(rows)} recordings with {SAMPLES} completions each. In four generated records, "
                f"{100 * np.mean(inside['of generated']):.0f} % of the values lie between their completions "
                "without the factor."
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
        f"without the factor {SPREAD:g}",
    ]
    return f"{table(head, out)}\n\n{note}\n\n![Chest leads completed from I and II](images/complete.png)"


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
