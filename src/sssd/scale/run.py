"""Making a corpus: batches by record number, shards one after the other, writing while the next batch is generated.

Batch b holds records b B .. (b + 1) B - 1, and the last one is filled up: the shape of every computation, and with it
every bit, depends on the record's number alone, not on the shard it goes to or on where a run went on. Nothing is kept
but the batch at hand and the few that wait to be written.
"""

from __future__ import annotations

import errno
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..leads import CLINICAL, to_twelve
from . import manifest
from .card import write_card
from .lock import locked
from .manifest import FILE, REQUESTS, SPARE, Corpus, Recipe
from .plan import Plan
from .shards import LIMIT, Block, Shard, cut, record_name, remove, rows

if TYPE_CHECKING:
    import torch

    from ..model_wrapper import SSSDECG
    from ..samplers import StepTable

# record numbers (B,) and labels (B, K) -> 8 leads (B, 8, L) in mV
Generate = Callable[[NDArray[np.int64], NDArray[np.uint8]], NDArray[np.float32]]
Report = Callable[[int, int], None]  # records done, of all

AHEAD = 4  # batches that may wait to be written
FULL = (errno.ENOSPC, errno.EDQUOT)


def create(
    folder: Path, corpus: Corpus, plan: Plan, generate: Generate, *, progress: Report | None = None
) -> None:
    """Make a corpus in a new or empty folder. FileExistsError where it holds something else."""
    check_new(folder)
    with explained(folder, "begin again with the same command"):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            check_new(folder)
            manifest.begin(folder, corpus, plan)
            write_card(folder, corpus)
            _fill(folder, corpus, plan, generate, progress)


def resume(
    folder: Path, generate: Generate, *, check: bool = False, progress: Report | None = None
) -> list[int]:
    """Make the shards that are missing or of a wrong size, with `check` also those that were altered.

    Returns their numbers. ValueError where the corpus was merged, or neither copy of what it is is whole.
    """
    with explained(folder, resuming(folder)), locked(folder):
        manifest.restore(folder)
        corpus = manifest.read(folder)
        recipe_of(folder, corpus)
        return _fill(folder, corpus, manifest.read_plan(folder, corpus), generate, progress, check)


