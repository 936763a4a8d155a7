"""`sssd-ecg corpus create`: generate a corpus."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...checks import LEAST_S, MOST_S, MOST_THREADS, counted
from ...config.names import VARY_STRENGTH, CorpusFormat
from ...hub import as_address
from ...presets import checkpoint_name, is_shipped
from .. import options
from ..console import UsageError, note, say, usage
from ..generate import note_rare
from ..requests import columns_of
from .shared import Address, Engine, Workers, check_engine, described, reporting

if TYPE_CHECKING:
    from ...corpora.plan import Plan


def command(
    out: Annotated[Path, typer.Option(help="Folder to write. It must be new or empty.")],
    counts: Annotated[
        str | None,
        typer.Option(help="Statements with the number of records of each, as in AFIB=2000,CLBBB+LVH=500."),
    ] = None,
    labels_from: options.LabelsFrom = None,
    like_ptbxl: Annotated[
        int | None, typer.Option(min=1, help="The number of records, with labels as frequent as in PTB-XL.")
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, help="Records for each row of --labels-from.")
    ] = 1,
    vary: Annotated[
        Path | None,
        typer.Option(help="A folder of recordings of which variations are made, with their statements."),
    ] = None,
    per_record: Annotated[
        int | None, typer.Option("--per-record", min=1, help="Variations of each recording of --vary.")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help=f"Distance of variations from their recording, above 0 to 1; by default {VARY_STRENGTH:g}."
        ),
    ] = None,
    exact: options.Exact = False,
    duration: Annotated[
        float | None,
        typer.Option(metavar="<seconds>", help="Length of the records, 2.5 to 600 s; by default 10 s."),
    ] = None,
    fs: options.Fs = None,
    noise: options.Noise = None,
    annotate: Annotated[
        bool,
        typer.Option(
            "--annotate",
            help="Mark the beats, and where P, QRS and T begin, peak and end, in the column annotations.",
        ),
    ] = False,
    file_format: Annotated[CorpusFormat, typer.Option("--format", help="Format of the shards.")] = "parquet",
    shard_size: Annotated[int, typer.Option(min=1, help="Records in each shard.")] = 4096,
    seed: options.Seed = None,
    sampler: options.Sampler = None,
    steps: options.Steps = None,
    eta: options.Eta = None,
    spacing: options.Spacing = None,
    quality: options.Preset = None,
    age: options.Age = None,
    sex: options.Sex = None,
    heart_rate: options.HeartRate = None,
    checkpoint: options.Checkpoint = None,
    config: options.Configuration = None,
    cauchy: options.Convention = None,
    device: options.Device = None,
    batch_size: options.BatchSize = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_THREADS,
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
        from ...corpora.plan import with_patients
        from ...corpora.recordings import find_recordings, plan_of, read_recordings
        from ...labels import CODES

        _check_source(counts, labels_from, like_ptbxl, vary, count, per_record, strength)
        if duration is not None and vary is not None:
            raise UsageError(
                "variations are as long as the model makes them: leave out --duration with --vary"
            )
        if duration is not None and not LEAST_S <= duration <= MOST_S:
            raise UsageError(f"--duration is {duration:g}: expected {LEAST_S:g} to {MOST_S:g} s in a corpus")
        checkpoint, chosen = options.sampling(
            quality, checkpoint=checkpoint, sampler=sampler, steps=steps, eta=eta, spacing=spacing
        )
        options.check(seed, config, checkpoint)
        check_engine(engine, address, workers)
        check_format(file_format)
        run.check_new(out)

        if vary is not None:
            find_recordings(vary)

        def plan_for(label_names: tuple[str, ...]) -> tuple[Plan, str]:
            plan, source = _plan(counts, labels_from, like_ptbxl, count, exact, label_names)
            return with_patients(plan, age, sex, heart_rate), source

        if is_shipped(checkpoint) and vary is None:
            plan_for(CODES)  # errors are reported before torch is loaded, which takes seconds
        on_ray = engine == "ray"

        from ...editing.change import checked_strength, partial_sampling, partial_table
        from ...model_wrapper import SSSDECG
        from ...samplers import StepTable
        from ...sampling import Sampling

        where = "cpu" if on_ray else device
        model = SSSDECG.from_pretrained(checkpoint, config=config, cauchy=cauchy, device=where)

        sampling, recordings, made_of = Sampling(**chosen), None, {}
        if vary is None:
            plan, source = plan_for(model.label_names)
            table = sampling.table(model.schedule, model.config)
        else:
            strength = checked_strength(VARY_STRENGTH if strength is None else strength)
            recordings, per_record = read_recordings(model, vary), per_record or 1
            plan = with_patients(plan_of(model, recordings, per_record), age, sex, heart_rate)
            source = f"{per_record} variations of each of {counted(len(recordings.taken), 'recording')}"
            sampling = partial_sampling(model, sampling)
            table = partial_table(model, sampling, strength)
            made_of = {"vary": strength, "steps": sampling.steps, "recordings": str(vary.resolve())}
        if plan.by_name:
            source += ", completed by statements that occur beside them"
        if age is not None:
            source += f", --age {age:g}"
        if sex is not None:
            source += f", --sex {sex}"
        if heart_rate is not None:
            source += f", --heart-rate {heart_rate:g}"
        assert isinstance(table, StepTable)
        seed, drawn = options.seed_of(seed)
        settings: dict[str, Any] = {
            "seed": seed, "precision": precision, "batch_size": batch_size,
            "threads": threads, "source": source, "checkpoint": _recorded(checkpoint), "config": config,
            "format": file_format, "shard_size": shard_size, "duration": duration, "noise": noise,
            "annotate": annotate, "fs": fs, **made_of,
        }  # fmt: skip
    if is_shipped(checkpoint):
        note_rare(plan.vectors.astype("float32"))
    with cluster.connected(address) if on_ray else nullcontext():
        with usage():
            if on_ray:
                corpus = cluster.describe(model, plan, table, device=device, **settings)
                make = cluster.with_model(corpus, model, recordings, workers=workers, notify=note)
            else:
                corpus = recipe.describe(model, plan, table, **settings)
                make = run.local(recipe.generator(corpus.parts[0], model, recordings))
        with reporting(quiet, "generating") as report:
            run.create(out, corpus, plan, make, progress=report)
    for text in recordings.notes if recordings is not None and not quiet else ():
        note(f"{vary}: {text}")
    lines = columns_of(labels_from, model.label_names)
    say(f"{described(corpus)} in {out}{drawn}", *lines, f"data card: {out / 'README.md'}", quiet=quiet)


def _check_source(
    counts: str | None,
    labels_from: Path | None,
    like_ptbxl: int | None,
    vary: Path | None,
    count: int,
    per_record: int | None,
    strength: float | None,
) -> None:
    """Raise UsageError unless exactly one option says which records to make."""
    options = {
        "--counts": counts,
        "--labels-from": labels_from,
        "--like-ptbxl": like_ptbxl,
        "--vary": vary,
    }
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            "give one of --counts, --labels-from, --like-ptbxl and --vary to say what to make; got "
            f"{' and '.join(given) if given else 'none of them'}"
        )
    if count != 1 and labels_from is None:
        raise UsageError(
            f"-n is {count}, the records for each row of --labels-from: leave it out with {given[0]}"
        )

    for name, value in (("--per-record", per_record), ("--strength", strength)):
        if value is not None and vary is None:
            raise UsageError(f"{name} is {value:g}, and belongs to --vary: leave it out with {given[0]}")


def _plan(
    counts: str | None,
    labels_from: Path | None,
    like_ptbxl: int | None,
    count: int,
    exact: bool,
    label_names: tuple[str, ...],
) -> tuple[Plan, str]:
    """Return the plan, and in words what was asked for."""
    from ...corpora import plan as plans

    if counts is not None:
        return plans.by_counts(counts, label_names, exact=exact), f"counts {counts}"
    if labels_from is not None:
        plan = plans.from_csv(labels_from, label_names, per_row=count, exact=exact)
        return plan, f"{labels_from.name}, {count} for each of {counted(len(plan.which), 'row')}"
    return plans.like_ptbxl(like_ptbxl or 0, label_names), "drawn in the mix of PTB-XL, folds 1 to 8"


def _recorded(checkpoint: Path | None) -> str:
    """Return what a recipe calls a checkpoint: the built-in model has a name, any other checkpoint has its path."""
    if checkpoint is None or as_address(checkpoint):
        return checkpoint_name(checkpoint)
    return str(checkpoint.resolve())
