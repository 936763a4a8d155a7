"""Measure what the model makes of recordings, and write tables and pictures into docs/recordings.md.

    python scripts/measure_recordings.py vary edit --data ../shared/data/ptbxl_folds1-9

Recordings are of fold 9, which the model has not seen. Each part takes a few minutes on one core of a CPU; its table
and its picture replace the earlier ones between the marks <!-- vary --> and <!-- /vary -->. --checkpoint measures
another network than the built-in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from docs_page import IMAGES, ROOT, parser, table, write_parts
from recordings_of_ptbxl import READ, Data, Reader, beats_kept, chosen, draw, own, rms_uv

from sssd import SSSDECG, Ecg
from sssd.batch import Given, _bound
from sssd.circumstances import with_circumstances
from sssd.config.names import EDIT_STRENGTH
from sssd.editing import Change, Taken, inversion, take
from sssd.editing.change import Own, circumstances_of, partial_table
from sssd.editing.inversion import EDIT_STEPS, GUIDANCE, GUIDED, conditions_of
from sssd.labels import CODES
from sssd.leads import to_eight, to_twelve
from sssd.noise import origin
from sssd.request import Request
from sssd.samplers import StepTable, eps_denoiser, invert, run, v_denoiser
from sssd.sampling import Sampling
from sssd.signals.beats import find_beats, mean_heart_rate
from sssd.signals.heart_rate import measured_heart_rates

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
    note = f"The classifiers read {100 * np.concatenate(real).mean():.0f} % of these statements in the recordings."
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
EACH = 10
FURTHER = 0.6  # a strength above the default
SEEDS = (1, 2, 3)
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


class How(NamedTuple):
    """How recordings are edited; guided: the share of the noise levels in which there is guidance."""

    strength: float
    guidance: float
    guided: float = GUIDED


BUILT_IN = How(EDIT_STRENGTH, GUIDANCE)


def edits(
    model: SSSDECG, ecgs: Sequence[Ecg], wanted: Sequence[str], how: How = BUILT_IN
) -> tuple[Request, Given]:
    """What `SSSDECG.edit` makes of recordings, as one batch, with the guidance of `how`."""
    changes = [
        inversion.edit(model, ecg, Own(statements), how.strength, Own(), None)
        for ecg, statements in zip(ecgs, wanted, strict=True)
    ]
    request, given = batched(model, changes)
    return request, replace(given, guidance=how.guidance, guided_below=round(how.guided * model.schedule.T))


def batched(model: SSSDECG, changes: Sequence[Change]) -> tuple[Request, Given]:
    """Changes of one record each, as one batch."""
    unknown = np.full(1, np.nan)
    known = {
        name: np.concatenate([unknown if one is None else one for one in column])
        for name in changes[0].request.known
        for column in [[change.request.known[name] for change in changes]]
    }
    request = model.request(
        np.concatenate([change.request.vectors for change in changes]),
        **{name: values for name, values in known.items() if np.isfinite(values).any()},
    )
    return request, changes[0].given.beside([change.given for change in changes[1:]])


def edited(
    model: SSSDECG, ecgs: Sequence[Ecg], wanted: Sequence[str], how: How = BUILT_IN, *, seed: int = 1
) -> np.ndarray:
    """Edit recordings as `SSSDECG.edit` does, all at once: (B, 12, L)."""
    table = partial_table(model, Sampling("ddim", EDIT_STEPS, 1.0, "trailing"), how.strength)
    request, given = edits(model, ecgs, wanted, how)
    return to_twelve(model.sample(request, table, seed=seed, given=given, progress=False).numpy())


class Bench:
    """Other ways to edit a batch of recordings; x0 (B, 8, L) and all states are in the network's units."""

    def __init__(self, model: SSSDECG, table: StepTable, ecgs: Sequence[Ecg], wanted: Sequence[str]):
        self.table = table
        request, given = edits(model, ecgs, wanted)
        assert given.start is not None and given.own is not None
        self.x0 = model.scale.to_network(given.start)

        def denoiser(cond: torch.Tensor) -> Callable:
            state = origin([0] * len(ecgs), range(len(ecgs)), "cpu")
            full = with_circumstances(model.model, cond, state, given.circumstances)
            times = [int(t) for t in table.steps]
            net = _bound(model.model, full, times, length=model.shape[1], dtype=torch.float32)
            return (v_denoiser if model.model.velocity else eps_denoiser)(table, net)

        self.source, self.target = denoiser(given.own), denoiser(conditions_of(model, request))

    def steps(self) -> tuple[np.ndarray, np.ndarray]:
        a = self.table.alpha[1:] / self.table.alpha[:-1]
        return a, self.table.sigma[1:] - a * self.table.sigma[:-1]  # x <- a x + b eps

    def ddim(self) -> torch.Tensor:
        x = invert(self.table, self.source, self.x0, rounds=1)
        return run(self.table, self.target, x, lambda i: x)

    def sdedit(self) -> torch.Tensor:
        z = torch.randn(self.x0.shape, generator=torch.Generator().manual_seed(0))
        x = float(self.table.alpha[0]) * self.x0 + float(self.table.sigma[0]) * z
        return run(self.table, self.target, x, lambda i: x)

    def edict(self, p: float = 0.93) -> torch.Tensor:
        """Two coupled states, which are inverted exactly (Wallace et al. 2023, eq. 14 and 15)."""
        a, b = self.steps()
        x, y = self.x0, self.x0
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


