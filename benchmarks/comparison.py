"""Writes docs/comparison.md: this package beside others that generate 12-lead ECGs, measured with the tools of others.

    python benchmarks/comparison.py SIGNALS.npz --records 200

SIGNALS.npz holds real recordings with folds, as `sssd-ecg prepare` writes them. The same number of records is made
with each generator that is installed, brought to 100 Hz and 12 leads by one function, and compared with that many real
records of fold 9. What is not installed is named and left out:

    pip install neurokit2; pip install --no-deps deepfake-ecg ecgen ecgen-eval
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sssd import SSSDECG, Ecg  # noqa: E402
from sssd.data import recordings  # noqa: E402
from sssd.io.files import write_bytes  # noqa: E402
from sssd.io.recording import read_recording  # noqa: E402
from sssd.leads import CLINICAL, to_twelve, twelve_from  # noqa: E402
from sssd.version import __version__  # noqa: E402

PAGE = Path(__file__).resolve().parents[1] / "docs" / "comparison.md"
FS_HZ = 100
LAGS_S = 2.0

# From what each says of itself (`SOURCES`). "-": no such thing is described there.
FEATURES = {
    "": ("sssd-ecg", "ECGEN", "DiffuSETS", "SynthECG", "deepfake-ecg", "NeuroKit2 (ecg_simulate)"),
    "what it is": ("generator with weights, and training", "framework for training",
                   "generator with weights, and training", "framework for training and evaluation",
                   "generator with weights", "simulator (ordinary differential equations)"),
    "weights in the package": ("yes, of PTB-XL", "no; one GAN at the Hugging Face Hub",
                               "no package; at the Hugging Face Hub, of MIMIC-IV-ECG", "no package, no weights", "yes",
                               "needs none"),
    "methods": ("diffusion with a transformer, in 8 to 200 evaluations; with S4 for checkpoints of SSSD-ECG",
                "VAE, GAN, VQ-VAE, diffusion with DDIM, rectified flow, and these in latent space",
                "diffusion in latent space, 1,000 steps in its example",
                "two GANs, two diffusion models (one is SSSD-ECG)", "GAN", "ECGSYN"),
    "statements": ("71 of PTB-XL, or your own", "class labels and statements, if trained with them", "as text",
                   "5 classes of PTB-XL, if trained with them", "-", "-"),
    "age, sex": ("yes", "tabular fields, if trained with them", "yes", "-", "-", "-"),
    "heart rate": ("yes", "measurements, if trained with them", "yes", "-", "-", "yes"),
    "reports as text": ("known words, without a language model", "encoders, if trained with them",
                        "yes, by embeddings of a language model", "-", "-", "-"),
    "recordings as a start": ("vary, edit, complete leads and samples", "inpainting of leads and time spans", "-", "-",
                              "-", "-"),
    "leads, rate": ("12 at 100 Hz, files at 500 Hz", "as trained", "12 at 102.4 Hz", "12 at 100 Hz", "8 at 500 Hz",
                    "12 at any rate"),
    "files": ("WFDB, EDF+, DICOM, challenge, NPZ, CSV, pictures; sharded corpora", "WFDB, CSV, NPY, pictures",
              "pictures", "NPY", "ASC", "data frame"),
    "evaluation": ("yes", "yes", "scripts of its experiments", "yes", "-", "-"),
    "service, page": ("yes", "-", "-", "-", "-", "-"),
}  # fmt: skip
SOURCES = (
    "What is said of ECGEN comes from its page in the package index and its command line, what is said of DiffuSETS "
    "and SynthECG from their repositories (PKUDigitalHealth/DiffuSETS, pedrodevog/SynthECG), and what is said of the "
    "others from their code. `-` means that nothing of the kind was found there."
)


def installed(package: str) -> str | None:
    """Return the version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def as_ours(signal_mv: np.ndarray, names: tuple[str, ...], fs_hz: float) -> np.ndarray:
    """Return (12, 1000) in mV at 100 Hz in the form of PTB-XL."""
    twelve, _ = twelve_from(np.asarray(signal_mv, np.float64), names)
    return read_recording(Ecg(twelve, fs_hz)).signal_mv


