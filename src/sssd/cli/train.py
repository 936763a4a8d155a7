"""`sssd-ecg train`: train a network, or fine-tune one, on prepared recordings."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..checks import counted, needed_for
from ..presets import BUILTIN, checkpoint_file
from . import options
from .console import UsageError, note, progress_bar, say, usage

if TYPE_CHECKING:
    from ..config.schema import Config, DdimConfig

EXAMPLES = """Examples:

sssd-ecg train --config default --data data/ --out runs/mine

sssd-ecg train --init builtin --data data/ --out runs/tuned
"""


def command(
    data: Annotated[Path, typer.Option(help="The folder that `prepare` wrote, or its signals.npz.")],
    out: Annotated[Path, typer.Option(help="Folder for the run: model.safetensors, log.csv, last.pt.")],
    more: Annotated[
        list[Path] | None,
        typer.Option(
            help="A further prepared folder; the network trains on all of its records. It is told which folder a "
            "record comes from, and generates in the style of --data. May be given several times."
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="A JSON file, or 'default' (the transformer), 'published' (SSSD-ECG's), 'guided' or 'finetune'. "
            "The last two describe no network, so they need --init. With --init alone it is 'finetune'."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Start from the weights of this checkpoint, or 'builtin' for the built-in model."),
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="How many devices of this machine to use; torchrun sets this itself.")
    ] = 1,
    accelerator: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="The kind of device to train on.")
    ] = "auto",
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after this time and write the model; the same command then goes on."),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write the losses for TensorBoard too, into the folder tensorboard of the run.",
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network on folds 1-8 and validate it on fold 9; fold 10 is not used. The same command resumes a run."""
    with usage():
        from ..data import recordings
        from ..training.data import training_data, with_labels_of, with_sources

        if config is None and init is None:
            raise UsageError("give --config (a file, 'default' or 'published'), or --init to fine-tune")
        start = None if init is None else checkpoint_path(init)
        ecgs = recordings.read(data)
        asked, kept = _settings(config, start)
        settings = with_labels_of(ecgs, asked, new_labels=kept)
        settings = with_sources(settings, [set_name(folder) for folder in (data, *(more or []))])
        if start is not None and asked.ddim_config.sampler == "consistency":
            raise UsageError(f"{start} was distilled: fine-tune the network that it was distilled from")
        if out.exists() and not out.is_dir():
            raise UsageError(f"{str(out)!r} is a file; choose a folder for the run")
        with needed_for("training needs", "train"):
            import lightning_fabric  # noqa: F401
        split = training_data(ecgs, settings, [recordings.read(folder) for folder in more or []])
    if missing := recordings.not_stated(ecgs):
        note(missing)
    from ..training.log import Progress
    from ..training.loop import train

    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"  # torchrun sets both
    first = int(rank) == 0  # only one of several processes prints
    quiet = quiet or not first
    total, taken = settings.train_config.n_iters, settings.trainset_config.takes.in_words
    say(
        f"{counted(len(split.signal_mv), 'record')} to train on, {len(split.val_signal_mv)} to validate, "
        f"{counted(len(ecgs.label_names), 'label')}{f', {taken}' if taken else ''}, "
        f"{counted(total, 'iteration')} of {counted(settings.train_config.batch_size, 'record')}",
        quiet=quiet,
    )
    shown = "loss {task.fields[loss]}, validation {task.fields[val]}"
    with progress_bar(quiet, shown) as bar:
        task = bar.add_task("training", total=total, loss="-", val="-")

        def begin(iteration: int) -> None:
            if iteration:
                say(f"the run in {out} goes on at iteration {iteration} of {total}", quiet=quiet)
            bar.update(task, completed=iteration)

        def report(row: Progress) -> None:
            bar.update(task, completed=row.iteration, loss=f"{row.loss:.4f}")
            if row.val_loss is not None:
                bar.update(task, val=f"{row.val_loss:.4f}")

        done = train(
            settings,
            split,
            out,
            init=start,
            accelerator=accelerator,
            devices=devices,
            report=report,
            begin=begin,
            tensorboard=tensorboard,
            until=None if max_minutes is None else time.monotonic() + 60 * max_minutes,
        )
    model = done.path
    if done.iterations < done.of:
        say(
            f"stopped at iteration {done.iterations} of {done.of}; the same command resumes the run",
            quiet=quiet,
        )
    say(
        f"wrote {model} (averaged weights and configuration) and {out / 'log.csv'}",
        f"generate with it: sssd-ecg generate --checkpoint {model} --label {ecgs.label_names[0]} --out ecgs",
        quiet=quiet,
    )


def _settings(name: str | None, start: Path | None) -> tuple[Config, bool]:
    """Return the configuration, by default finetune, and whether its network is the one in `start`."""
    from ..checkpoints import configuration_of, read_state
    from ..config.schema import DEFAULT, PUBLISHED, parse_config, read_config

    packaged = {"default": DEFAULT, "published": PUBLISHED}
    packaged |= {kind: DEFAULT.with_name(f"{kind}.json") for kind in ("finetune", "guided")}
    name = name or "finetune"
    settings = read_config(Path(name) if Path(name).exists() else packaged.get(name, Path(name)))
    if settings.model_fields_set & {"wavenet_config", "transformer_config"} or (
        start is None and name not in ("finetune", "guided")
    ):
        return settings, False
    if start is None:
        raise ValueError(f"--config {name} describes no network: give --init, a checkpoint to start from")
    others = sorted(settings.model_fields_set - {"train_config"})
    if others:
        raise ValueError(
            f"{name} describes no network (wavenet_config), so the network and all else but train_config come from "
            f"--init: leave out {', '.join(others)}, or describe the network too"
        )
    own, _ = configuration_of(start, *read_state(start))
    sections = {"train_config": settings.train_config, "ddim_config": _without_fits(own)}
    return parse_config(own.model_copy(update=sections).model_dump_json(), f"{name} with {start}"), True


def _without_fits(own: Config) -> DdimConfig:
    """Return the sampling of a configuration, without the solvers and gains that were fitted to its old weights."""
    sampling = own.ddim_config
    sampler = None if sampling.sampler == "fitted" else sampling.sampler
    return sampling.model_copy(update={"fits": [], "gains": {}, "sampler": sampler})


def set_name(data: Path) -> str:
    """What a prepared folder, or the signals.npz in it, is called: the name of the folder."""
    folder = data.resolve()
    return folder.name if folder.is_dir() else folder.parent.name


def checkpoint_path(name: str) -> Path:
    """Return the file of a checkpoint, or of the built-in model; FileNotFoundError if there is none."""
    path = checkpoint_file(name)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}: give the path of one, or '{BUILTIN}'")
    return path
