"""Train the network of sssd.models.detail, which adds to records what they have above 46.5 Hz.

    python scripts/train_detail.py ../shared/data/ecg_500hz src/sssd/weights/detail.safetensors

reads recordings at 500 Hz: NAME.npy.xz has their first differences (n, 8, 5000), int16 in microvolts, leads I V1..V6
aVF, and NAME.npz what they are. Folds 1 to 8 of ptbxl.npy.xz train and fold 9 validates (strat_fold in ptbxl.npz); all
recordings of further sets train. On a CPU, --sets ptbxl --batch-size 64 --minutes 50 is enough; a GPU takes three
minutes for all of it.

For machines that files must be carried to, --pack 20 writes a part of the recordings into the folder OUT instead, in
the same form and of at most 20 MB.
"""

from __future__ import annotations

import argparse
import lzma
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sssd.detail import CUT_HZ, DetailScale, columns, known_of, ratios_of, shape_of
from sssd.loss import NoiseLevels, noise_levels
from sssd.models.detail import FACTOR, SHAPE, WINDOW, DetailNetwork, detail_schedule
from sssd.models.transformer import DATA_STD, LEADS
from sssd.signals.rates import FINE_HZ, band, decimated
from sssd.training.balance import Balance
from sssd.training.ema import WeightAverage, warmed_up_decay
from sssd.training.optimizer import adam, learning_rate_factor
from sssd.training.step import make_step

SETS = ("ptbxl", "chapman_ningbo", "cpsc2018", "cpsc_extra", "georgia", "ptb", "ludb")
CHUNK = 64  # recordings that are prepared at a time
ELSEWHERE = 0.03  # how likely a window begins anywhere, where one about a QRS complex has 1
RATE, WARMUP, AVERAGE, CLIP = 2e-3, 100, 0.998, 1.0
LOGGED, VALIDATED, STEPS = 100, 1024, (20, 50, 75, 99)  # iterations; windows; steps whose loss is shown


class Prepared:
    """Recordings as training needs them, from (n, 8, 5000) microvolts.

    x: (n, 8, 5000) their detail on the network's scale, with white noise in place of what is below `CUT_HZ`. That is
    taken out again after sampling, and so all is white to the network but QRS complexes. shape: (n, 32, 1000), levels:
    (n, 48). chance: (n, 1000) of a window to be about this sample.
    """

    def __init__(self, signal_uv: NDArray[np.int16], leads: Tensor) -> None:
        random = torch.Generator().manual_seed(0)
        parts = [_prepared(signal_uv[i : i + CHUNK], leads, random) for i in range(0, len(signal_uv), CHUNK)]
        self.x, self.shape, self.levels, self.chance = (torch.cat(part) for part in zip(*parts, strict=True))

    def to(self, device: torch.device) -> Prepared:
        for name in ("x", "shape", "levels", "chance"):
            setattr(self, name, getattr(self, name).to(device))
        return self


def _prepared(signal_uv: NDArray[np.int16], leads: Tensor, random: torch.Generator) -> tuple[Tensor, ...]:
    fine = signal_uv / 1e3
    known = known_of(decimated(fine))
    ratios = ratios_of(fine, known.level)
    detail = torch.from_numpy(band(fine, CUT_HZ, FINE_HZ, FINE_HZ).astype(np.float32))
    scale = DetailScale.of(known, ratios, leads)
    white = DATA_STD * torch.randn(detail.shape, generator=random)
    below = torch.fft.rfftfreq(fine.shape[-1], 1 / FINE_HZ) < CUT_HZ
    filling = torch.fft.irfft(torch.fft.rfft(scale.to_mv(white)) * below, fine.shape[-1])
    sharpest = scale.gain.amax(1)[:, ::FACTOR]
    return (
        scale.to_network(detail + filling).half(),
        torch.from_numpy(shape_of(known, ratios)).half(),
        torch.from_numpy(columns(known.level, ratios)).float(),
        (sharpest >= 0.5 * sharpest.amax(1, keepdim=True)).float() + ELSEWHERE,
    )