def ours(quality: str, vectors: np.ndarray) -> np.ndarray:
    eight = SSSDECG.from_pretrained(device="cpu").generate(vectors, quality=quality, seed=7)
    return to_twelve(eight.numpy()).astype(np.float64)


def neurokit(vectors: np.ndarray) -> np.ndarray:
    import neurokit2

    random, made = np.random.default_rng(7), []
    for k in range(len(vectors)):
        rate = int(np.clip(random.normal(70, 15), 45, 120))
        table = neurokit2.ecg_simulate(
            duration=10, sampling_rate=500, heart_rate=rate, method="multileads", random_state=k
        )
        made.append(as_ours(table.to_numpy().T, tuple(table.columns), 500.0))
    return np.stack(made)


def deepfake(vectors: np.ndarray) -> np.ndarray:
    import deepfakeecg
    import torch

    torch.manual_seed(7)
    names, made = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        deepfakeecg.generate(len(vectors), folder)
        for k in range(len(vectors)):
            made.append(as_ours(np.loadtxt(Path(folder) / f"{k}.asc").T / 1000, names, 500.0))
    return np.stack(made)


GENERATORS: dict[str, tuple[str | None, Callable[[np.ndarray], np.ndarray]]] = {
    "sssd-ecg, draft": (None, lambda vectors: ours("draft", vectors)),
    "sssd-ecg, standard": (None, lambda vectors: ours("standard", vectors)),
    "deepfake-ecg": ("deepfake-ecg", deepfake),
    "NeuroKit2": ("neurokit2", neurokit),
}


