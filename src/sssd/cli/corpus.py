"""`sssd-ecg corpus`: sets of ECGs of any size, in shards that survive whatever stops a run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..presets import BUILTIN, WEIGHTS, is_builtin
from . import options
from .console import UsageError, note, progress_bar, say, usage
from .generate import load_model, sampling, tell_rare

if TYPE_CHECKING:
    from ..corpora.manifest import Corpus, Recipe
    from ..corpora.plan import Plan
    from ..model_wrapper import SSSDECG

EXAMPLES = {
    "create": "Examples: sssd-ecg corpus create --counts AFIB=2000,CLBBB+LVH=500 --out corpus --seed 7 | "
    "sssd-ecg corpus create --like-ptbxl 100000 --steps 20 --engine ray --out corpus",
    "resume": "Example: sssd-ecg corpus resume corpus",
    "verify": "Example: sssd-ecg corpus verify corpus",
    "info": "Example: sssd-ecg corpus info corpus",
    "convert": "Example: sssd-ecg corpus convert corpus corpus_wfdb --format wfdb",
    "merge": "Example: sssd-ecg corpus merge corpus_a corpus_b --out both",
}
Format = Literal["parquet", "hdf5", "wfdb", "npz"]
Folder = Annotated[Path, typer.Argument(help="Folder of a corpus.")]
MadeBy = Annotated[
    Literal["local", "ray"],
    typer.Option(
        help="local: in this process. ray: by workers with a GPU or a few cores each; the same bits."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of a Ray cluster, or auto; default: RAY_ADDRESS, or else Ray is started on this machine."
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Of Ray; default: as many as there is room for.")]
ShardSize = Annotated[int | None, typer.Option(min=1, help="Records per shard; default: as before.")]

app = typer.Typer(
    help="Sets of ECGs of any size: made in shards, resumed after a stop, checked, converted, merged.",
    rich_markup_mode="rich",
    no_args_is_help=True,
)


@app.command(epilog=EXAMPLES["create"])
def create(
    out: Annotated[Path, typer.Option(help="Folder to write; it must be new or empty.")],
    counts: Annotated[
        str | None, typer.Option(help="So many records of each: AFIB=2000,CLBBB+LVH=500.")
    ] = None,
    labels_from: Annotated[
        Path | None,
        typer.Option(
            help="CSV, one row per request: a column 'labels' with names joined by '+', or 0/1 columns named by "
            "statements; optionally columns 'age' and 'sex'."
        ),
    ] = None,
    like_ptbxl: Annotated[
        int | None, typer.Option(min=1, help="So many records, labelled in the mix of PTB-XL.")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Records per row of --labels-from.")] = 1,
    exact: options.Exact = False,
    file_format: Annotated[Format, typer.Option("--format", help="Of the shards.")] = "parquet",
    shard_size: Annotated[int, typer.Option(min=1, help="Records per shard.")] = 4096,
    seed: options.Seed = None,
    sampler: options.Sampler = None,
    steps: options.Steps = None,
    eta: options.Eta = None,
    spacing: options.Spacing = None,
    quality: options.Preset = None,
    age: options.Age = None,
    sex: options.Sex = None,
    checkpoint: options.Checkpoint = None,
    config: options.Configuration = None,
    cauchy: options.Convention = None,
    device: options.Device = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Records at once, fixed for the corpus; default: by itself.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="CPU threads, fixed for the corpus; default: all cores, with Ray 4 for each worker."
        ),
    ] = None,
    precision: options.Precision = "auto",
    engine: MadeBy = "local",
    address: Address = None,
    workers: Workers = None,
    quiet: options.Quiet = False,
) -> None:
    """Generate a corpus. Whatever stops it, `corpus resume` goes on, and the bits are the same."""
    with usage():
        from ..corpora import cluster, recipe, run
        from ..corpora.formats import check_format
        from ..corpora.plan import by_counts, from_csv, of_patients
        from ..corpora.plan import like_ptbxl as ptbxl
        from ..labels import CODES

        asked = [name for name, given in (("--counts", counts), ("--labels-from", labels_from),
                 ("--like-ptbxl", like_ptbxl)) if given is not None]  # fmt: skip
        if len(asked) != 1:
            given = " and ".join(asked) if asked else "none of them"
            raise UsageError(
                f"give one of --counts, --labels-from and --like-ptbxl to say what to make; got {given}"
            )
        if count != 1 and labels_from is None:
            raise UsageError(
                f"-n is {count}, records per row of --labels-from; {asked[0]} says how many itself"
            )
        options.check(seed, eta, config, checkpoint)
        checkpoint, asked_sampler, steps, eta = options.sampled(
            quality, checkpoint=checkpoint, sampler=sampler, steps=steps, eta=eta, spacing=spacing
        )
        _check_engine(engine, address, workers)
        check_format(file_format)
        run.check_new(out)

        def plan_for(names: tuple[str, ...]) -> tuple[Plan, str]:
            if counts is not None:
                plan, source = by_counts(counts, names, exact=exact), f"counts {counts}"
            elif labels_from is not None:
                plan = from_csv(labels_from, names, per_row=count, exact=exact)
                source = f"{labels_from.name}, {count} for each of {len(plan.which)} rows"
            else:
                plan, source = ptbxl(like_ptbxl or 0, names), "drawn in the mix of PTB-XL, folds 1 to 8"
            return of_patients(plan, age, sex), source

        if checkpoint is None:
            plan_for(CODES)  # before torch is loaded
        on_ray = engine == "ray"
        model = load_model(checkpoint, config, cauchy, "cpu" if on_ray else device)
        plan, source = plan_for(model.label_names)
        if plan.by_name:
            source += ", completed by statements that occur beside them"
        if age is not None:
            source += f", --age {age:g}"
        if sex is not None:
            source += f", --sex {sex}"
        name, steps, default_eta = sampling(model, asked_sampler, steps, eta)
        eta = default_eta if name == "ddim" else None
        table = model.step_table(sampler=name, steps=steps, ddim_eta=eta, spacing=spacing)
        drawn = seed is None
        how: dict[str, Any] = {
            "seed": secrets.randbits(32) if seed is None else seed, "eta": eta, "spacing": spacing,
            "precision": precision, "source": source, "config": config, "batch_size": batch_size, "threads": threads,
            "checkpoint": _place(checkpoint),
            "format": file_format, "shard_size": shard_size,
        }  # fmt: skip
    if checkpoint is None:
        tell_rare(plan.vectors.astype("float32"))
    with cluster.connected(address) if on_ray else nullcontext():
        with usage():
            if on_ray:
                corpus = cluster.describe(model, plan, table, device=device, **how)
                make = cluster.with_model(corpus, model, workers=workers, tell=note)
            else:
                corpus = recipe.describe(model, plan, table, **how)
                make = run.local(recipe.generator(corpus.parts[0], model))
        with _bar(quiet, "generating") as report:
            run.create(out, corpus, plan, make, progress=report)
    told = f", seed {how['seed']} (repeat with --seed {how['seed']})" if drawn else ""
    say(f"{_records(corpus)} in {out}{told}", f"data card: {out / 'README.md'}", quiet=quiet)


@app.command(epilog=EXAMPLES["resume"])
def resume(
    folder: Folder,
    check: Annotated[
        bool, typer.Option("--check", help="Read every shard and make those again that were altered.")
    ] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Where the checkpoint is now; it must be the same.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Default: the best there is of the kind it began on.")
    ] = None,
    engine: MadeBy = "local",
    address: Address = None,
    workers: Workers = None,
    quiet: options.Quiet = False,
) -> None:
    """Make the shards that are missing or damaged; the corpus ends as if nothing had happened."""
    with usage():
        from ..corpora import cluster, manifest, recipe, run

        _check_engine(engine, address, workers)
        corpus = manifest.read(folder)
        part, on_ray = run.recipe_of(folder, corpus), engine == "ray"
        model = _same_model(part, checkpoint, "cpu" if on_ray else device or part.device)
        if not on_ray:
            recipe.check_device(part, model)
    for difference in [] if on_ray else recipe.differences(part, model):
        note(difference)
    with cluster.connected(address) if on_ray else nullcontext():
        with usage():
            if on_ray:
                make = cluster.with_model(corpus, model, workers=workers, tell=note)
            else:
                make = run.local(recipe.generator(part, model))
        with _bar(quiet, "generating") as report:
            made = run.resume(folder, make, check=check, progress=report)
    what = f"made {len(made)} of {corpus.shards} shards" if made else "nothing was missing"
    say(f"{_records(corpus)} in {folder}: {what}", quiet=quiet)


@app.command(epilog=EXAMPLES["verify"])
def verify(folder: Folder, quiet: options.Quiet = False) -> None:
    """Read all of a corpus, and name every missing, truncated, altered or foreign file. Exit code 1 if there is one."""
    with usage():
        from ..corpora import manifest
        from ..corpora.verify import repair
        from ..corpora.verify import verify as check

        corpus = manifest.read(folder)
    with _bar(quiet, "verifying") as report:
        problems = check(folder, progress=report)
    if problems:
        say(*map(str, problems))
        raise ValueError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {folder}; to repair: "
            f"{repair(folder, corpus, problems)}"
        )
    say(f"{_records(corpus)} in {folder}: all of it is there, as it was written", quiet=quiet)


@app.command(epilog=EXAMPLES["info"])
def info(
    folder: Folder, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Say what a corpus is and how far it is."""
    with usage():
        import json

        from ..corpora import manifest, run

        corpus = manifest.read(folder)
    done = [n for n in range(corpus.shards) if run.finished(folder, corpus, n)]
    found = (manifest.read_note(folder, corpus, number) for number in done)
    total = manifest.summary(corpus, (each for each in found if each is not None))
    if as_json:
        state = {"finished_shards": len(done), "shards": corpus.shards, **total}
        print(json.dumps({**corpus.to_json(), "digest": corpus.digest, "state": state}, indent=2))
        return
    say(
        f"{_records(corpus)}: {len(done)} of {corpus.shards} shards are finished, {total['records']} records, "
        f"{total['bytes'] / 1e6:.1f} MB",
        f"signal: int16 uV, {len(corpus.leads)} leads x {corpus.length} samples at {corpus.fs_hz:g} Hz; "
        f"{' '.join(corpus.leads)}",
    )
    for part in corpus.parts:
        how = f"{part.sampler}, {part.steps} steps, {part.precision}, seed {part.seed}"
        say(f"{part.records} records: {part.source}; {how}; {part.checkpoint} {part.model[:12]}")
    if len(done) < corpus.shards:
        say(f"to complete it: {manifest.again(folder, corpus)}")


