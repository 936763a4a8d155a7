"""Measure what the model makes of recordings, and write tables and pictures into docs/recordings.md.

    python scripts/measure_recordings.py vary edit --data ../shared/data/ptbxl_folds1-9

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
from recordings_of_ptbxl import READ, Data, Reader, beats_kept, chosen, draw, own, rms_uv

from sssd import SSSDECG
from sssd.batch import Given, _bound
from sssd.editing.change import partial_table, request_for
from sssd.editing.inversion import EDIT_STEPS, GUIDANCE, STRENGTH
from sssd.labels import CODES
from sssd.leads import to_eight, to_twelve
from sssd.request import conditions
from sssd.samplers import StepTable, invert, run, v_denoiser
from sssd.sampling import Sampling
from sssd.signals.beats import find_beats

PAGE = ROOT / "docs/recordings.md"
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


PARTS = {"vary": vary, "edit": edit}


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