def correlation(signal_uv: NDArray[np.int16]) -> Tensor:
    """Return the mean correlation (8, 8) of the leads' detail, each with white noise, between QRS complexes."""
    total = torch.zeros(LEADS, LEADS)
    for i in range(0, len(signal_uv), CHUNK):
        fine = signal_uv[i : i + CHUNK] / 1e3
        known = known_of(decimated(fine))
        scale = DetailScale.of(known, ratios_of(fine, known.level), torch.eye(LEADS))
        x = scale.to_network(torch.from_numpy(band(fine, CUT_HZ, FINE_HZ, FINE_HZ).astype(np.float32)))
        for one, at in zip(x, (scale.gain < 1.1).all(1), strict=True):
            total += torch.corrcoef(one[:, at])
    return total / len(signal_uv)


def recordings(folder: Path, name: str) -> NDArray[np.int16]:
    """Return the recordings of a set, (n, 8, 5000) in microvolts at 500 Hz, from their first differences."""
    with lzma.open(folder / f"{name}.npy.xz") as file:
        return np.cumsum(np.load(file, allow_pickle=False), axis=-1, dtype=np.int16)


def pack(folder: Path, names: Sequence[str], out: Path, megabytes: float) -> None:
    """Write every so many-th recording of each set into a folder, in files of so many megabytes together."""
    out.mkdir(parents=True, exist_ok=True)
    share = 1e6 * megabytes / sum((folder / f"{name}.npy.xz").stat().st_size for name in names)
    for name in names:
        signal_uv = recordings(folder, name)
        rows = np.arange(0, len(signal_uv), max(1.0, 1 / (0.9 * share))).astype(int)
        with lzma.open(out / f"{name}.npy.xz", "wb") as file:
            np.save(file, np.diff(signal_uv[rows], axis=-1, prepend=0).astype(np.int16))
        with np.load(folder / f"{name}.npz") as about:
            given = {key: about[key] for key in about.files}
        whole = {key: value for key, value in given.items() if len(value) != len(signal_uv)}
        np.savez(
            out / f"{name}.npz",
            **{key: value[rows] for key, value in given.items() if key not in whole},
            **whole,
        )