def edit(model: SSSDECG, data: Data, reader: Reader) -> str:
    test = data.part([9])
    cases = edit_cases(test)
    rows = [case.row for case in cases]
    ecgs, wanted = [test.ecg(row) for row in rows], [case.wanted for case in cases]
    unchanged = ["+".join(ecg.statements) for ecg in ecgs]
    there = [bool(case.kept) and reader.has(test.signal[case.row][None], case.kept)[0] for case in cases]

    def judged(sets: Sequence[np.ndarray]) -> list[str]:
        pairs = [(case, x, was) for made in sets for case, x, was in zip(cases, made, there, strict=True)]
        found = [reader.has(x[None], case.new)[0] for case, x, _ in pairs]
        kept = [
            reader.has(x[None], case.kept)[0]
            for case, x, was in pairs
            if was  # a statement that is not read in the recording cannot be kept
        ]
        beats = [beats_kept(test.signal[case.row], x) for case, x, _ in pairs if case.rhythm]
        near = np.array([own(x, case.row, test.signal) for case, x, _ in pairs])
        stays = np.array([case.rhythm for case, *_ in pairs])
        amplitude = [x.std() / test.signal[case.row].std() for case, x, _ in pairs]
        return [
            f"{100 * np.mean(found):.0f} %",
            f"{100 * np.mean(kept):.0f} %",
            f"{np.mean(beats):.2f}",
            f"{100 * near[stays].mean():.0f} %",
            f"{100 * near.mean():.0f} %",
            f"{np.median(amplitude):.2f}",
        ]

    def line(
        name: str, strength: float, guidance: str, null: np.ndarray | None, sets: Sequence[np.ndarray]
    ) -> list[str]:
        uv = "" if null is None else f"{np.median(rms_uv(null, test.signal[rows])):.1f}"
        found = [name, f"{strength:g}", guidance, uv, *judged(sets)]
        print(*found, flush=True)
        return found

    def by_bench(name: str, how: Callable) -> list[str]:
        part = partial_table(model, Sampling("ddim", EDIT_STEPS, 0.0, "trailing"), EDIT_STRENGTH)
        null, made = (
            to_twelve(model.scale.to_mv(how(Bench(model, part, ecgs, labels))).numpy())
            for labels in (unchanged, wanted)
        )
        return line(name, EDIT_STRENGTH, "0", null, [made])

    made_by = {}

    def as_built(how: How) -> list[str]:
        null = edited(model, ecgs, unchanged, how) if how == BUILT_IN else None
        made_by[how] = [edited(model, ecgs, wanted, how, seed=seed) for seed in SEEDS]
        said = f"{how.guidance:g}" + (
            f" up to {how.guided:g}" if how.guided < how.strength and how.guidance else ""
        )
        return line("noise of each step", how.strength, said, null, made_by[how])

    methods = [
        by_bench("SDEdit", Bench.sdedit),
        by_bench("EDICT", Bench.edict),
        by_bench("DDIM", Bench.ddim),
        as_built(How(EDIT_STRENGTH, 0.0)),
        as_built(How(EDIT_STRENGTH, GUIDANCE, 1.0)),
        *(as_built(How(strength, GUIDANCE)) for strength in (EDIT_STRENGTH, GUIDED, 0.5, FURTHER)),
        of_recordings(reader, test),
    ]
    chosen_one = made_by[BUILT_IN][0]
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
        "nearest to its own, where the rhythm stays",
        "nearest to its own, all",
        "amplitude",
    ]

    def read(strength: float, first: int) -> float:
        part = slice(first, first + EACH)
        kind = [
            pair
            for made in made_by[How(strength, GUIDANCE)]
            for pair in zip(cases[part], made[part], strict=True)
        ]
        return float(np.mean([reader.has(x[None], case.new)[0] for case, x in kind]))

    each = [
        f"{cases[k].wanted} from {present} {read(EDIT_STRENGTH, k):.0%} ({read(FURTHER, k):.0%})"
        for k, (present, *_) in zip(range(0, len(cases), EACH), EDITS, strict=True)
    ]
    text = (
        f"These are edits of {len(cases)} recordings; with the noise of each step, each is edited {len(SEEDS)} times, "
        "with other seeds. Guidance up to 0.44 holds in that share of the noise levels only. Kept statements are "
        "counted where they are read in the recording, and beats where the rhythm is to stay. The amplitude is the "
        "standard deviation of the edit over that of the recording (median). The last row has recordings that have "
        "the wanted statements: the classifiers cannot be expected to read more of the new ones in edits than in "
        "these. They read the wanted statement in these shares of the edits with strength "
        f"{EDIT_STRENGTH:g} (and {FURTHER:g}): {', '.join(each)}."
    )
    return f"{table(head, methods)}\n\n{text}\n\n{happened(model, data)}\n\n![Edits of recordings](images/edit.png)"


