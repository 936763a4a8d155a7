"""Measure how far noise disturbs detectors, and write the tables and the picture of docs/noise.md.

    python scripts/measure_noise.py generated --checkpoint model.safetensors
    python scripts/measure_noise.py ludb --data ../shared/data/ecg_500hz

Each takes two minutes on one core of a CPU and needs NeuroKit2. In generated records, beats are those that the same
detector finds without noise. In the recordings of LUDB, they are those that cardiologists marked.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from docs_page import IMAGES, ROOT, parser, table, write_parts
from train_delineator import ludb, marks

from sssd import SSSDECG, Ecg
from sssd.added_noise import Noise, add_noise
from sssd.cli import main as command
from sssd.leads import to_twelve
from sssd.signals.beats import find_beats, qrs_width

PAGE = ROOT / "docs/noise.md"
LABELS, EACH = ("NORM", "AFIB", "CLBBB", "PVC"), 10
NEAR_S = 0.05
FOUND = [
    f"{what}, {detector}"
    for detector in ("all leads", "NeuroKit2 in II")
    for what in ("beats found", "finds that are beats")
]
ADDED = {
    "baseline": ("0.1mV", "0.3mV", "1mV", "3mV"),
    "muscle": ("20uV", "50uV", "100uV", "200uV"),
    "mains:50Hz": ("50uV", "200uV", "500uV"),
}
RATIOS_DB = (24, 12, 6)
EACH_KIND = {
    "baseline": (Noise("baseline", 1.0),),
    "muscle": (Noise("muscle", 1.0),),
    "mains, 50 Hz": (Noise("mains", 1.0, 50.0),),
}


def neurokit(ecg: Ecg) -> np.ndarray:
    import neurokit2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cleaned = neurokit2.ecg_clean(ecg.lead("II").astype(np.float64), sampling_rate=ecg.fs_hz)
        _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=ecg.fs_hz)
    return np.asarray(found["ECG_R_Peaks"])


def ours(ecg: Ecg) -> np.ndarray:
    return find_beats(ecg.signal, ecg.fs_hz)


def found(detect: Callable[[Ecg], np.ndarray], noisy: list[Ecg]) -> tuple[float, float]:
    """Sensitivity and positive predictive value over all beats of all records, within 50 ms."""
    pairs = [(detect(ecg.clean), detect(ecg)) for ecg in noisy if ecg.clean is not None]
    near = [np.abs(a[:, None] - b[None]) <= NEAR_S * noisy[0].fs_hz for a, b in pairs]
    hits, back = sum(n.any(axis=1).sum() for n in near), sum(n.any(axis=0).sum() for n in near)
    return hits / sum(len(a) for a, _ in pairs), back / max(sum(len(b) for _, b in pairs), 1)


def at_ratio(ecg: Ecg, kinds: Sequence[Noise], ratio_db: float, index: int) -> Ecg:
    """The record with noise of these kinds, equally strong, at a ratio of signal to noise in dB."""
    signal = ecg.signal.astype(np.float64)
    drawn = [one.draw(1, index, signal.shape[1], ecg.fs_hz, ecg.leads) for one in kinds]
    added = sum(one / np.sqrt((one**2).mean()) for one in drawn)
    power = ((signal - signal.mean(axis=1, keepdims=True)) ** 2).mean() / (added**2).mean()
    return Ecg(signal + added * np.sqrt(power / 10 ** (ratio_db / 10)), ecg.fs_hz)


def against_marks(found_s: list[np.ndarray], marked: list[np.ndarray]) -> tuple[float, float]:
    """Sensitivity and positive predictive value of beats, in s, against marked onsets, peaks and ends (n, 3).

    A beat counts from 50 ms before the onset to 50 ms after the end, and only between the first mark and the last.
    """
    hits = beats = finds = right = 0
    for at, points in zip(found_s, marked, strict=True):
        onset, end = (
            np.where(np.isfinite(points[:, k]), points[:, k], points[:, 1]) + sign * NEAR_S
            for k, sign in ((0, -1), (2, 1))
        )
        judged = at[(at > onset.min()) & (at < end.max())]
        inside = (judged[None] >= onset[:, None]) & (judged[None] <= end[:, None])
        found_once = int(inside.any(axis=1).sum())
        hits, right = hits + found_once, right + found_once
        beats, finds = beats + len(points), finds + len(judged)
    return hits / beats, right / max(finds, 1)


def by_cardiologists(options: argparse.Namespace) -> str:
    ecgs = [Ecg(to_twelve(eight), 100.0) for eight in ludb(options.data)]
    every = marks(options.data)
    marked = [every[row, "QRS"] for row in range(len(ecgs))]

    def row(name: str, ratio: str, noisy: list[Ecg]) -> list[str]:
        cells = [
            f"{100 * value:.1f} %"
            for detect in (ours, neurokit)
            for value in against_marks([detect(ecg) / ecg.fs_hz for ecg in noisy], marked)
        ]
        return [name, ratio, *cells]

    rows = [row("none", "", ecgs)]
    for name, kinds in {**EACH_KIND, "all three": sum(EACH_KIND.values(), ())}.items():
        for ratio in RATIOS_DB:
            rows.append(row(name, str(ratio), [at_ratio(ecg, kinds, ratio, i) for i, ecg in enumerate(ecgs)]))
            print(*rows[-1], flush=True)
    head = ["noise", "signal to noise, dB", *FOUND]
    count = sum(map(len, marked))
    return f"{table(head, rows)}\n\n{len(ecgs)} recordings with {count} marked QRS complexes."


def in_generated(options: argparse.Namespace) -> str:
    model = SSSDECG.from_pretrained(options.checkpoint, device="cpu")
    clean = model.generate_ecgs(list(LABELS), num_samples=EACH, seed=1)
    rows = []
    for kind, amplitudes in ADDED.items():
        for amplitude in amplitudes:
            noisy = [add_noise(ecg, f"{kind}:{amplitude}", seed=1, index=i) for i, ecg in enumerate(clean)]
            ratio = np.median([ecg.provenance["noise"]["snr_db"] for ecg in noisy])
            cells = [f"{100 * value:.1f} %" for detect in (ours, neurokit) for value in found(detect, noisy)]
            widths = [
                qrs_width(ecg.signal, ours(ecg.clean), ecg.fs_hz)
                - qrs_width(ecg.clean.signal, ours(ecg.clean), 100)
                for ecg in noisy
            ]
            rows.append(
                [
                    kind,
                    amplitude.replace("uV", " uV").replace("mV", " mV"),
                    f"{ratio:.1f}",
                    *cells,
                    f"{np.nanmedian(np.abs(widths)):.0f}",
                ]
            )
    head = [
        "noise",
        "amplitude",
        "signal to noise, dB (median)",
        *FOUND,
        "error of QRS width, ms (median)",
    ]
    text = f"{len(clean)} records, {EACH} each of {', '.join(LABELS)}."
    with tempfile.TemporaryDirectory() as folder:
        given = "generate --label SR --exact --seed 3 --format png".split()
        noise = ["--noise", "baseline:0.3mV, muscle:20uV, mains:50Hz"]
        given += ["--checkpoint", str(options.checkpoint)] if options.checkpoint else []
        assert command([*given, "--out", f"{folder}/noisy", *noise]) == 0
        shutil.copy(next(Path(folder, "noisy").glob("SR*.png")), IMAGES / "noise.png")
    return f"{table(head, rows)}\n\n{text}\n\n![A record with noise of all three kinds](images/noise.png)"


PARTS = {"generated": ("noise", in_generated), "ludb": ("ludb", by_cardiologists)}


def main() -> None:
    options = parser(__doc__, PARTS, needs_data=False).parse_args()
    chosen = [PARTS[name] for name in options.parts]
    write_parts(PAGE, {mark: partial(measure, options) for mark, measure in chosen})


if __name__ == "__main__":
    main()
