"""Measure completions beside other ways to complete recordings, and write the table and picture of docs/recordings.md.

    python scripts/measure_completion.py complete --data ../shared/data/ptbxl_folds1-9 --unet build/unet.pt

It measures on fold 9, which the model has not seen, beside linear regression, Dower's lead vectors where they apply,
and the U-Net of completion_unet.py, which is trained once and kept in --unet. It takes about 10 minutes on one core of
a CPU. --checkpoint measures another network than the built-in one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import completion_unet
import numpy as np
import torch
from docs_page import IMAGES, ROOT, parser, table, write_parts
from recordings_of_ptbxl import Data, chosen, draw

from sssd import SSSDECG, Ecg
from sssd.editing.completion import covariance, known_part, projection
from sssd.labels import CODES
from sssd.leads import CLINICAL, EIGHT, to_twelve
from sssd.signals.beats import find_beats

PAGE = ROOT / "docs/recordings.md"
GAP_S = (4.0, 6.0)
KNOWN = (["II"], ["I", "II"], ["I", "II", "V2"], None)  # None: all leads, but not in the gap
GENERATED = 4  # records of the model that are completed as well
SAMPLES = 19  # of which nine tenths of what is like them lies between the least and the largest one: 18 / 20
EPOCHS = 16  # of the U-Net
# The vectors of the eight leads for a dipole (x left, y down, z back) by Dower, Machado and Osborne (1980).
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
        [-0.081, 1.184, -0.162],
    ]
)


def regression(there: np.ndarray) -> np.ndarray:
    """Linear regression (12, L) on what is known, which is what completions start from."""
    project = projection(there, covariance(), "cpu")
    return to_twelve(project(torch.zeros(1, len(EIGHT), there.shape[1])).numpy())[0]


def dipole(there: np.ndarray) -> np.ndarray | None:
    """The leads (12, L) of the dipole that the known leads determine by Dower's vectors.

    None where they do not: with fewer than three independent leads.
    """
    vectors = to_twelve(DOWER)
    rows = [k for k in range(len(CLINICAL)) if np.isfinite(there[k]).all()]
    if np.linalg.matrix_rank(vectors[rows]) < 3 or len(rows) == len(CLINICAL):
        return None
    return vectors @ np.linalg.pinv(vectors[rows]) @ there[rows]


def at_beats(signal: np.ndarray, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R amplitudes and ST levels (C,) in mV of leads (C, L): medians over beats, above the level before the beat."""
    whole = [at for at in beats if 10 <= at < signal.shape[1] - 20]
    level = np.array([signal[:, at - 8 : at - 4].mean(axis=1) for at in whole])
    top = np.array([signal[:, at - 5 : at + 6].max(axis=1) for at in whole]) - level
    st = np.array([signal[:, at + 11 : at + 14].mean(axis=1) for at in whole]) - level
    return np.median(top, axis=0), np.median(st, axis=0)


@dataclass
class Errors:
    """Of one way to complete: for each recording the rms in uV and the correlation, for each lead of it R and ST."""

    rms: list[float] = field(default_factory=list)
    like: list[float] = field(default_factory=list)
    r: list[float] = field(default_factory=list)
    st: list[float] = field(default_factory=list)

    def add(self, one: np.ndarray, real: np.ndarray, missing: list[int], part: slice) -> None:
        a, b = one[missing][:, part], real[missing][:, part]
        self.rms.append(1e3 * float(np.sqrt(((a - b) ** 2).mean())))
        like = [
            np.corrcoef(x, y)[0, 1] if np.ptp(x) > 0 else 0.0  # a flat line is like nothing
            for x, y in zip(a, b, strict=True)
        ]
        self.like.append(float(np.mean(like)))
        beats = find_beats(real, 100.0)
        for errors, x, y in zip((self.r, self.st), at_beats(one, beats), at_beats(real, beats), strict=True):
            errors += np.abs(x - y)[missing].tolist()

    def cells(self, gap: bool) -> list[str]:
        beats = [f"{np.median(x):.2f}, {np.quantile(x, 0.9):.2f}" for x in (self.r, self.st)]
        return [f"{np.median(self.rms):.0f}", f"{np.median(self.like):.2f}", *(["", ""] if gap else beats)]


def missing_in(known: list[str] | None) -> tuple[list[int], slice, list[tuple[float, float]]]:
    """The leads and samples that are judged: missing chest leads, or all leads in the gap; and the gap."""
    leads = [k for k, lead in enumerate(CLINICAL) if known is None or (lead[0] == "V" and lead not in known)]
    within = slice(*(round(100 * at) for at in GAP_S)) if known is None else slice(0, 990)
    return leads, within, [GAP_S] if known is None else []