def of_recordings(reader: Reader, test: Data) -> list[str]:
    """The row of recordings that have the wanted statements, each kind of edit counting the same."""
    found, kept = [], []
    for _, _, wanted, new, old in EDITS:
        rows = test.having(wanted)
        if len(rows):
            found.append(reader.has(test.signal[rows], new).mean())
            kept += [reader.has(test.signal[rows], old).mean()] if old else []
    shares = [f"{100 * np.mean(part):.0f} %" for part in (found, kept)]
    return ["recordings that have them", "", "", "", *shares, "", "", "", ""]


# --- rate ---------------------------------------------------------------------------------------------------

RATES = (  # what is asked of recordings with SR at 60 to 90 beats per minute, and between which rates it is shown
    ("50 /min", {"heart_rate": 50.0}, 45, 55),
    ("100 /min", {"heart_rate": 100.0}, 95, 105),
    ("120 /min", {"heart_rate": 120.0}, 115, 125),
    ("STACH in place of SR", {"statements": "STACH"}, 100, 250),
    ("SBRAD in place of SR", {"statements": "SBRAD"}, 0, 60),
)
RECORDINGS = 16


def median_beat(signal: np.ndarray) -> np.ndarray:
    """The median beat (12, 40) of a record (12, L), from 0.2 s before its R peaks to 0.2 s behind them."""
    whole = [at for at in find_beats(signal, 100.0) if 20 <= at < signal.shape[1] - 20]
    beats = np.array([signal[:, at - 20 : at + 20] for at in whole])
    return np.median(beats - np.median(beats, axis=2, keepdims=True), axis=0)


def rate(model: SSSDECG, data: Data) -> str:
    test = data.part([9])
    rows = test.having("SR", "STACH+SBRAD")
    usual = measured_heart_rates(to_eight(test.signal[rows]), 100.0)
    rows = chosen(rows[(usual >= 60) & (usual <= 90)], RECORDINGS)
    out, panels = [], []
    for name, asked, low, high in RATES:
        line, pictures = [name], []
        for move in (False, True):
            made = at_asked_rate(model, [test.ecg(row) for row in rows], asked, move)
            found = np.array([mean_heart_rate(find_beats(x, 100.0), 100.0) for x in made])
            beats = [(median_beat(x), median_beat(y)) for x, y in zip(made, test.signal[rows], strict=True)]
            like = [np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)]) for x, y in beats]
            size = [x.std() / y.std() for x, y in beats]
            line += [
                f"{100 * np.mean((found >= low) & (found <= high)):.0f} %",
                f"{np.median(like):.2f}",
                f"{np.median(size):.2f}",
            ]
            pictures.append(made)
        print(*line, flush=True)
        out.append(line)
        if "heart_rate" in asked:
            panels.append((f"edited to {name}", [("", pictures[1][0, 1], "tab:blue")]))
    draw(
        IMAGES / "edit_rate.png", [("recording", [("", test.signal[rows[0], 1], "black")]), *panels], 10, "II"
    )
    head = ["asked for"]
    for beats in ("left", "moved"):
        head += [f"beats {beats}: rate shown", "median beat's correlation", "amplitude"]
    text = (
        f"These are {len(rows)} recordings with SR at 60 to 90 beats per minute. A rate is shown if it is within "
        "5 /min of the one that was asked for, above 100 /min for STACH and below 60 /min for SBRAD. The correlation "
        "of the median beat with the recording's is taken from 0.2 s before to 0.2 s behind the R peak (mean over the "
        "leads, median over the records); the amplitude is the standard deviation of the edit's median beat over that "
        "of the recording's (median). With the beats left where they are, only the network is told what is asked for."
    )
    return f"{table(head, out)}\n\n{text}\n\n![A recording at other heart rates](images/edit_rate.png)"


