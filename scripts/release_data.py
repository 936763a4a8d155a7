"""Prepare the recordings that the released weights are trained on: python scripts/release_data.py DATA OUT

DATA holds ptbxl_folds1-9/ (signals.npz and metadata.csv), and beside it, if they are there, ecg_500hz/ with six other
public sets at 500 Hz, and ptbxl_rescaled_100hz.npz with records of PTB-XL whose amplitudes were restored. OUT gets one
folder for each set, as `sssd-ecg prepare` writes it: ptbxl, chapman_ningbo, cpsc2018, ... and ptbxl_restored.
"""

from __future__ import annotations

import argparse
import csv
import lzma
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sssd.data.challenge import patient_of
from sssd.data.recordings import FILE, Recordings, write
from sssd.io.recording import read_recording
from sssd.io.wfdb_header import RecordingError
from sssd.labels import CODES
from sssd.leads import EIGHT, to_twelve
from sssd.patient import ABOVE_89, HIDDEN, from_cells
from sssd.record import Ecg
from sssd.snomed import snomed

SETS = ("chapman_ningbo", "cpsc2018", "cpsc_extra", "georgia", "ptb", "ludb")

# What the words of the Lobachevsky University database stand for. "complete right" is not in "incomplete right".
WORDS = {
    "sinus rhythm": "SR",
    "sinus bradycardia": "SBRAD",
    "sinus tachycardia": "STACH",
    "sinus arrhythmia": "SARRH",
    "atrial fibrillation": "AFIB",
    "atrial flutter": "AFLT",
    r"\bcomplete right bundle": "CRBBB",
    r"\bincomplete right bundle": "IRBBB",
    r"\bcomplete left bundle": "CLBBB",
    r"\bincomplete left bundle": "ILBBB",
    "left anterior hemiblock": "LAFB",
    "left ventricular hypertrophy": "LVH",
    "right ventricular hypertrophy": "RVH",
    "left atrial": "LAO/LAE",
    "right atrial": "RAO/RAE",
    r"\bi degree av": "1AVB",
    r"\biii degree av": "3AVB",
    "pacing": "PACE",
    "ventricular extrasystole": "PVC",
    "atrial extrasystole": "PAC",
    "non-specific repolarization": "NST_",
    "ischemia": "ISC_",
    "stemi": "STE_",
    "intravintricular conduction": "IVCD",
}


def main() -> None:
    """Prepare every set that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    made = {"ptbxl": ptbxl(args.data / "ptbxl_folds1-9")}
    for name in SETS:
        if (args.data / "ecg_500hz" / f"{name}.npz").exists():
            made[name] = at_500_hz(args.data / "ecg_500hz" / name)
    if (args.data / "ptbxl_rescaled_100hz.npz").exists():
        made["ptbxl_restored"] = restored(args.data / "ptbxl_rescaled_100hz")
    for name, recordings in made.items():
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / FILE, recordings, overwrite=True)
        print(f"{folder}: {len(recordings)} recordings")


def ptbxl(folder: Path) -> Recordings:
    """Return PTB-XL's recordings at 100 Hz with their folds, ages and sexes."""
    with np.load(folder / "signals.npz") as arrays:
        given = {name: arrays[name] for name in arrays.files}
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        about = {int(float(row["ecg_id"])): row for row in csv.DictReader(file)}
    rows = [about[int(number)] for number in given["ecg_id"]]
    patients = [from_cells(row["age"], row["sex"]) for row in rows]
    return Recordings(
        signal_uv=given["signal_uv"],
        labels=given["labels"],
        label_names=tuple(str(name) for name in given["label_names"]),
        strat_fold=given["strat_fold"].astype(np.int64),
        record_id=given["ecg_id"],
        age=np.array([age for age, _ in patients]),
        sex=np.array([sex for _, sex in patients]),
    )


def at_500_hz(path: Path) -> Recordings:
    """Return the recordings of another set at 100 Hz, in the form of PTB-XL."""
    eight_uv = differences(path.with_suffix(".npy.xz"))
    with np.load(path.with_suffix(".npz")) as arrays:
        about = {name: arrays[name] for name in arrays.files}
    signals, labels, patients = [], [], []
    for k, one in enumerate(eight_uv):
        ecg = Ecg(to_twelve(one.astype(np.float64) / 1000), fs_hz=500)
        try:
            signal_mv = read_recording(ecg).signal_mv
        except RecordingError:
            continue
        signals.append(np.clip(np.rint(1000 * signal_mv), -32767, 32767).astype(np.int16))
        labels.append(statements(str(about["dx"][k])))
        patients.append(patient_of(str(about["age"][k]), str(about["sex"][k])))
    return Recordings(
        signal_uv=np.stack(signals),
        labels=np.stack(labels),
        label_names=CODES,
        age=np.array([age for age, _ in patients]),
        sex=np.array([sex for _, sex in patients]),
    )


def restored(path: Path) -> Recordings:
    """Return records of PTB-XL whose amplitudes were restored, and which are right only under noise."""
    eight_uv = differences(path.with_suffix(".npy.xz"))
    with np.load(path.with_suffix(".npz")) as arrays:
        about = {name: arrays[name] for name in arrays.files}
    twelve_mv = to_twelve(eight_uv.astype(np.float32) / 1000)
    return Recordings(
        signal_uv=np.clip(np.rint(1000 * twelve_mv), -32767, 32767).astype(np.int16),
        labels=about["labels"],
        label_names=tuple(str(name) for name in about["label_names"]),
        record_id=about["ecg_id"],
        age=np.where(about["age"] == HIDDEN, ABOVE_89, about["age"]),
        sex=about["sex"].astype(np.float64),
        coarse=np.ones(len(eight_uv), dtype=np.uint8),
    )


def differences(file: Path) -> NDArray[np.int16]:
    """Return signals (n, 8, L) in microvolts, leads I V1..V6 aVF, from their first differences."""
    with lzma.open(file) as compressed:
        steps: NDArray[np.int16] = np.load(compressed, allow_pickle=False)
    assert steps.shape[1] == len(EIGHT)
    return np.cumsum(steps, axis=-1, dtype=np.int16)


def statements(diagnoses: str) -> NDArray[np.uint8]:
    """Return the label vector (71,) of SNOMED CT codes, words of CPSC 2018 or words of LUDB."""
    vector = np.zeros(len(CODES), dtype=np.uint8)
    known = snomed().statements
    for code in re.split(r"[,;]\s*", diagnoses):
        vector[list(known.get(code.strip(), ()))] = 1
    for words, name in WORDS.items():
        if re.search(words, diagnoses.lower()):
            vector[CODES.index(name)] = 1
    return vector


if __name__ == "__main__":
    main()
