"""Measure whether seams of strips can be found and whether a strip shows one heart, and write docs/strips.md's tables.

    python scripts/measure_strips.py seams heart variability picture --data ../shared/data/ptbxl_folds1-9 \\
        --kept build/strips

--kept is a folder for the strips, which are not made again; they are of the quality standard. --only measures one way
of making them.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from docs_page import IMAGES, ROOT, parser, table, write_parts

from sssd import SSSDECG
from sssd.batch import Given
from sssd.cli import main as command
from sssd.evaluation import classifier
from sssd.evaluation.auc import single_auc
from sssd.labels import CODES
from sssd.leads import EIGHT, to_eight
from sssd.request import Request
from sssd.signals.beats import find_beats, heart_rate
from sssd.strips import Strip

PAGE = ROOT / "docs/strips.md"
SECONDS, FS_HZ, WINDOW = 60, 100, 1000
HALF = 100  # samples: half of the 2 s that the classifier sees
SHARED, EDGE = 500, 20  # samples that a continued window repeats, and that are cut off its end

Joined = tuple[np.ndarray, list[int]]  # strips (n, 8, L) in mV, and where their seams are


def together(overlap: float) -> Callable[[SSSDECG, Request, int], Joined]:
    def make(model: SSSDECG, request: Request, seed: int) -> Joined:
        strip = Strip(SECONDS * FS_HZ, WINDOW, (SECONDS * FS_HZ,), FS_HZ, overlap)
        made = []
        for i in range(0, len(request), 8):
            part = request.part(slice(i, i + 8))
            how: dict = dict(strip=strip, rows=48, **part.known)
            made.append(
                model.generate_batch(part.parts, [seed] * len(part), part.numbers, model.step_table(), **how)
            )
        return torch.cat(made)[..., : strip.samples].numpy(), list(strip.seams)

    return make


def averaged(model: SSSDECG, request: Request, seed: int) -> Joined:
    """The predictions of two windows are averaged over all of their overlap, by weights that rise along it."""
    with mock.patch("sssd.strips.FADE", 0.46):
        return together(0.5)(model, request, seed)


def continued(model: SSSDECG, request: Request, seed: int) -> Joined:
    """Each window begins with the last 5 s of the one before, which are held fixed (Wang et al. 2023, DDNM)."""
    table, parts, seams = model.step_table(), [], []
    last = model.sample(request, table, seed=seed, progress=False)[..., :-EDGE]
    parts.append(last)
    while sum(part.shape[-1] for part in parts) < SECONDS * FS_HZ:
        seams.append(sum(part.shape[-1] for part in parts))
        made = []
        for i in range(0, len(request), 48):
            rows = slice(i, i + 48)
            known = last[rows, :, -SHARED:]

            def project(x: torch.Tensor, known: torch.Tensor = known) -> torch.Tensor:
                return torch.cat((known.to(x), x[..., SHARED:]), -1)

            part = request.part(rows)
            given = Given(known=project)
            made.append(
                model.sample(part, table, seed=seed + len(parts), progress=False, given=given, batch_size=48)
            )
        last = torch.cat(made)[..., :-EDGE]
        parts.append(last[..., SHARED:])
    return torch.cat(parts, -1)[..., : SECONDS * FS_HZ].numpy(), seams


def apart(model: SSSDECG, request: Request, seed: int) -> Joined:
    """Windows of their own, crossfaded within 1 s: what the classifier should find."""
    table, fade = model.step_table(), torch.linspace(0, 1, FS_HZ)
    out = model.sample(request, table, seed=seed, progress=False)[..., :-EDGE]
    seams = []
    while out.shape[-1] < SECONDS * FS_HZ:
        new = model.sample(request, table, seed=seed + 1 + len(seams), progress=False)[..., EDGE:-EDGE]
        seams.append(out.shape[-1] - FS_HZ // 2)
        mixed = (1 - fade) * out[..., -FS_HZ:] + fade * new[..., :FS_HZ]
        out = torch.cat((out[..., :-FS_HZ], mixed, new[..., FS_HZ:]), -1)
    return out[..., : SECONDS * FS_HZ].numpy(), seams


METHODS: dict[str, Callable[[SSSDECG, Request, int], Joined]] = {
    "windows of their own, crossfaded in 1 s": apart,
    "each continues the one before": continued,
    "together, overlap 2 s": together(0.2),
    "together, overlap 5 s, averaged over all of it": averaged,
    "together, overlap 5 s": together(0.5),
}


BUILT_IN = "together, overlap 2 s"


def kept(folder: Path, name: str, make: Callable[[], Joined]) -> tuple[np.ndarray, list[int], float]:
    """Strips and seams of a file, or make them and keep them; and the seconds that it took."""
    file = folder / f"{name}.npz"
    if not file.exists():
        started = time.monotonic()
        signal, seams = make()
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, signal=signal.astype(np.float32), seams=seams, took=time.monotonic() - started)
    with np.load(file) as data:
        return data["signal"], data["seams"].tolist(), float(data["took"])


def cut(signal: np.ndarray, centres: list[int]) -> np.ndarray:
    """Windows of 2 s (n, centres, 8, 200), each lead less its mean."""
    whole = [at for at in centres if HALF <= at <= signal.shape[-1] - HALF]
    parts = np.stack([signal[..., at - HALF : at + HALF] for at in whole], axis=1)
    return parts - parts.mean(axis=-1, keepdims=True)


def area(positive: np.ndarray, negative: np.ndarray, epochs: int) -> tuple[float, int]:
    """AUC of the residual network, two-fold over strips, and windows of each kind."""
    each = min(positive.shape[1], negative.shape[1])
    scores, truth = [], []
    for fold in (0, 1):
        fit, test = (np.arange(len(positive)) % 2 == fold, np.arange(len(positive)) % 2 != fold)
        x = [
            np.concatenate((p[:, :each].reshape(-1, 8, 2 * HALF), n[:, :each].reshape(-1, 8, 2 * HALF)))
            for p, n in ((positive[rows], negative[rows]) for rows in (fit, test))
        ]
        y = [np.repeat([1, 0], len(part) // 2)[:, None] for part in x]
        scores.append(
            classifier.train_and_predict(x[0], y[0], x[1], seed=fold, epochs=epochs, width=32)[:, 0]
        )
        truth.append(y[1][:, 0])
    found = np.mean([single_auc(t, s) for t, s in zip(truth, scores, strict=True)])
    return float(found), positive[:, :each].shape[0] * each


def seams(model: SSSDECG, options: argparse.Namespace) -> str:
    request = model.request(num_samples=options.strips, seed=11)
    plain = model.request(num_samples=options.strips, seed=12)
    tag = Path(options.checkpoint or "built-in").stem
    rows = []
    single, _, _ = kept(
        options.kept,
        f"plain-{tag}",
        lambda: (model.sample(plain, model.step_table(), seed=12, progress=False).numpy(), []),
    )
    for name, make in METHODS.items():
        if options.only and name not in options.only:
            continue
        file = f"{'-'.join(name.replace(',', '').split())}-{tag}"
        signal, at, took = kept(options.kept, file, lambda make=make: make(model, request, 11))
        ends = [WINDOW // 2, *at, signal.shape[-1] - WINDOW // 2]
        between = [(a + b) // 2 for a, b in zip(ends, ends[1:], strict=False)]
        found, n = area(cut(signal, at), cut(signal, between), options.epochs)
        inner = list(range(150, WINDOW - 150, 100))
        strange, _ = area(cut(signal, at), cut(single[: len(signal)], inner), options.epochs)
        amplitude = cut(signal, at).std() / cut(single[: len(signal)], inner).std()
        rows.append(
            [name, f"{found:.2f}", f"{strange:.2f}", f"{amplitude:.2f}", f"{n}", f"{took / len(signal):.1f}"]
        )
        print(rows[-1], flush=True)
    return table(
        [
            "windows are made",
            "AUC, seams against places between them",
            "AUC, seams against records of 10 s",
            "amplitude at seams, of that of these records",
            "windows of each kind",
            f"s for a strip of {SECONDS} s",
        ],
        rows,
    )


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of the median beats of two stretches (8, samples), NaN without beats."""
    beats = []
    for x in (a, b):
        at = [i for i in find_beats(x, FS_HZ) if 25 <= i < x.shape[-1] - 40]
        if not at:
            return float("nan")
        beat = np.median([x[:, i - 25 : i + 40] for i in at], axis=0)
        beats.append((beat - beat.mean(axis=-1, keepdims=True)).ravel())
    return float(np.corrcoef(*beats)[0, 1])