@app.command(epilog=EXAMPLES["convert"])
def convert(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="Folder to write; new, empty, or of a stopped conversion.")],
    file_format: Annotated[Format, typer.Option("--format", help="Of the new shards.")],
    shard_size: ShardSize = None,
    quiet: options.Quiet = False,
) -> None:
    """Write a corpus in another format; every shard is checked before it is read."""
    with usage():
        from ..corpora import copy, manifest
        from ..corpora.formats import check_format

        check_format(file_format)
        check_format(manifest.read(folder).format)
    with _bar(quiet, "converting") as report:
        corpus = copy.convert(folder, out, file_format, shard_size=shard_size, progress=report)
    say(f"{_records(corpus)} in {out}", quiet=quiet)


@app.command(epilog=EXAMPLES["merge"])
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of corpora.")],
    out: Annotated[Path, typer.Option(help="Folder to write; new, empty, or of a stopped merge.")],
    file_format: Annotated[
        Format | None, typer.Option("--format", help="Of the new shards; default: the first one's.")
    ] = None,
    shard_size: ShardSize = None,
    quiet: options.Quiet = False,
) -> None:
    """Write several corpora as one, one after the other, numbered anew."""
    with usage():
        from ..corpora import copy, manifest
        from ..corpora.formats import check_format

        if len(folders) < 2:
            raise UsageError(f"{len(folders)} corpus is given; merge takes two or more")
        for folder in folders:
            check_format(manifest.read(folder).format)
        if file_format is not None:
            check_format(file_format)
        keys = [(part.model, part.seed) for folder in folders for part in manifest.read(folder).parts]
    with _bar(quiet, "merging") as report:
        corpus = copy.merge(folders, out, format=file_format, shard_size=shard_size, progress=report)
    if len(set(keys)) < len(keys):
        note("two of these have the model and seed in common: records of one number share their noise")
    say(f"{_records(corpus)} in {out}", quiet=quiet)


