"""Measures this machine: one network evaluation and whole ECGs, for the published network and the built-in model.

The baseline is the same network as SSSD-ECG runs it: in float32, without the engine, with the S4 kernels of every layer
computed at every step. For the built-in model there are also the qualities, as users ask for them: one record, a batch,
a corpus from its start until it is verified, and a record from the command line with all that is imported for it.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .config.schema import PUBLISHED, read_config
from .corpora import recipe, run
from .corpora.formats import check_format
from .corpora.plan import like_ptbxl
from .corpora.verify import verify
from .device import choose_device, choose_precision, precision_name
from .engine.bound import bind
from .model_wrapper import SSSDECG
from .models.denoiser import Denoiser
from .models.function import biases, denoise
from .models.network import Network
from .models.weights import effective_weights
from .presets import BUILTIN, PRESETS, Preset

MODELS = (BUILTIN, "published")  # the second: SSSD-ECG's configuration with random weights
MANY = 256  # records of a batch on a GPU; on a CPU a few are as fast per record
FEW = 4
BATCH = {"cuda": 4096, "cpu": 32}  # records of a batch in which qualities are measured
CORPUS = {"cuda": 32768, "cpu": 64}  # and of the corpus
CORPUS_QUALITY = "standard"
LONGEST = 10.0  # seconds for one measurement


@dataclass(frozen=True)
class Row:
    """One measurement: the seconds for one record, which takes `evaluations` of the network.

    quality, records: set where whole ECGs of a quality are measured, `records` at once.
    """

    model: str
    case: str
    precision: str
    seconds: float
    evaluations: int
    times_faster: float | None  # than the baseline with as many evaluations
    quality: str | None = None
    records: int = 1


@dataclass(frozen=True)
class Missing:
    """What is not measured on this machine, and why."""

    case: str
    why: str


def median_seconds(
    function: Callable[[], object], device: torch.device, repeats: int = 20, longest: float = LONGEST
) -> float:
    """Return the median wall time of `repeats` calls, or of as many as fit into `longest` seconds.

    A first call is not counted, unless it takes longer than that by itself.
    """

    def once() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    first = once()
    if first > longest:
        return first
    times = [once()]
    while len(times) < repeats and sum(times) < longest:
        times.append(once())
    return statistics.median(times)


def machine(device: torch.device) -> str:
    """Return the name of the machine that was measured."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device.type}, {torch.get_num_threads()} threads"


def measure(
    device: str | torch.device | None = None,
    precision: str = "auto",
    *,
    models: Sequence[str] = MODELS,
    longest: float = LONGEST,
) -> Iterator[Row | Missing]:
    """Yield the rows of the table as they are measured, which takes about three minutes on two CPU cores.

    In the end come rows that say what this machine does not measure. ValueError if it does not have the device.
    """
    where = choose_device(device)
    dtype, name = choose_precision(precision, where), precision_name(precision, where)
    many = MANY if where.type == "cuda" else FEW
    for which in models:
        model = SSSDECG.from_pretrained(device=where) if which == BUILTIN else random_published(where)
        baseline = median_seconds(partial(unbound, model.model, *inputs(model, 1)), where, 3, longest)
        yield Row(which, "1 step, nothing kept between steps", "float32", baseline, 1, 1.0)
        for records in (1, many):
            x, cond, _ = inputs(model, records)
            predict = bind(model.model, cond, [100], length=x.shape[-1], dtype=dtype)
            seconds = median_seconds(partial(predict, x, 0), where, longest=longest) / records
            yield Row(which, f"1 step, batch {records}", name, seconds, 1, baseline / seconds)
        if which == "published" and where.type != "cuda":
            continue  # a minute each
        for records, steps in ((1, 20), (1, 50), (many, 20)):
            seconds = (
                median_seconds(partial(ecgs, model, records, steps, precision), where, 3, longest) / records
            )
            yield Row(
                which, f"DDIM {steps}, batch {records}", name, seconds, steps, baseline * steps / seconds
            )
    if BUILTIN in models:
        yield from measure_qualities(where, precision, longest=longest)
    yield from missing(where)


