"""Measure how far noise disturbs detectors, and write the table and the picture of docs/noise.md.

    python scripts/measure_noise.py

It takes about a minute on one core of a CPU and needs NeuroKit2. Beats are those that the same detector finds in the
record without noise.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from docs_page import IMAGES, ROOT, paste, table

from sssd import SSSDECG, Ecg
from sssd.added_noise import add_noise
from sssd.cli import main as command
from sssd.signals.beats import find_beats, qrs_width

PAGE = ROOT / "docs/noise.md"
LABELS, EACH = ("NORM", "AFIB", "CLBBB", "PVC"), 10
NEAR_S = 0.05
ADDED = {
    "baseline": ("0.1mV", "0.3mV", "1mV", "3mV"),
    "muscle": ("20uV", "50uV", "100uV", "200uV"),
    "mains:50Hz": ("50uV", "200uV", "500uV"),
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


def main() -> None:
    model = SSSDECG.from_pretrained(device="cpu")
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
        "beats found, all leads",
        "finds that are beats, all leads",
        "beats found, NeuroKit2 in II",
        "finds that are beats, NeuroKit2 in II",
        "error of QRS width, ms (median)",
    ]
    text = f"{len(clean)} records, {EACH} each of {', '.join(LABELS)}."
    with tempfile.TemporaryDirectory() as folder:
        given = "generate --label SR --exact --seed 3 --format png --out".split()
        noise = ["--noise", "baseline:0.3mV, muscle:20uV, mains:50Hz"]
        assert command([*given, f"{folder}/noisy", *noise]) == 0
        shutil.copy(next(Path(folder, "noisy").glob("SR*.png")), IMAGES / "noise.png")
    paste(
        PAGE,
        "noise",
        f"{table(head, rows)}\n\n{text}\n\n![A record with noise of all three kinds](images/noise.png)",
    )
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