def check_new(folder: Path) -> None:
    """FileExistsError unless a corpus may begin in `folder`: it is absent, empty, or nothing came of an earlier one."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{str(folder)!r} is a file; choose another folder")
    if (folder / FILE).exists() or (folder / SPARE / FILE).exists():
        raise FileExistsError(
            f"{str(folder)!r} holds a corpus already: `sssd-ecg corpus resume {folder}`, or choose another folder"
        )
    begun = {".lock", "shards", "data", SPARE, REQUESTS}
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in begun and not p.name.endswith(".part"))
    if foreign:
        raise FileExistsError(
            f"the folder {str(folder)!r} is not empty, it holds {foreign[0]!r}; choose another"
        )


def recipe_of(folder: Path, corpus: Corpus) -> Recipe:
    """The recipe by which shards of a corpus can be made. ValueError where it was merged."""
    if len(corpus.parts) > 1:
        raise ValueError(f"{str(folder)!r} was merged from {len(corpus.parts)} corpora: merge them again")
    return corpus.parts[0]


def finished(folder: Path, corpus: Corpus, shard: int, *, check: bool = False) -> bool:
    """Whether a shard has its note and is there in its size; with `check` also with its SHA-256."""
    try:
        note = manifest.read_note(folder, corpus, shard)
        if note is None or manifest.size(folder / note.file) != note.bytes:
            return False
        return not check or manifest.file_hash(folder / note.file)[1] == note.sha256
    except (ValueError, FileNotFoundError):
        return False


# --- the recipe ---------------------------------------------------------------------------------------------------


def describe(
    model: SSSDECG,
    plan: Plan,
    table: StepTable,
    *,
    seed: int,
    eta: float,
    spacing: str,
    precision: str,
    source: str,
    checkpoint: str,
    config: Path | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    format: str = "parquet",
    shard_size: int = 4096,
) -> Corpus:
    """What a corpus of `plan` by `model` is, with everything fixed that its bits depend on."""
    import torch

    from .. import __version__
    from ..device import choose_batch_size, choose_precision

    ddim, (_, length) = table.name == "ddim", model.shape
    dtype = choose_precision(precision, model.device)
    recipe = Recipe(
        records=plan.records,
        requests=hashlib.sha256(plan.to_bytes()).hexdigest(),
        source=source,
        model=model.model_hash,
        checkpoint=checkpoint,
        config=None if config is None else model.config.model_dump(mode="json"),
        cauchy=model.model.cauchy,
        sampler=table.name,
        steps=table.S,
        eta=float(eta) if ddim else None,
        spacing=spacing if ddim else None,
        seed=seed,
        precision="bf16" if dtype == torch.bfloat16 else "float32",
        batch_size=batch_size or choose_batch_size(model.model.config, length, model.device),
        threads=threads or torch.get_num_threads(),
        device=model.device.type,
        machine=_machine(model.device),
        generator=f"sssd-ecg {__version__}",
        torch=torch.__version__,
    )
    return Corpus(
        records=plan.records,
        shard_size=shard_size,
        format=format,
        label_names=plan.label_names,
        leads=CLINICAL,
        fs_hz=float(model.config.trainset_config.sampling_rate),
        length=length,
        extra=tuple(name for name in ("age", "sex") if getattr(plan, name) is not None),
        parts=(recipe,),
    )


def check_model(recipe: Recipe, model: SSSDECG) -> None:
    """ValueError unless `model` is the one of the recipe, on the same kind of device."""
    if model.model_hash != recipe.model:
        raise ValueError(
            f"the weights of the model ({recipe.checkpoint}) have the SHA-256 {model.model_hash[:12]}..., and the "
            f"corpus was begun with {recipe.model[:12]}...: give that model with --checkpoint"
        )
    if model.device.type != recipe.device:
        raise ValueError(
            f"the corpus was begun on {recipe.device}, and this is {model.device.type}, which rounds otherwise: "
            f"go on with --device {recipe.device}"
        )


def differences(recipe: Recipe, model: SSSDECG) -> list[str]:
    """What may round otherwise than where the corpus was begun: records to come may then differ by 1 uV."""
    import torch

    from .. import __version__

    found = [
        ("device", recipe.machine, _machine(model.device)),
        ("PyTorch", recipe.torch, torch.__version__),
        ("package", recipe.generator, f"sssd-ecg {__version__}"),
    ]
    return [
        f"the corpus was begun with the {name} {before}, and this is {now}: its rounding may differ"
        for name, before, now in found
        if before != now
    ]


def _machine(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


# --- generating ---------------------------------------------------------------------------------------------------


def generator(recipe: Recipe, model: SSSDECG) -> Generate:
    """Batches as the recipe says; fixes PyTorch's number of threads."""
    import torch

    from ..model_wrapper import Request

    torch.set_num_threads(recipe.threads)

    def generate(index: NDArray[np.int64], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = Request(labels.astype(np.float32), ("",) * len(labels), tuple(index.tolist()))
        ecgs = model.generate(
            request,
            use_ddim=recipe.sampler == "ddim",
            ddim_timesteps=recipe.steps if recipe.sampler == "ddim" else None,
            ddim_eta=recipe.eta,
            spacing=recipe.spacing or "uniform",
            seed=recipe.seed,
            batch_size=recipe.batch_size,
            precision=recipe.precision,
            progress=False,
            return_numpy=True,
        )
        return np.asarray(ecgs)

    return generate


def batches(corpus: Corpus, plan: Plan, generate: Generate) -> Callable[[range], Iterator[Any]]:
    """Records as a function of their span: pieces (columns, 8 leads in mV), each of one batch.

    The last batch is kept, for it may reach into the next shard.
    """
    (recipe,) = corpus.parts
    last: list[Any] = [-1, None, None]

    def pieces(span: range) -> Iterator[Any]:
        size = recipe.batch_size
        for b in range(span.start // size, -(-span.stop // size)):
            if last[0] != b:
                index = np.arange(b * size, (b + 1) * size, dtype=np.int64)
                columns = {"index": index, **plan.rows(index, recipe.seed)}
                last[:] = b, columns, generate(index, columns["labels"])
            start, stop = max(span.start - b * size, 0), min(span.stop - b * size, size)
            yield cut(last[1], start, stop), last[2][start:stop]

    return pieces


def quantised(columns: Block, eight: NDArray[np.float32]) -> Block:
    """The columns with 12 leads in whole microvolts, cut off at +-32.767 mV. ValueError for NaN."""
    units = np.rint(to_twelve(eight).astype(np.float64) * 1000.0)
    finite = np.isfinite(units).all(axis=(1, 2))
    if not finite.all():
        record = int(columns["index"][~finite][0])
        raise ValueError(f"record {record} holds NaN or infinite values: the model cannot generate it")
    return {**columns, "signal_uv": np.clip(units, -LIMIT, LIMIT, out=units).astype(np.int16)}


# --- writing ------------------------------------------------------------------------------------------------------


def _fill(
    folder: Path,
    corpus: Corpus,
    plan: Plan,
    generate: Generate,
    progress: Report | None,
    check: bool = False,
) -> list[int]:
    """Make every shard that is not finished, and what stands beside the shards; returns the numbers made."""
    for place in ("data", "shards"):
        (folder / place).mkdir(exist_ok=True)
        for leftover in (folder / place).glob(".*.part"):
            remove(leftover)
    pieces = batches(corpus, plan, generate)
    done, made = 0, []
    for number in range(corpus.shards):
        span = corpus.span(number)
        if not finished(folder, corpus, number, check=check):
            write_shard(
                folder,
                corpus,
                number,
                pieces(span),
                lambda n, done=done: progress(done + n, corpus.records) if progress else None,  # type: ignore[misc]
            )
            made.append(number)
        done += len(span)
        if progress:
            progress(done, corpus.records)
    complete(folder, corpus)
    return made


def write_shard(
    folder: Path, corpus: Corpus, number: int, pieces: Iterator[Any], report: Callable[[int], None]
) -> None:
    """Write one shard in another thread while this one makes its pieces; what fails there is raised here."""
    with ThreadPoolExecutor(1, "writer") as thread:
        opened = thread.submit(Shard, folder, corpus, number)
        waiting: deque[Future[Any]] = deque([opened])
        records = 0
        try:
            for columns, eight in pieces:
                waiting.append(thread.submit(_append, opened, columns, eight))
                while waiting and (waiting[0].done() or len(waiting) > AHEAD):
                    waiting.popleft().result()
                records += rows(columns)
                report(records)
            for each in waiting:
                each.result()
            thread.submit(opened.result().finish).result()
        except BaseException:
            thread.shutdown(wait=True, cancel_futures=True)
            if opened.exception() is None:
                opened.result().abort()
            raise


def _append(opened: Future[Shard], columns: Block, eight: NDArray[np.float32]) -> None:
    opened.result().append(quantised(columns, eight))


def complete(folder: Path, corpus: Corpus) -> None:
    """Write what sums up all shards: the data card, and the list of records of WFDB."""
    write_card(folder, corpus, manifest.summary(corpus, manifest.notes(folder, corpus)))
    if corpus.format == "wfdb":
        part = manifest.beside(folder / "RECORDS")
        with part.open("w", encoding="ascii", newline="\n") as file:
            for number in range(corpus.shards):
                file.writelines(f"{corpus.file(number)}/{record_name(i)}\n" for i in corpus.span(number))
        manifest.sync(part)
        part.replace(folder / "RECORDS")


def resuming(folder: Path) -> str:
    return f"`sssd-ecg corpus resume {folder}` goes on"


@contextmanager
def explained(folder: Path, after: str) -> Iterator[None]:
    """Say what a full disk, a read-only or a vanished folder means for the corpus."""
    try:
        yield
    except OSError as error:
        text = str(error)
        if error.errno in FULL or "No space left" in text or "Disk quota exceeded" in text:
            reason = f"no space left on the disk of {str(folder)!r}: free some; finished shards are safe"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            reason = f"{str(folder)!r} cannot be written to: make it writable"
        elif isinstance(error, FileNotFoundError) and not (folder / "data").is_dir():
            reason = f"{str(folder)!r} was removed or moved during the run: put it back"
            after = resuming(folder)
        else:
            raise
        if (folder / FILE).exists():
            after = resuming(folder)
        new = OSError(f"{reason}; then {after}")
        new.errno = error.errno
        raise new from error