def moving(signal_uv: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return in which recordings (n, 8, N) no lead is flat."""
    return (signal_uv.min(-1) < signal_uv.max(-1)).all(1)


def batch_of(data: Prepared, net: DetailNetwork, size: int, seed: int) -> tuple[Tensor, ...]:
    """Return a batch of windows: x (B, 8, N), what is given, steps (B,), noise (B, 8, N) and a mask of ones."""
    device = data.x.device
    random = torch.Generator(device).manual_seed(seed)
    rows = torch.randint(len(data.x), (size,), device=device, generator=random)
    length = data.shape.shape[-1]
    middle = torch.multinomial(data.chance[rows], 1, generator=random)[:, 0]
    shift = torch.randint(-WINDOW // 4, WINDOW // 4 + 1, (size,), device=device, generator=random)
    start = (middle + shift - WINDOW // 2).clamp(0, length - WINDOW)
    coarse = start[:, None] + torch.arange(WINDOW, device=device)
    fine = FACTOR * start[:, None] + torch.arange(FACTOR * WINDOW, device=device)
    leads = torch.arange(LEADS, device=device)[None, :, None]
    x = data.x[rows[:, None, None], leads, fine[:, None]].float()
    shape_rows = torch.arange(SHAPE * LEADS, device=device)[None, :, None]
    shape = data.shape[rows[:, None, None], shape_rows, coarse[:, None]].float()
    t = torch.randint(len(net.get_buffer("skip")), (size,), device=device, generator=random)
    z = torch.randn(x.shape, device=device, generator=random)
    return x, net.given(data.levels[rows], shape), t, z, torch.ones_like(x[:, :1])


def train(
    data: Prepared,
    held_out: Prepared,
    net: DetailNetwork,
    out: Path,
    *,
    iterations: int,
    size: int,
    minutes: float,
) -> None:
    """Train the network and write it with averaged weights. It stops after `minutes`, for which the rate falls too."""
    gpu = data.x.device.type == "cuda"
    levels = noise_levels(detail_schedule(), velocity=True, data_std=DATA_STD, device=data.x.device)
    optimizer = adam(net.parameters(), data.x.device, graph=gpu)
    average = WeightAverage(net)
    model = torch.compile(net) if gpu else net
    step = make_step(model, optimizer, list(net.parameters()), levels, CLIP, balance=Balance(levels))
    started, losses = time.monotonic(), []
    for i in range(iterations):
        passed = (time.monotonic() - started) / 60
        at = max(i, int(iterations * passed / minutes))
        if at >= iterations:
            break
        rate = RATE * min(1.0, (i + 1) / WARMUP) * learning_rate_factor(at, 0, iterations, True)
        losses.append(step(batch_of(data, net, size, i), rate))
        average.update(warmed_up_decay(AVERAGE, i))
        if (i + 1) % LOGGED == 0:
            with average.in_network():
                shown = " ".join(f"{loss:.4f}" for loss in losses_of(held_out, net, levels))
                out.write_bytes(net.content())
            mean = float(torch.stack(losses).mean())
            print(f"{i + 1}, {passed:.1f} min: loss {mean:.4f}, held out {shown}", flush=True)
            losses = []
    average.copy_to_network()
    out.write_bytes(net.content())


@torch.no_grad()
def losses_of(data: Prepared, net: DetailNetwork, levels: NoiseLevels) -> list[float]:
    """Return the loss of the same windows at each of `STEPS`; 1 is that of a network that only knows noise."""
    x, given, _, z, _ = batch_of(data, net, VALIDATED, 2**31)
    found = []
    for t in STEPS:
        alpha, sigma = levels.alpha[t], levels.sigma[t]
        steps = torch.full((1, 1), float(t), device=x.device)
        error = net(alpha * x + sigma * z, given, steps) - (alpha * z - sigma * x)
        found.append(float((levels.weight[t] * error**2).mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--iterations", type=int, default=6000)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--sets", nargs="+", default=SETS, help="those of them that are there are read")
    parser.add_argument("--pack", type=float, metavar="MB")
    options = parser.parse_args()
    there = [name for name in options.sets if (options.data / f"{name}.npz").exists()]
    if options.pack is not None:
        pack(options.data, there, options.out, options.pack)
        return
    device = torch.device(options.device)
    own = recordings(options.data, "ptbxl")
    with np.load(options.data / "ptbxl.npz") as about:
        fold = about["strat_fold"]
    fold, own = fold[moving(own)], own[moving(own)]
    others = [recordings(options.data, name) for name in there if name != "ptbxl"]
    torch.manual_seed(0)
    net = DetailNetwork(rows=int((fold < 9).sum()))
    net.leads.copy_(torch.linalg.cholesky(correlation(own[fold < 9])))
    data = Prepared(np.concatenate([own[fold < 9], *(one[moving(one)] for one in others)]), net.leads)
    held_out = Prepared(own[fold == 9], net.leads)
    net.mean.copy_(data.levels.mean(0))
    net.std.copy_(data.levels.std(0))
    net.rows.copy_((data.levels[: len(net.rows)] - net.mean) / net.std)
    print(f"{len(data.x)} recordings train, {len(net.rows)} of them of PTB-XL; {len(held_out.x)} validate")
    print(f"{sum(p.numel() for p in net.parameters())} parameters", flush=True)
    train(
        data.to(device),
        held_out.to(device),
        net.to(device),
        options.out,
        iterations=options.iterations,
        size=options.batch_size,
        minutes=options.minutes,
    )


if __name__ == "__main__":
    main()
