"""Train the delineator of sssd.signals.delineator on the marks of LUDB.

    python scripts/train_delineator.py ../shared/data/ecg_500hz --folds build/delineator

writes src/sssd/signals/delineator.safetensors, trained on all 200 recordings, and one file for each of five folds into
--folds. These have not seen the recordings of their fold, so that scripts/measure_annotations.py measures with them. It
takes about ten minutes on one core of a CPU.
"""

from __future__ import annotations

import argparse
import csv
import lzma
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from sssd.io.recording import resampled
from sssd.leads import to_eight, to_twelve
from sssd.signals.delineator import FS_HZ, WAVES, Delineator, scaled

SHIPPED = Path(__file__).parents[1] / "src/sssd/signals/delineator.safetensors"
FOLDS, EPOCHS, BATCH, RATE = 5, 60, 16, 3e-3
CROP = 512  # samples
LUDB_HZ = 500.0
UNKNOWN_S = 0.2  # about a peak whose onset or offset was not marked


def ludb(folder: Path) -> np.ndarray:
    """The recordings of LUDB, (200, 8, 1000) in mV at 100 Hz."""
    with lzma.open(folder / "ludb.npy.xz") as file:
        eight = np.cumsum(np.load(file), axis=-1, dtype=np.int16) / 1e3
    return np.stack([to_eight(resampled(record, LUDB_HZ, FS_HZ)) for record in to_twelve(eight)])


def marks(folder: Path, lead: str = "II") -> dict[tuple[int, str], np.ndarray]:
    """(row, wave) -> onset, peak and offset in s, (n, 3), as the cardiologists marked them in one lead."""
    found: dict[tuple[int, str], list[list[float]]] = {}
    with (folder / "ludb_waves.csv").open() as file:
        for row in csv.DictReader(file):
            if row["lead"] == lead:
                points = [float(row[name] or "nan") / LUDB_HZ for name in ("onset", "peak", "offset")]
                found.setdefault((int(row["row"]), row["wave"]), []).append(points)
    return {key: np.array(points) for key, points in found.items()}


def targets(marked: dict[tuple[int, str], np.ndarray], records: int, length: int) -> np.ndarray:
    """The class of each sample (records, length): 0 to 2 for P, QRS and T, 3 for none, -1 where nothing was marked."""
    y = np.full((records, length), -1)
    time = np.arange(length) / FS_HZ
    for row in range(records):
        all_points = np.concatenate([marked[row, wave] for wave in WAVES if (row, wave) in marked])
        y[row, (time >= np.nanmin(all_points)) & (time <= np.nanmax(all_points))] = len(WAVES)
        for k, wave in enumerate(WAVES):
            for onset, peak, offset in marked.get((row, wave), ()):
                if np.isfinite(onset + offset):
                    y[row, (time >= onset) & (time <= offset)] = k
                else:
                    y[row, np.abs(time - peak) < UNKNOWN_S] = -1
    return y


def changed(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A crop of a record (8, L) at another pace, with other amplitudes, noise and wander, some without all leads."""
    pace = np.exp(random.uniform(np.log(0.6), np.log(1.25)))
    span = min(int(CROP * pace), x.shape[1] - 1)
    start = random.integers(0, x.shape[1] - span)
    at = start + np.linspace(0, span, CROP, endpoint=False)
    whole, part = at.astype(int), at % 1
    out = (1 - part) * x[:, whole] + part * x[:, np.minimum(whole + 1, x.shape[1] - 1)]
    out = out * np.exp(random.normal(0, 0.3, (8, 1))) * np.exp(random.normal(0, 0.3))
    out = out + random.normal(0, 1, out.shape) * random.uniform(0, 0.03, (8, 1))
    hz, phase = random.uniform(0.05, 0.5), random.uniform(0, 2 * np.pi)
    wander = np.sin(2 * np.pi * hz * np.arange(CROP) / FS_HZ + phase)
    out = out + random.normal(0, 0.1, (8, 1)) * wander
    if random.random() < 0.3:
        out = out * (random.random((8, 1)) < 0.7)
    return out, y[np.rint(at).astype(int)]


def train(x: np.ndarray, y: np.ndarray, seed: int) -> Delineator:
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Delineator().train()
    batches = EPOCHS * (len(x) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=batches)
    for _ in range(EPOCHS):
        order = random.permutation(len(x))
        for rows in order[: len(x) // BATCH * BATCH].reshape(-1, BATCH):
            pairs = [changed(x[row], y[row], random) for row in rows]
            given = scaled(np.stack([a for a, _ in pairs]))
            wanted = torch.from_numpy(np.stack([b for _, b in pairs]))
            loss = nn.functional.cross_entropy(model(given), wanted, ignore_index=-1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    print(f"last loss {loss.item():.3f}", flush=True)
    return model.eval()


def save(model: Delineator, path: Path) -> None:
    state = {name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    save_file(state, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=Path, required=True)
    options = parser.parse_args()
    x = ludb(options.data)
    y = targets(marks(options.data), len(x), x.shape[-1])
    options.folds.mkdir(parents=True, exist_ok=True)
    for fold in range(FOLDS):
        seen = np.arange(len(x)) % FOLDS != fold
        save(train(x[seen], y[seen], fold), options.folds / f"{fold}.safetensors")
    save(train(x, y, FOLDS), SHIPPED)


if __name__ == "__main__":
    main()
