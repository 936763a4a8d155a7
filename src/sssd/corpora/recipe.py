"""How records are made: a recipe from a model and its settings, and from a recipe a function that makes batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..added_noise import parse
from ..config.names import CorpusFormat
from ..leads import CLINICAL, to_twelve
from ..request import known
from .block import LIMIT_UV, NOT_FINITE, Block, Extra
from .plan import Plan
from .schema import Corpus, Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..copied import Copied
    from ..model_wrapper import SSSDECG
    from ..samplers import StepTable
    from ..strips import Strip
    from .recordings import TakenRecordings

# The signals of a batch: 8 leads (B, 8, L) in mV, or a function that waits for 12 leads (B, 12, L) in microvolts, which
# a GPU has rounded and copies while it goes on.
Made = NDArray[np.float32] | Callable[[], NDArray[np.int16]]
# from the columns of a batch (index, labels, and age, sex and heart rate if the plan has them) to its signals
Generate = Callable[[Block], Made]
WINDOWS = 64  # of strips that the network reads at once


def describe(
    model: SSSDECG,
    plan: Plan,
    table: StepTable,
    *,
    seed: int,
    precision: str,
    source: str,
    checkpoint: str,
    config: Path | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    format: CorpusFormat = "parquet",
    shard_size: int = 4096,
    vary: float | None = None,
    steps: int | None = None,
    recordings: str | None = None,
    duration: float | None = None,
    noise: str | None = None,
    annotate: bool = False,
    fs: float | None = None,
) -> Corpus:
    """Return the description of a corpus that `model` makes of `plan`; it fixes everything that the bits depend on.

    vary, recordings, duration, noise, annotate: see `Recipe`. steps: of a whole run, where the table is that of a part.
    batch_size: records at once; a strip counts as its windows. fs: samples per second, by default those of the model.

    ValueError if the plan has an age, a sex or a heart rate that the model does not take, the noise makes no sense, or
    records of this rate cannot be made.
    """
    import torch

    from ..detail import network_for
    from ..device import choose_batch_size, precision_name
    from ..models.detail import FACTOR
    from ..signals.rates import FINE_HZ
    from ..version import __version__

    known(model.classes, age=plan.age, sex=_sexes(plan.sex), heart_rate=plan.heart_rate)
    _, window = model.shape
    detail = network_for(fs, model.fs_hz, model.device)
    fs_hz = float(model.fs_hz) if detail is None else FINE_HZ
    strip = _strip(duration, model)
    windows = 1 if strip is None else len(strip.pieces)
    samples = window if duration is None else round(duration * model.fs_hz)
    kinds = parse(noise, fs_hz)
    fits = batch_size or choose_batch_size(model.model.config, window, model.device)
    recipe = Recipe(
        records=plan.records,
        requests=plan.sha256,
        source=source,
        model=model.model_hash,
        checkpoint=checkpoint,
        config=None if config is None else model.config.content(),
        cauchy=model.model.cauchy,
        sampler=table.name,
        steps=table.S if vary is None or steps is None else steps,
        eta=table.settings.get("eta"),
        spacing=table.settings.get("spacing"),
        gain=tuple(table.gain.tolist()),
        fit=table.settings.get("fit"),
        seed=seed,
        precision=precision_name(precision, model.device),
        batch_size=batch_size
        if batch_size and windows == 1
        else whole_batches(max(1, fits // windows), shard_size, plan.records),
        threads=threads or torch.get_num_threads(),
        device=model.device.type,
        machine=_machine(model.device),
        generator=f"sssd-ecg {__version__}",
        torch=torch.__version__,
        vary=vary,
        recordings=recordings,
        duration=duration,
        noise=", ".join(map(str, kinds)) or None,
        annotate=annotate,
        detail=None if detail is None else detail.hash,
    )
    annotations: tuple[Extra, ...] = ("annotations",) if annotate else ()
    return Corpus(
        records=plan.records,
        shard_size=shard_size,
        format=format,
        label_names=plan.label_names,
        leads=CLINICAL,
        fs_hz=fs_hz,
        length=samples if detail is None else FACTOR * samples,
        extra=(*plan.extra, *annotations),
        parts=(recipe,),
    )


def whole_batches(size: int, shard_size: int, records: int) -> int:
    """Return the largest batch size, from `size` down to half of it, with which every shard is made of whole batches.

    Without one, `size` itself. A batch that lies in two shards is generated twice if two workers make these shards.
    """
    size = min(size, shard_size, records)
    return next((n for n in range(size, size // 2, -1) if shard_size % n == 0), size)


def check_weights(recipe: Recipe, model: SSSDECG) -> None:
    """Raise ValueError unless `model`, and the network for 500 Hz if it is used, have the weights of the recipe."""
    from ..detail import trained

    if model.model_hash != recipe.model:
        raise ValueError(
            f"the weights of the model ({recipe.checkpoint}) have the SHA-256 {model.model_hash[:12]}..., and the "
            f"corpus was begun with {recipe.model[:12]}...: give that model with --checkpoint"
        )
    if recipe.detail is not None and trained(model.device).hash != recipe.detail:
        raise ValueError(
            f"the corpus was begun with {recipe.generator}, whose weights for 500 Hz have the SHA-256 "
            f"{recipe.detail[:12]}...; those of this version are others: use that version"
        )


def check_device(recipe: Recipe, model: SSSDECG) -> None:
    """Raise ValueError unless `model` is on a device of the recipe's kind."""
    if model.device.type != recipe.device:
        raise ValueError(
            f"the corpus was begun on {recipe.device}, and {model.device.type} rounds differently: "
            f"use --device {recipe.device}"
        )