def _place(checkpoint: Path | None) -> str:
    """Where `resume` finds a checkpoint: "builtin", weights that ship by their name on any machine, or a path."""
    if checkpoint is None:
        return BUILTIN
    return str(
        checkpoint if str(checkpoint) in WEIGHTS or is_builtin(str(checkpoint)) else checkpoint.resolve()
    )


def _same_model(recipe: Recipe, checkpoint: Path | None, device: str) -> SSSDECG:
    """The model the corpus was begun with. ValueError where it is another."""
    from ..config.schema import Config
    from ..corpora.recipe import check_weights
    from ..model_wrapper import SSSDECG

    place = checkpoint or (None if is_builtin(recipe.checkpoint) else Path(recipe.checkpoint))
    cauchy: Any = recipe.cauchy
    if recipe.config is not None and place is not None:
        model = SSSDECG(Config.model_validate(recipe.config), device=device).load_checkpoint(
            place, cauchy=cauchy
        )
    else:
        model = SSSDECG.from_pretrained(place, cauchy=cauchy, device=device)
    check_weights(recipe, model)
    return model


def _check_engine(engine: str, address: str | None, workers: int | None) -> None:
    given = [name for name, value in (("--address", address), ("--workers", workers)) if value is not None]
    if given and engine != "ray":
        raise UsageError(f"{given[0]} is for --engine ray, and the engine is {engine}")
    if engine == "ray":
        from ..corpora import cluster

        cluster.check(address)


def _records(corpus: Corpus) -> str:
    return f"{corpus.records} record{'s' if corpus.records > 1 else ''} ({corpus.format})"


@contextmanager
def _bar(quiet: bool, what: str) -> Iterator[Callable[[int, int], None]]:
    with progress_bar(quiet) as bar:
        task = bar.add_task(what, total=None)
        shown = 0.0

        def report(done: int, total: int) -> None:
            nonlocal shown
            if done == total or time.monotonic() - shown > 0.1:
                bar.update(task, completed=done, total=total)
                shown = time.monotonic()

        yield report
