"""Measure records at 500 Hz, and write the tables and the picture of docs/500hz.md.

    python scripts/measure_500hz.py ../shared/data/ecg_500hz

takes the recordings of fold 9 of PTB-XL at 500 Hz, brings them to 100 Hz and back, by interpolation and with detail,
and compares. It takes ten minutes on one core of a CPU, most of it for the classifiers, and needs the `eval` extra.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from docs_page import IMAGES, ROOT, table, write_parts
from train_detail import moving, recordings

from sssd import SSSDECG
from sssd.detail import at_500_hz, beats_of, known_of, plausible, trained
from sssd.evaluation.auc import single_auc
from sssd.evaluation.classifier import EPOCHS, train_and_predict
from sssd.evaluation.detectability import partition, prepared, simple_areas
from sssd.evaluation.evaluate import CPU_WIDTH
from sssd.evaluation.spectrum import band_levels
from sssd.leads import EIGHT
from sssd.signals.rates import FINE_HZ, band, decimated, interpolated
from sssd.signals.recorded import used

PAGE = ROOT / "docs/500hz.md"
BANDS = ((40, 150), (45, 50), (50, 75), (75, 100), (100, 150), (150, 250))
HIDING_MV = 0.005  # noise that hides the steps of converters
ABOUT_S = 0.08  # to either side of where a QRS complex is steepest
NAMES = ("interpolated", "with detail")


def bands(real: np.ndarray, made: dict[str, np.ndarray]) -> str:
    rows = []
    for low, high in BANDS:
        levels = {
            name: band_levels(x[..., : used(x.shape[-1])], fs_hz=FINE_HZ, edges_hz=(low, high))[..., 0]
            for name, x in (("real", real), *made.items())
        }
        off = {name: np.median(levels[name]) - np.median(levels["real"]) for name in made}
        spread = {name: levels[name].std(0).mean() / levels["real"].std(0).mean() for name in made}
        rows.append(
            [f"{low} to {high} Hz", *(f"{off[name]:+.2f}" for name in NAMES), f"{spread['with detail']:.2f}"]
        )
    head = ["band", *(f"level, {name}" for name in NAMES), "spread, with detail"]
    return table(head, rows)


def steepest(x: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """The median over beats of the maximal slope of each lead, (8,) in mV/s."""
    half = round(ABOUT_S * FINE_HZ)
    slope = np.abs(np.diff(x)) * FINE_HZ
    return np.median([slope[:, max(at - half, 0) : at + half].max(axis=1) for at in beats], axis=0)


def likeness(x: np.ndarray, beats: np.ndarray) -> float:
    """The mean correlation of the detail between any two beats."""
    detail = band(x, 46.5, 150, FINE_HZ)
    cut = np.stack([detail[:, at - 20 : at + 20].ravel() for at in beats])
    total, n = (cut**2).sum(), len(cut)
    return float((n * n * (cut.mean(axis=0) ** 2).sum() / total - 1) / (n - 1))


def complexes(real: np.ndarray, made: dict[str, np.ndarray]) -> str:
    ratios: dict[str, list[np.ndarray]] = {name: [] for name in made}
    alike: dict[str, list[float]] = {name: [] for name in ("recordings", "with detail")}
    for i, one in enumerate(real):
        beats = beats_of(known_of(decimated(one)[None]))
        beats = beats[(beats > 60) & (beats < used(one.shape[-1]) - 60)]
        if len(beats) < 3:
            continue
        true = steepest(one, beats)
        for name, x in made.items():
            ratios[name].append(steepest(x[i], beats) / true)
        alike["recordings"].append(likeness(one, beats))
        alike["with detail"].append(likeness(made["with detail"][i], beats))
    rows = [
        [
            "maximal slope, over that of the recording",
            "1",
            *(f"{np.median(ratios[name]):.2f}" for name in NAMES),
        ],
        [
            "detail: correlation from beat to beat",
            f"{np.median(alike['recordings']):.2f}",
            "",
            f"{np.median(alike['with detail']):.2f}",
        ],
    ]
    return table(["median", "recordings", *NAMES], rows)


def inside(coarse: np.ndarray, fine: np.ndarray) -> str:
    worst = 1e3 * np.abs(decimated(fine.astype(np.float64)) - coarse).max(axis=(1, 2))
    model = SSSDECG.from_pretrained(device="cpu")
    how = {"num_samples": 32, "quality": "standard", "seed": 1, "return_numpy": True}
    made = model.generate(**how)
    again = decimated(model.generate(fs=500, **how).astype(np.float64))
    off, lowered = (1e3 * np.abs(again - x)[..., 50:-50] for x in (made, plausible(made)))
    return (
        f"Brought to 100 Hz again, the {len(coarse)} recordings differ from what they were made of by at most "
        f"{worst.max():.1f} uV. In 32 records that the preset `standard` generated, without the half second at either "
        f"end, it is {off.max():.1f} uV, and {np.quantile(off, 0.5):.1f} uV in the median. They have more between 45.5 "
        f"and 50 Hz than recordings, which is lowered first; from there on it is at most {lowered.max():.1f} uV."
    )


def detectability(real: np.ndarray, made: dict[str, np.ndarray], seeds: int) -> str:
    random = np.random.default_rng(0)
    hidden = {
        name: x + HIDING_MV * random.standard_normal(x.shape) for name, x in (("real", real), *made.items())
    }
    rows = []
    for name in NAMES:
        row = [name]
        for a, b in ((real, made[name]), (hidden["real"], hidden[name])):
            row.append(f"{simple_areas(a, b, fs_hz=FINE_HZ, seeds=1)['raw'].mean:.2f}")
        if seeds:
            row.append(f"{network(hidden['real'], hidden[name], seeds):.2f}")
        print(*row, flush=True)
        rows.append(row)
    under = f"under noise of {1e3 * HIDING_MV:g} uV"
    head = ["", "simple classifier, AUC", f"{under}, AUC", f"network, {under}, AUC"]
    return table(head[: 3 + bool(seeds)], rows)


def network(real: np.ndarray, made: np.ndarray, seeds: int) -> float:
    """The AUC of the residual network of `evaluate`, cross-validated."""
    shown = np.concatenate([prepared(real, FINE_HZ), prepared(made, FINE_HZ)])
    kind = np.repeat([0, 1], len(real))[:, None]
    areas = []
    for seed in range(seeds):
        scores = np.zeros(len(shown))
        for fitted, unseen in partition(len(real), seed):
            how = {"seed": seed, "width": CPU_WIDTH, "epochs": EPOCHS}
            scores[unseen] = train_and_predict(shown[fitted], kind[fitted], shown[unseen], **how)[:, 0]
        areas.append(single_auc(kind[:, 0], scores))
    return float(np.mean(areas))


def cost() -> str:
    model = SSSDECG.from_pretrained(device="cpu")
    how = {"quality": "standard", "seed": 1, "num_samples": 8}
    seconds = {}
    for fs in (100, 500, 100, 500):  # the first of each warms up
        begun = time.process_time()
        model.generate("NORM", fs=fs, **how)
        seconds[fs] = (time.process_time() - begun) / 8
    return (
        f"On one core of a CPU ({os.cpu_count()} in the machine), a record of the preset `standard` takes "
        f"{seconds[100]:.2f} s of processor time at 100 Hz and {seconds[500]:.2f} s at 500 Hz."
    )


def picture(real: np.ndarray, made: dict[str, np.ndarray]) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(10, 5), sharey="row", layout="constrained")
    for row, i in zip(axes, (17, 40), strict=True):
        beats = beats_of(known_of(decimated(real[i])[None]))
        about = slice(beats[2] - 60, beats[2] + 60)
        for axis, (name, x) in zip(row, (("recording", real), *made.items()), strict=True):
            for lead in ("I", "V3", "V5"):
                axis.plot(np.arange(120) / FINE_HZ, x[i, EIGHT.index(lead), about], lw=0.9, label=lead)
            axis.set_title(name, fontsize=10)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("mV")
    axes[0, 0].legend(frameon=False)
    for axis in axes[1]:
        axis.set_xlabel("s")
    figure.savefig(IMAGES / "500hz.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=1, help="networks that tell records apart, or 0")
    options = parser.parse_args()
    every = recordings(options.data, "ptbxl")
    with np.load(options.data / "ptbxl.npz") as about:
        every = every[(about["strat_fold"] == 9) & moving(every)]
    real = every / 1e3
    coarse = decimated(real)
    detail = at_500_hz(trained(torch.device("cpu")), coarse, [1] * len(coarse), range(len(coarse)))
    made = {"interpolated": interpolated(coarse), "with detail": detail.astype(np.float64)}
    picture(real, made)
    measured = {
        "bands": lambda: bands(real, made),
        "complexes": lambda: complexes(real, made),
        "inside": lambda: inside(coarse, detail),
        "cost": cost,
        "detectability": lambda: detectability(real, made, options.seeds),
    }
    write_parts(PAGE, measured)


if __name__ == "__main__":
    main()