def measure_qualities(where: torch.device, precision: str, *, longest: float) -> Iterator[Row | Missing]:
    """Yield how long ECGs of each quality take: from Python, in a corpus, and from the command line."""
    name = precision_name(precision, where)
    many = BATCH.get(where.type, BATCH["cpu"])
    batch, model = {}, SSSDECG.from_pretrained(device=where)
    for quality, preset in PRESETS.items():
        row = partial(Row, BUILTIN, evaluations=preset.steps, times_faster=None, quality=quality)
        for case, twelve in (("one record, 8 leads", False), ("one record, 12 leads", True)):
            once = partial(of_quality, model, preset, 1, precision, twelve=twelve)
            seconds = median_seconds(once, where, longest=longest)
            yield row(case=f"{quality}: {case}", precision=name, seconds=seconds)
        once = partial(of_quality, model, preset, many, precision)
        batch[quality] = median_seconds(once, where, 3, longest) / many
        case = f"{quality}: batch {many}"
        yield row(case=case, precision=name, seconds=batch[quality], records=many)
        if quality == CORPUS_QUALITY:
            records = CORPUS.get(where.type, CORPUS["cpu"])
            try:
                check_format("parquet")
            except (ValueError, ModuleNotFoundError) as error:
                yield Missing("corpus, from its start until it is verified", str(error))
                continue
            seconds = corpus_seconds(model, preset, records, precision) / records
            share = f"{batch[quality] / seconds:.0%} of the speed of generating alone"
            case = f"{quality}: corpus of {records} in Parquet, verified ({share})"
            yield row(case=case, precision=name, seconds=seconds, records=records)
    for quality in PRESETS:
        seconds = command_seconds(quality, where, precision)
        case = f"{quality}: first record from the command line"
        yield Row(BUILTIN, case, name, seconds, PRESETS[quality].steps, None)


def missing(where: torch.device) -> Iterator[Missing]:
    """Yield what this command does not measure here."""
    gpus = torch.cuda.device_count()
    if where.type != "cuda":
        yield Missing("published network, whole ECGs and batch 256", "a minute each: it needs a GPU")
        yield Missing("training step", "it needs a GPU; there, benchmarks/training.py measures it")
    else:
        yield Missing("training step", "benchmarks/training.py measures it")
    if gpus < 2:
        yield Missing("corpus on several GPUs by Ray", f"this machine has {gpus or 'no'} GPU")
    else:
        yield Missing("corpus on several GPUs by Ray", "benchmarks/million.py --gpus measures it")
    yield Missing("the service under load", "benchmarks/server.py measures it, with 64 clients")


def of_quality(
    model: SSSDECG, preset: Preset, records: int, precision: str, *, twelve: bool = False
) -> object:
    """Generate records of one quality: 8 leads in an array, or records with 12 leads."""
    make = model.generate_ecgs if twelve else model.generate
    return make(
        "NORM", num_samples=records, sampler=preset.sampler, steps=preset.steps, ddim_eta=preset.eta,
        spacing=preset.spacing, seed=0, batch_size=records, precision=precision, progress=False,
    )  # fmt: skip


def corpus_seconds(model: SSSDECG, preset: Preset, records: int, precision: str) -> float:
    """Make a corpus in a temporary folder, verify it and remove it; return the seconds of the first two."""
    plan = like_ptbxl(records)
    table = model.step_table(
        sampler=preset.sampler, steps=preset.steps, ddim_eta=preset.eta, spacing=preset.spacing
    )
    corpus = recipe.describe(
        model, plan, table, seed=0, precision=precision, source="a benchmark",
        checkpoint=BUILTIN,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="sssd-ecg-") as folder:
        place, start = Path(folder) / "corpus", time.perf_counter()
        run.create(place, corpus, plan, run.local(recipe.generator(corpus.parts[0], model)))
        problems = verify(place)
        seconds = time.perf_counter() - start
    if problems:
        raise RuntimeError(f"the corpus is not as it was written: {problems[0]}")
    return seconds