def differences(recipe: Recipe, model: SSSDECG) -> list[str]:
    """Return what has changed since the corpus was begun, so that new records may be rounded differently (1 uV)."""
    import torch

    from ..version import __version__

    found = [
        ("device", recipe.machine, _machine(model.device)),
        ("PyTorch", recipe.torch, torch.__version__),
        ("package", recipe.generator, f"sssd-ecg {__version__}"),
    ]
    return [
        f"the corpus was begun with the {name} {before}, and this is {now}: rounding may differ"
        for name, before, now in found
        if before != now
    ]


def _machine(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


def table_of(recipe: Recipe, model: SSSDECG) -> StepTable:
    """Return the step table of a recipe, with the gain and the fitted solver that it was begun with.

    They are settings of the checkpoint and not weights, so that another file with these weights may have others.
    """
    from ..config.schema import Fit
    from ..editing.change import partial_table
    from ..samplers import StepTable
    from ..sampling import Sampling

    config = model.config
    if recipe.fit is not None:
        fits = {"fits": [Fit(**recipe.fit)]}
        config = config.model_copy(update={"ddim_config": config.ddim_config.model_copy(update=fits)})
    sampling = Sampling(recipe.sampler, recipe.steps, recipe.eta, recipe.spacing)
    if recipe.vary is not None:
        return partial_table(model, sampling, recipe.vary)
    table = sampling.table(model.schedule, config)
    assert isinstance(table, StepTable)
    return table if recipe.gain is None else replace(table, gain=np.array(recipe.gain))


def generator(recipe: Recipe, model: SSSDECG, recordings: TakenRecordings | None = None) -> Generate:
    """Return the function that makes batches as the recipe says, with its number of CPU threads.

    recordings: those that the records are made of, if they are.
    """
    from ..copied import Copied
    from ..detail import at_500_hz, trained

    table, strip = table_of(recipe, model), _strip(recipe.duration, model)
    samples = None if recipe.duration is None else round(recipe.duration * model.fs_hz)
    detail = None if recipe.detail is None else trained(model.device)
    given_of = None if recordings is None else recordings.given(model)

    computed_further = recipe.annotate or recipe.noise is not None or detail is not None
    rounded = model.device.type == "cuda" and not computed_further

    def generate(columns: Block) -> Made:
        index, vectors = columns["index"].tolist(), columns["labels"].astype(np.float32)
        with _threads(recipe.threads):
            eight = model.batch_on_device(
                vectors if strip is None else vectors[:, None],
                [recipe.seed] * len(index),
                index,
                table,
                age=columns.get("age"),
                sex=_sexes(columns.get("sex")),
                heart_rate=columns.get("heart_rate"),
                precision=recipe.precision,
                given=None if given_of is None else given_of(columns["source"].tolist()),
                strip=strip,
                rows=WINDOWS,
            )
            if rounded:
                return partial(_array, Copied(microvolts(eight[..., :samples])))
            signals = np.asarray(eight.cpu())[..., :samples]
            if detail is None:
                return signals
            return at_500_hz(detail, signals, [recipe.seed] * len(index), index)

    return generate


def microvolts(eight_mv: Tensor) -> Tensor:
    """Return 12 leads (B, 12, L) in whole microvolts, int16, of 8 leads (B, 8, L) in mV, on their device.

    The numbers are those of `generation.quantised`; NaN and infinity become NOT_FINITE.
    """
    twelve = to_twelve(eight_mv)
    units = (twelve.double() * 1000.0).round().clamp(-LIMIT_UV, LIMIT_UV)
    return units.where(twelve.isfinite(), NOT_FINITE).short()


def _array(copied: Copied) -> NDArray[np.int16]:
    return np.asarray(copied.wait())


def _strip(duration: float | None, model: SSSDECG) -> Strip | None:
    """Return the windows of records of so many seconds; None where the model makes them at once."""
    from ..strips import strip_of

    seconds = () if duration is None else (duration,)
    return strip_of(seconds, window=model.shape[1], fs_hz=model.fs_hz)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let PyTorch use this number of CPU threads, and afterwards the number it used before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _sexes(sex: NDArray[np.str_] | None) -> list[str | None] | None:
    """Return sexes as `generate` takes them: by name, None where unknown."""
    return None if sex is None else [name or None for name in sex.tolist()]