def completions(
    model: SSSDECG, ecg: Ecg, known: list[str] | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Completions (SAMPLES, 12, L) and what is known (12, L)."""
    _, _, gaps = missing_in(known)
    made = model.complete(ecg, SAMPLES, known=known, gaps=gaps, seed=seed, progress=False)
    there = known_part(ecg.signal.astype(np.float64), known, gaps, 100.0)
    return np.array([one.signal for one in made]), there


def inside(real: np.ndarray, signal: np.ndarray, missing: list[int], part: slice) -> float:
    """The share of a recording that lies between its completions."""
    between = (real >= signal.min(axis=0)) & (real <= signal.max(axis=0))
    return float(between[missing][:, part].mean())


def inside_of_generated(model: SSSDECG, labels: np.ndarray, seed: int, known: list[str]) -> float:
    """The share of a generated record between its completions: the sampler's own coverage."""
    statements = [name for name, on in zip(CODES, labels, strict=True) if on]
    real = to_twelve(
        model.generate(["+".join(statements)], exact=True, seed=seed, return_numpy=True, progress=False)
    )[0]
    signal, _ = completions(model, Ecg(real, 100.0, statements=tuple(statements)), known, 2)
    return inside(real, signal, *missing_in(known)[:2])


def complete(model: SSSDECG, data: Data, options: argparse.Namespace) -> str:
    test, train = data.part([9]), data.part(list(range(1, 9)))
    unet = completion_unet.kept(options.unet, train.signal, epochs=EPOCHS)
    rows = chosen(np.arange(len(test.signal)), options.recordings, seed=3)
    out, panels, of_generated = [], [], []
    for known in KNOWN:
        missing, part, _ = missing_in(known)
        errors: dict[str, Errors] = {}
        covered: list[float] = []
        for row in rows:
            real = test.signal[row]
            signal, there = completions(model, test.ecg(row), known, 1)
            ways = {
                f"mean of {SAMPLES}": signal.mean(axis=0),
                "one of them": signal[0],
                "regression": regression(there),
                "Dower's vectors": dipole(there),
                "U-Net": to_twelve(completion_unet.completed(unet, there).numpy())[0],
            }
            for name, one in ways.items():
                if one is not None:
                    errors.setdefault(name, Errors()).add(one, real, missing, part)
            covered.append(inside(real, signal, missing, part))
            if known == ["I", "II"]:
                if len(of_generated) < GENERATED:
                    of_generated.append(inside_of_generated(model, test.labels[row], int(row), known))
                if row == rows[0]:
                    panels = [panel(lead, ways, signal, real) for lead in ("V1", "V5")]
        for name, one in errors.items():
            share = f"{100 * np.mean(covered):.0f} %"
            what = f"{GAP_S[0]:g} s to {GAP_S[1]:g} s missing" if known is None else ", ".join(known)
            out.append([what, name, *one.cells(known is None), share if "mean" in name else ""])
            print(*out[-1], flush=True)
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
    note = (
        f"These are {len(rows)} recordings with {SAMPLES} completions each. In {len(of_generated)} generated records, "
        f"{100 * np.mean(of_generated):.0f} % of the values lie between their completions. "
        f"In {len(test.signal)} recordings of fold 9, III, aVR, aVL and aVF follow from I and II to "
        f"{np.median(limb_error_uv(test.signal)):.1f} uV rms (median)."
    )
    return f"{table(head, out)}\n\n{note}\n\n![Chest leads completed from I and II](images/complete.png)"


def panel(lead: str, ways: dict, signal: np.ndarray, real: np.ndarray) -> tuple[str, list]:
    k = CLINICAL.index(lead)
    lines = [
        ("completions", signal[0, k], "tab:blue"),
        *(("", one[k], "tab:blue") for one in signal[1:3]),
        ("regression", ways["regression"][k], "tab:orange"),
        ("U-Net", ways["U-Net"][k], "tab:green"),
        ("recording", real[k], "black"),
    ]
    return lead, lines


def limb_error_uv(signal: np.ndarray) -> np.ndarray:
    """The rms (n,) over III, aVR, aVL and aVF of what Einthoven's and Goldberger's relations lack in (n, 12, L)."""
    one, two = signal[:, 0], signal[:, 1]
    limb = np.stack((two - one, -(one + two) / 2, one - two / 2, two - one / 2), axis=1)
    return 1e3 * np.sqrt(((limb - signal[:, 2:6]) ** 2).mean(axis=(1, 2)))


PARTS = {"complete": complete}


def main() -> None:
    of = parser(__doc__, PARTS)
    of.add_argument("--unet", type=Path, default=ROOT / "build/unet.pt")
    of.add_argument("--recordings", type=int, default=8)
    options = of.parse_args()
    data, model = Data.read(options.data), SSSDECG.from_pretrained(options.checkpoint, device="cpu")
    write_parts(PAGE, {name: partial(PARTS[name], model, data, options) for name in options.parts})


if __name__ == "__main__":
    main()
