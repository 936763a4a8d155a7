"""Measure annotations against the marks of LUDB's cardiologists, and write the tables of docs/annotations.md.

    python scripts/measure_annotations.py ../shared/data/ecg_500hz --folds build/delineator

--folds has networks that did not see the recordings of their fold, by scripts/train_delineator.py. It takes two minutes
on one core of a CPU. Recordings are taken at 100 Hz, the rate of generated records, and marks are those in lead II.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from docs_page import IMAGES, ROOT, paste, table
from safetensors.torch import load_file
from train_delineator import FOLDS, ludb, marks

from sssd import SSSDECG, Ecg
from sssd.annotations import annotate, delineation, kinds
from sssd.cli import main as command
from sssd.leads import to_eight, to_twelve
from sssd.signals.delineator import WAVES, Delineator, probabilities, waves_of
from sssd.signals.waves import delineate

PAGE = ROOT / "docs/annotations.md"
POINTS = ("onset", "peak", "end")
NEAR_S = 0.15  # a mark is found if the same point is placed within this time
LABELS, EACH = ("NORM", "AFIB", "CLBBB", "PVC", "STACH"), 10

Found = dict[str, np.ndarray]  # wave -> onsets, peaks and ends in s, (n, 3), NaN where there is none


def network_alone(ecg: Ecg, model: Delineator) -> Found:
    """The peak is where the wave is farthest from the line between its ends in lead II."""
    lead, found = ecg.lead("II"), {}
    for wave, ends in waves_of(probabilities(model, to_eight(ecg.signal.astype(np.float64)))).items():
        rows = []
        for onset, end in ends:
            at = np.arange(int(np.ceil(onset * ecg.fs_hz)), int(end * ecg.fs_hz) + 1)
            line = np.interp(at, at[[0, -1]], lead[at[[0, -1]]])
            rows.append((onset, at[np.abs(lead[at] - line).argmax()] / ecg.fs_hz, end))
        found[wave] = np.array(rows).reshape(-1, 3)
    return found


def prominence_alone(ecg: Ecg) -> Found:
    from scipy.signal import resample_poly

    waves = delineate(resample_poly(ecg.lead("II").astype(np.float64), 5, 1, padtype="edge"), 5 * ecg.fs_hz)
    if waves is None:
        return {wave: np.zeros((0, 3)) for wave in WAVES}
    points = {
        "P": (waves.p_onset, waves.p_peak, waves.p_end),
        "QRS": (waves.qrs_onset, waves.r_peak, waves.qrs_end),
        "T": (waves.t_onset, waves.t_peak, waves.t_end),
    }
    return {wave: np.stack(three, axis=1) / waves.fs_hz for wave, three in points.items()}


def compared(found: list[Found], marked: dict[tuple[int, str], np.ndarray]) -> list[list[str]]:
    """For each wave and point: share of marks found, error in ms, share of what was found where nothing is marked."""
    rows = []
    for wave in WAVES:
        for k, point in enumerate(POINTS):
            errors, total, inside, extra = [], 0, 0, 0
            for row, record in enumerate(found):
                beats = marked[row, "QRS"]  # the first and the last cycle were not marked
                placed = record[wave][:, k]
                placed = placed[np.isfinite(placed)]
                true = marked.get((row, wave), np.zeros((0, 3)))[:, k]
                true = true[np.isfinite(true)]
                between = placed[(placed > np.nanmin(beats)) & (placed < np.nanmax(beats))]
                total, inside = total + len(true), inside + len(between)
                extra += sum(not (np.abs(true - at) <= NEAR_S).any() for at in between)
                for at in true:
                    if len(placed):
                        error = placed[np.abs(placed - at).argmin()] - at
                        errors += [error] if abs(error) <= NEAR_S else []
            ms = 1e3 * np.array(errors)
            rows.append(
                [
                    f"{wave} {point}",
                    f"{100 * len(ms) / total:.1f} %",
                    f"{ms.mean():+.1f} +- {ms.std():.1f}",
                    f"{100 * extra / max(inside, 1):.1f} %",
                ]
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument("--checkpoint", help="of the model whose records are annotated")
    options = parser.parse_args()
    marked = marks(options.data)
    ecgs = [Ecg(to_twelve(eight), 100.0) for eight in ludb(options.data)]
    models = []
    for fold in range(FOLDS):
        models.append(Delineator())
        models[-1].load_state_dict(load_file(options.folds / f"{fold}.safetensors"))
        models[-1].eval()
    agreed = [delineation(ecg, models[i % FOLDS]) for i, ecg in enumerate(ecgs)]
    methods = {
        "network": [network_alone(ecg, models[i % FOLDS]) for i, ecg in enumerate(ecgs)],
        "prominence": [prominence_alone(ecg) for ecg in ecgs],
        "both": [one.waves for one in agreed],
    }
    columns = {name: compared(found, marked) for name, found in methods.items()}
    head = [
        "point",
        *(f"{name}: {what}" for name in columns for what in ("found", "error, ms", "where none is")),
    ]
    rows = [
        [cells[0][0], *(value for cell in cells for value in cell[1:])]
        for cells in zip(*columns.values(), strict=True)
    ]
    text = [table(head, rows)]

    diagnoses = np.load(options.data / "ludb.npz")["dx"]
    ventricular = np.array(["entricular extrasystole" in words for words in diagnoses])
    unlike = np.array(["unlike" in kinds(ecg, one.qrs_s) for ecg, one in zip(ecgs, agreed, strict=True)])
    text.append(
        f"LUDB has {ventricular.sum()} recordings with ventricular extrasystoles. In {unlike[ventricular].sum()} of "
        f"them a beat is unlike the others in shape and width, and also in {unlike[~ventricular].sum()} of "
        f"the other {(~ventricular).sum()} recordings."
    )
    model = SSSDECG.from_pretrained(options.checkpoint, device="cpu")
    rows = []
    for label in LABELS:
        made = [annotate(ecg) for ecg in model.generate_ecgs(label, num_samples=EACH, seed=1)]
        marks_of = [one for ecg in made for one in ecg.annotations]
        left = {wave: sum(ecg.provenance["annotations"]["left_out"][wave] for ecg in made) for wave in WAVES}
        peaks = {wave: sum(m.wave == wave and m.symbol not in "()" for m in marks_of) for wave in WAVES}
        ends = sum(m.symbol in "()" for m in marks_of) / max(2 * sum(peaks.values()), 1)
        rows.append([label, *(f"{peaks[w]} ({left[w]})" for w in WAVES), f"{100 * ends:.0f} %"])
    text.append(
        table(
            ["10 generated records each of", *(f"{w} (left out)" for w in WAVES), "onsets and ends kept"],
            rows,
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        given = "generate --label SR --exact --seed 3 --annotate --format png --out"
        of = ["--checkpoint", options.checkpoint] if options.checkpoint else []
        assert command([*given.split(), f"{folder}/marked", *of]) == 0
        shutil.copy(next(Path(folder, "marked").glob("SR*.png")), IMAGES / "annotations.png")
    text.append("![A record with its annotations in lead II](images/annotations.png)")
    paste(PAGE, "annotations", "\n\n".join(text))
    print("\n\n".join(text))


if __name__ == "__main__":
    main()
