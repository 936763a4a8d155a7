"""`sssd-ecg corpus create`: generate a corpus."""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...presets import BUILTIN, WEIGHTS, is_builtin
from .. import options
from ..console import UsageError, note, say, usage
from ..generate import load_model, note_rare
from .shared import Address, Engine, Format, Workers, check_engine, described, reporting

if TYPE_CHECKING:
    from ...corpora.plan import Plan


def command(
    out: Annotated[Path, typer.Option(help="Folder to write. It must be new or empty.")],
    counts: Annotated[
        str | None,
        typer.Option(help="Statements with the number of records of each, as in AFIB=2000,CLBBB+LVH=500."),
    ] = None,
    labels_from: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file with one row for each request: a column 'labels' with names joined by '+', or 0/1 columns "
            "named by statements; optionally columns 'age' and 'sex'."
        ),
    ] = None,
    like_ptbxl: Annotated[
        int | None, typer.Option(min=1, help="The number of records, with labels as frequent as in PTB-XL.")
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, help="Records for each row of --labels-from.")
    ] = 1,
    exact: options.Exact = False,
    file_format: Annotated[Format, typer.Option("--format", help="Format of the shards.")] = "parquet",
    shard_size: Annotated[int, typer.Option(min=1, help="Records in each shard.")] = 4096,
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
        int | None,
        typer.Option(
            min=1,
            help="Records generated at once, the same for the whole corpus. Default: what fits on the device.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU threads, the same for the whole corpus. Default: all cores; with Ray, 4 for each worker.",
        ),
    ] = None,
    precision: options.Precision = "auto",
    engine: Engine = "local",
    address: Address = None,
    workers: Workers = None,
    quiet: options.Quiet = False,
) -> None:
    """Generate a corpus. If the run is stopped, `corpus resume` completes it, and the records are the same."""
    with usage():
        from ...corpora import cluster, recipe, run
        from ...corpora.formats import check_format
        from ...corpora.plan import by_counts, from_csv, with_patients
        from ...corpora.plan import like_ptbxl as ptbxl
        from ...labels import CODES

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
        checkpoint, chosen = options.sampling(
            quality, checkpoint=checkpoint, sampler=sampler, steps=steps, eta=eta, spacing=spacing
        )
        options.check(seed, config, checkpoint)
        check_engine(engine, address, workers)
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
            return with_patients(plan, age, sex), source

        if checkpoint is None:
            plan_for(CODES)  # before torch is loaded
        on_ray = engine == "ray"
        model = load_model(checkpoint, config, cauchy, "cpu" if on_ray else device)

        from ...samplers import StepTable
        from ...sampling import Sampling

        plan, source = plan_for(model.label_names)
        if plan.by_name:
            source += ", completed by statements that occur beside them"
        if age is not None:
            source += f", --age {age:g}"
        if sex is not None:
            source += f", --sex {sex}"
        table = Sampling(**chosen).table(model.schedule, model.config)
        assert isinstance(table, StepTable)
        drawn = seed is None
        how: dict[str, Any] = {
            "seed": secrets.randbits(32) if seed is None else seed,
            "precision": precision, "source": source, "config": config, "batch_size": batch_size, "threads": threads,
            "checkpoint": _place(checkpoint),
            "format": file_format, "shard_size": shard_size,
        }  # fmt: skip
    if checkpoint is None:
        note_rare(plan.vectors.astype("float32"))
    with cluster.connected(address) if on_ray else nullcontext():
        with usage():
            if on_ray:
                corpus = cluster.describe(model, plan, table, device=device, **how)
                make = cluster.with_model(corpus, model, workers=workers, notify=note)
            else:
                corpus = recipe.describe(model, plan, table, **how)
                make = run.local(recipe.generator(corpus.parts[0], model))
        with reporting(quiet, "generating") as report:
            run.create(out, corpus, plan, make, progress=report)
    told = f", seed {how['seed']} (repeat with --seed {how['seed']})" if drawn else ""
    say(f"{described(corpus)} in {out}{told}", f"data card: {out / 'README.md'}", quiet=quiet)


def _place(checkpoint: Path | None) -> str:
    """What a recipe calls a checkpoint: weights that ship have a name, which holds on any machine; others a path."""
    if checkpoint is None:
        return BUILTIN
    return str(
        checkpoint if str(checkpoint) in WEIGHTS or is_builtin(str(checkpoint)) else checkpoint.resolve()
    )