def at_asked_rate(model: SSSDECG, ecgs: Sequence[Ecg], asked: dict[str, Any], move: bool) -> np.ndarray:
    """Edit recordings with SR to another rate, with their beats moved or left where they are: (B, 12, L)."""
    changes = [change_to_rate(model, take(model, ecg), asked, move) for ecg in ecgs]
    request, given = batched(model, changes)
    assert given.start is not None and given.own is not None
    if torch.equal(given.own, conditions_of(model, request)):
        return to_twelve(given.start.numpy())  # a null edit
    table = partial_table(model, changes[0].sampling, EDIT_STRENGTH)
    return to_twelve(model.sample(request, table, seed=1, given=given, progress=False).numpy())


def change_to_rate(model: SSSDECG, taken: Taken, asked: dict[str, Any], move: bool) -> Change:
    if "statements" in asked:
        rest = [name for name in taken.statements if name != "SR"]
        asked = {"statements": [asked["statements"], *rest]}
    change = inversion.edit(model, taken, Own(**asked), EDIT_STRENGTH, Own(), None)
    if move:
        return change
    own = Own().of(model, taken)
    given = replace(
        change.given,
        start=taken.eight[None],
        own=conditions_of(model, own.request(model)),
        circumstances=circumstances_of(model, taken.eight),
    )
    return replace(change, request=Own(**asked).otherwise(own).request(model), given=given)


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
    ecgs = [data.ecg(row) for row in first]
    wanted = ["+".join(data.ecg(row).statements) for row in second]
    made = edited(model, ecgs, wanted)
    beats = [
        np.array([mean_beat(x) for x in signal]) for signal in (data.signal[first], data.signal[second], made)
    ]
    changed, as_edited = ((side - beats[0]).reshape(len(first), -1) for side in beats[1:])
    like = [np.corrcoef(a, b)[0, 1] for a, b in zip(changed, as_edited, strict=True)]
    like_others = [
        np.corrcoef(changed[j], as_edited[k])[0, 1]
        for j in range(len(first))
        for k in range(len(first))
        if k != j
    ]
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
    test = data.part([9])
    of_test = np.array([mean_beat(x) for x in test.signal])

    def own_is_nearest(side: np.ndarray) -> float:
        """The share of beats (n, 12, W) that are nearer to the patient's own earlier one than to that of a stranger."""
        return float(
            np.mean(
                [
                    ((beat - before) ** 2).sum()
                    < ((of_test[test.patient != who] - beat) ** 2).sum((1, 2)).min()
                    for beat, before, who in zip(side, beats[0], data.patient[first], strict=True)
                ]
            )
        )

    return (
        f"{len(pairs)} patients of PTB-XL's folds 1 to 9 have a later recording with one of {', '.join(HAPPENED)}, "
        f"which the earlier one lacks. When the earlier one is edited to the statements of the later one, its mean "
        f"beat is {1e3 * np.median(unlike['edit']):.0f} uV rms from that of the later one (median); without the edit "
        f"it is {1e3 * np.median(unlike['first']):.0f} uV from it. The edit is the nearer one in "
        f"{100 * (unlike['edit'] < unlike['first']).mean():.0f} %. It is nearer to the patient's own later recording "
        f"than to that of any other of these patients in {100 * (unlike['edit'] < others).mean():.0f} %. What the edit "
        f"changes in the mean beat and what changed between the recordings have a correlation of {np.median(like):.2f} "
        f"(median; {np.median(like_others):.2f} with the changes of other patients). The model was trained on most of "
        "these recordings. The mean beat of the later recording is nearer to that of the patient's own earlier one "
        f"than to that of any other patient of fold 9 in {100 * own_is_nearest(beats[1]):.0f} %, and that of the edit "
        f"in {100 * own_is_nearest(beats[2]):.0f} %."
    )


def main() -> None:
    options = parser(__doc__, ("vary", "edit", "rate")).parse_args()
    data, model = Data.read(options.data), SSSDECG.from_pretrained(options.checkpoint, device="cpu")
    reader = cache(partial(Reader, data))
    parts = {
        "vary": lambda: vary(model, data, reader()),
        "edit": lambda: edit(model, data, reader()),
        "rate": lambda: rate(model, data),
    }
    write_parts(PAGE, {name: parts[name] for name in options.parts})


if __name__ == "__main__":
    main()