def rate(x: np.ndarray) -> float:
    return heart_rate(find_beats(x, FS_HZ), FS_HZ)


def axis_and_size(x: np.ndarray) -> tuple[float, float]:
    """The electrical axis of the QRS complex in degrees, by the areas in I and aVF, and its height, mean over leads."""
    at = [i for i in find_beats(x, FS_HZ) if 10 <= i < x.shape[-1] - 10]
    if not at:
        return float("nan"), float("nan")
    beat = np.median(
        [x[:, i - 8 : i + 9] - x[:, i - 8 : i - 5].mean(axis=1, keepdims=True) for i in at], axis=0
    )
    one, avf = (
        beat[EIGHT.index("I")].sum(),
        2 / np.sqrt(3) * beat[EIGHT.index("aVF")].sum(),
    )  # aVF is weaker by this
    return float(np.degrees(np.arctan2(avf, one))), float(np.ptp(beat, axis=1).mean())


def heart(model: SSSDECG, options: argparse.Namespace) -> str:
    def row(name: str, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[str]:
        pairs = list(pairs)
        like = [likeness(a, b) for a, b in pairs]
        faster = np.nanmedian([abs(rate(a) - rate(b)) for a, b in pairs])
        (axis, size), (axis_2, size_2) = (
            np.array([axis_and_size(x) for x in side]).T for side in zip(*pairs, strict=True)
        )
        turned = np.nanmedian(np.abs((axis - axis_2 + 180) % 360 - 180))
        grown = np.nanmedian(np.abs(size_2 / size - 1))
        return [
            name,
            f"{np.nanmedian(like):.2f}",
            f"{np.nanquantile(like, 0.1):.2f}",
            f"{faster:.1f}",
            f"{turned:.0f}",
            f"{100 * grown:.0f} %",
        ]

    made, real = strips_of(options)
    rows = [
        row(f"{later} s later", ((x[:, :500], x[:, 100 * later : 100 * later + 500]) for x in made[BUILT_IN]))
        for later in (5, 10, 20, 30, 50)
    ]
    for name, signal in made.items():
        if name != BUILT_IN:
            rows.append(row(f"30 s later, {name}", ((x[:, :500], x[:, 3000:3500]) for x in signal)))
    if real is not None:
        rows.append(row("5 s later, recordings of PTB-XL", ((x[:, :490], x[:, 500:990]) for x in real)))
    head = [
        "first 5 s against",
        "likeness of beats (median)",
        "10th percentile",
        "change of heart rate, /min (median)",
        "turn of the QRS axis, degrees (median)",
        "change of QRS height (median)",
    ]
    return table(head, rows)


def strips_of(options: argparse.Namespace) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """The strips that `seams` has kept, by the way in which they were made, and recordings, if they are there."""
    tag = Path(options.checkpoint or "built-in").stem
    files = {name: options.kept / f"{'-'.join(name.replace(',', '').split())}-{tag}.npz" for name in METHODS}
    made = {name: np.load(file)["signal"] for name, file in files.items() if file.exists()}
    real = None
    if options.data is not None:
        with np.load(options.data / "signals.npz") as file:
            real = to_eight(file["signal_uv"][file["strat_fold"] == 9].astype(np.float32) / 1000)[..., :990]
    return made, real


def variability(model: SSSDECG, options: argparse.Namespace) -> str:
    """Variability of sinus rhythm: within 10 s, where recordings have it as well, and over the strip."""
    request = model.request(num_samples=options.strips, seed=11)
    sinus = request.vectors[:, CODES.index("SR")] > 0
    made, real = strips_of(options)
    sets = {"strips": made[BUILT_IN][sinus[: len(made[BUILT_IN])]]}
    if real is not None:
        with np.load(options.data / "signals.npz") as file:
            sets["recordings of PTB-XL"] = real[
                file["labels"][file["strat_fold"] == 9][:, CODES.index("SR")] > 0
            ]

    def row(name: str, records: np.ndarray) -> list[str]:
        within = [_of_rr(x[:, i : i + 990]) for x in records for i in range(0, x.shape[-1] - 980, 1000)]
        sd, rmssd, after = np.nanmedian(within, axis=0)
        minute = ["", ""]
        if records.shape[-1] > 2 * WINDOW:
            whole = np.nanmedian([_of_rr(x) for x in records], axis=0)
            minute = [f"{whole[0]:.0f}", f"{whole[2]:.2f}"]
        return [name, f"{len(records)}", f"{sd:.0f}", f"{rmssd:.0f}", f"{after:.2f}", *minute]

    head = [
        "sinus rhythm in",
        "records",
        "SD of RR in 10 s, ms",
        "RMSSD in 10 s, ms",
        "RR against the next RR in 10 s, correlation",
        f"SD of RR in {SECONDS} s, ms",
        "correlation",
    ]
    return table(head, [row(name, records) for name, records in sets.items()])


def _of_rr(x: np.ndarray) -> tuple[float, float, float]:
    """The standard deviation of RR intervals and RMSSD in ms, and the correlation of an interval with the next."""
    rr = np.diff(find_beats(x, FS_HZ)) / FS_HZ
    if len(rr) < 4 or not rr[1:].std() or not rr[:-1].std():
        return (float("nan"),) * 3
    return 1e3 * rr.std(), 1e3 * np.sqrt((np.diff(rr) ** 2).mean()), float(np.corrcoef(rr[:-1], rr[1:])[0, 1])


def picture(_: SSSDECG, options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        given = (
            "generate --label NORM+SR@0-15 --label AFIB@15-30 --exact --seed 5 --annotate --format png --out"
        )
        of = ["--checkpoint", options.checkpoint] if options.checkpoint else []
        assert command([*given.split(), f"{folder}/strip", *of]) == 0
        shutil.copy(next(Path(folder, "strip").glob("NORM*.png")), IMAGES / "strip.png")
    return "![A strip that changes from sinus rhythm to atrial fibrillation](images/strip.png)"


PARTS: dict[str, Callable[[SSSDECG, argparse.Namespace], str]] = {
    "seams": seams,
    "heart": heart,
    "variability": variability,
    "picture": picture,
}


def main() -> None:
    of = parser(__doc__, PARTS, needs_data=False)
    of.add_argument("--kept", type=Path, required=True)
    of.add_argument("--strips", type=int, default=40)
    of.add_argument("--epochs", type=int, default=20)
    of.add_argument("--only", nargs="*", choices=METHODS)
    options = of.parse_args()
    model = SSSDECG.from_pretrained(options.checkpoint, device="cpu")
    write_parts(PAGE, {name: partial(PARTS[name], model, options) for name in options.parts})


if __name__ == "__main__":
    main()