def command_seconds(quality: str, where: torch.device, precision: str) -> float:
    """Return the median wall time of three calls of `sssd-ecg generate` for one record, each in a new process."""
    times = []
    with tempfile.TemporaryDirectory(prefix="sssd-ecg-") as folder:
        for i in range(3):
            asked = [
                "generate",
                "--label",
                "AFIB",
                "--quality",
                quality,
                "--device",
                str(where),
                "--seed",
                "0",
            ]
            asked += ["--precision", precision, "--format", "npz", "--out", str(Path(folder) / f"{i}"), "-q"]
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-m", "sssd", *asked], capture_output=True, text=True)
            times.append(time.perf_counter() - start)
            if done.returncode:
                raise RuntimeError(f"`sssd-ecg generate` failed: {done.stderr.strip()}")
    return statistics.median(times)


def sentence(rows: Iterable[Row]) -> str | None:
    """Say in one sentence how long 1, 1,000 and 1,000,000 ECGs take by each quality; None if none was measured.

    One ECG takes what one with 12 leads takes, a thousand and a million what records in batches take.
    """
    each: dict[str, list[float]] = {}
    for row in rows:
        if row.quality is not None:  # one record with 8 leads, one with 12, a batch
            each.setdefault(row.quality, []).append(row.seconds)
    if not each:
        return None
    said = []
    for i, count in enumerate((1, 1_000, 1_000_000)):
        times = {
            quality: in_words(seconds[1] if count == 1 else count * seconds[2])
            for quality, seconds in each.items()
        }
        told = ", ".join(f"{time} ({quality})" for quality, time in times.items())
        said.append(f"{count:,} {('ECG takes', 'ECGs take', 'ECGs take')[i]} {told}")
    return f"Here {said[0]}; {said[1]}; and {said[2]}."


def in_words(seconds: float) -> str:
    """Return a time in its largest unit, with two digits: "9.5 ms", "12 s", "3.1 hours"."""
    units = [("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("s", 1.0), ("ms", 1e-3)]
    values = [(_two_digits(seconds / size), unit, size) for unit, size in units]
    value, unit, size = next((one for one in values if one[0] >= 1), values[-1])
    unit = unit.removesuffix("s") if value == 1 and size >= 60 else unit
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:g} {unit}"


def _two_digits(value: float) -> float:
    return float(np.format_float_positional(value, precision=2, fractional=False))


def ecgs(model: SSSDECG, records: int, steps: int, precision: str) -> Tensor:
    """Generate whole ECGs of random labels."""
    vectors = inputs(model, records)[1].cpu()
    how = {"use_ddim": True, "ddim_timesteps": steps, "seed": 0, "batch_size": records}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the random labels are rare
        return model.generate(vectors, precision=precision, progress=False, **how)  # type: ignore


def random_published(device: torch.device) -> SSSDECG:
    """Return the published network with random weights, even in the last layer, which is zero before training."""
    with torch.random.fork_rng(devices=[]):  # random weights are drawn on the CPU
        torch.default_generator.manual_seed(0)
        model = SSSDECG(read_config(PUBLISHED), device=device)
        assert isinstance(model.model, Denoiser)
        last = model.model.outer_convs[2].weight
        last.data.copy_(0.05 * torch.randn(last.shape, dtype=torch.float32))
    return model


def inputs(model: SSSDECG, records: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x (B, 8, L), random labels (B, K) and steps (B, 1) on the model's device."""
    classes, random = len(model.label_names), torch.Generator().manual_seed(0)
    x = torch.randn(records, *model.shape, generator=random)
    cond = (torch.rand(records, classes, generator=random) < 3 / classes).float()
    return x.to(model.device), cond.to(model.device), torch.full((records, 1), 100.0, device=model.device)


@torch.no_grad()
def unbound(net: Network, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
    """Evaluate the network without keeping anything between calls."""
    if not isinstance(net, Denoiser):
        return net.predict(x, cond, steps)
    return denoise(effective_weights(net, x.shape[-1]), x, biases(net, cond, steps))