def autocorrelation_difference(real: np.ndarray, made: np.ndarray) -> float:
    """Return the mean absolute difference, over leads and lags to 2 s, of the mean autocorrelations of two sets."""

    def mean(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        power = np.abs(np.fft.rfft(centred, 2 * x.shape[-1])) ** 2
        function = np.fft.irfft(power)[..., : round(LAGS_S * FS_HZ) + 1]
        return np.asarray((function / function[..., :1]).mean(axis=0))

    return float(np.abs(mean(real) - mean(made)).mean())


def figures(real: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Return the figures of two sets (n, 12, 1000) in mV by the tools that are installed."""
    found: dict[str, float] = {}
    if installed("ecgen"):
        from ecgen import evaluation

        by_features = evaluation.distribution_metrics(real, made, fs=FS_HZ)
        found |= {f"ECGEN: {name.replace('_', ' ')}": float(value) for name, value in by_features.items()}
        found["ECGEN: correlation of leads, error"] = evaluation.inter_lead_correlation_error(real, made)
    if installed("ecgen-eval"):
        from ecgen_eval.metrics.heart_rate import HeartRateMetric
        from ecgen_eval.metrics.psd import PSDMetric
        from ecgen_eval.metrics.spectral_entropy import SpectralEntropyMetric
        from ecgen_eval.metrics.swd import SWDMetric

        metrics: dict[str, Any] = {
            "spectra (JS)": PSDMetric(fs=FS_HZ),
            "spectral entropy": SpectralEntropyMetric(fs=FS_HZ),
            "sliced Wasserstein": SWDMetric(),
            "heart rate": HeartRateMetric(fs=FS_HZ),
        }
        for name, metric in metrics.items():
            found[f"ecgen-eval: {name}"] = float(metric.compute(real, made, list(CLINICAL)).score)
    found["autocorrelation difference"] = autocorrelation_difference(real, made)
    return found


def page(rows: dict[str, dict[str, float]], seconds: dict[str, float], records: int, command: str) -> str:
    """Return the text of the page. rows: the figures of each set. seconds: of a core, for each record."""
    versions = {name: installed(name) for name in ("ecgen", "ecgen-eval", "deepfake-ecg", "neurokit2")}
    measured = ", ".join(f"{name} {found}" for name, found in versions.items() if found)
    absent = [name for name, found in versions.items() if not found]
    head, *features = FEATURES.items()
    names = list(next(iter(rows.values())))
    better = {name: "higher" if name.endswith(("precision", "recall")) else "lower" for name in names}
    lines = [
        "# Comparison with other generators",
        "",
        f"Written by `{command}` on {date.today().isoformat()}: {platform.machine()}, {os.cpu_count()} CPU cores. "
        f"sssd-ecg {__version__}, {measured}.",
        *([f"Not installed, so left out: {', '.join(absent)}."] if absent else []),
        "",
        "ECGEN is a framework without weights of a diffusion model in its package, so no records of it could be "
        "made; its measures are used below. DiffuSETS, SynthECG and ConTSG-Bench were not found in the "
        "package index, so nothing was measured of them.",
        "",
        "## What each can do",
        "",
        f"| {' | '.join((head[0], *head[1]))} |",
        f"|{'---|' * (1 + len(head[1]))}",
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in features),
        "",
        SOURCES,
        "",
        "## Time",
        "",
        "Processor time of all cores together, from loading the weights to the last record, with 12 leads at 100 Hz.",
        "",
        "| generator | seconds of a core for each record | records per second of a core |",
        "|---|---|---|",
        *(f"| {name} | {value:.3g} | {1 / value:.3g} |" for name, value in seconds.items()),
        "",
        "## By the measures of others",
        "",
        f"{records} records of each against {records} real records of fold 9 of PTB-XL. sssd-ecg was given the label "
        "vectors of these; the others take no statements. NeuroKit2 was given heart rates of 70 +- 15 per minute, and "
        "its numbers are taken as mV. The "
        f"column `real` holds {records} other real records, of folds 1 to 8: read each row against it.",
        "",
        f"| | better | {' | '.join(rows)} |",
        f"|{'---|' * (len(rows) + 2)}",
        *(
            f"| {name} | {better[name]} | {' | '.join(f'{found[name]:.3g}' for found in rows.values())} |"
            for name in names
        ),
        "",
        "The autocorrelation difference is the mean absolute difference, over leads and lags up to 2 s, of the mean "
        "autocorrelation of a record; ConTSG-Bench and other benchmarks of time series have a measure of this name.",
        "",
        "sssd-ecg learnt from PTB-XL, and deepfake-ecg from other recordings with other filters, which these distances "
        "show as well. They say how alike two sets are, not whether one is of use. [Evaluation](evaluation.md) "
        "measures that.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("signals", type=Path)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    held = recordings.read(options.signals)
    if held.strat_fold is None:
        parser.error(f"{options.signals} has no strat_fold")
    random = np.random.default_rng(0)
    test, train = (
        random.choice(np.flatnonzero(chosen), options.records, replace=False)
        for chosen in (held.strat_fold == 9, held.strat_fold <= 8)
    )
    real, other = (held.signal_uv[rows].astype(np.float64) / 1000 for rows in (test, train))
    vectors = held.labels[test].astype(np.float32)
    rows, seconds = {"real": figures(real, other)}, {}
    for name, (package, generate) in GENERATORS.items():
        if package is not None and installed(package) is None:
            continue
        begun = time.process_time()
        made = generate(vectors)
        seconds[name] = (time.process_time() - begun) / options.records
        rows[name] = figures(real, made)
        print(name, f"{seconds[name]:.3g} s", rows[name], flush=True)
    command = f"python benchmarks/comparison.py {options.signals.name} --records {options.records}"
    write_bytes(options.out, page(rows, seconds, options.records, command).encode(), overwrite=True)


if __name__ == "__main__":
    main()
