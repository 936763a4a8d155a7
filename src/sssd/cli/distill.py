"""`sssd-ecg distill`: from a network that needs many evaluations, make one that needs 4, 2 or 1."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..checks import counted
from ..presets import BUILTIN
from . import options
from .console import UsageError, progress_bar, say, usage
from .train import checkpoint_path

if TYPE_CHECKING:
    from ..config.schema import Config

RECIPES = ("distill", "one-step", "polish", "few-step")  # configurations in the package's folder config/
EXAMPLES = """Examples:

sssd-ecg distill --teacher mine.safetensors --data data --out few

sssd-ecg distill --teacher builtin --init few-step --config one-step --data data --out one

sssd-ecg distill --teacher builtin --init one-step --config polish --data data --out fine

torchrun --standalone --nproc-per-node 2 --no-python sssd-ecg distill --teacher mine.safetensors --data data --out few

sssd-ecg generate --checkpoint few/model.safetensors --label AFIB --out ecgs
"""


def command(
    teacher: Annotated[
        str, typer.Option(help=f"The checkpoint to distil, or '{BUILTIN}' for the built-in model.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="The folder that `prepare` wrote. Folds 1-8 are used: their labels, their amplitudes and, for a "
            "discriminator and for fine-tuning, the recordings."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for model.safetensors and, for a transformer, last.pt.")],
    config: Annotated[
        str | None,
        typer.Option(
            help="'one-step' trains a student of few evaluations further, for one evaluation only. 'polish' "
            "fine-tunes a student of one evaluation on features of recordings, which takes minutes. Or give a JSON "
            "file with distill_config and ddim_config. Default: 'distill', for 4 evaluations; for a transformer "
            "'few-step', for 4, 2 and 1 alike."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="A student to train further, such as 'few-step'. Default: start from the teacher itself."
        ),
    ] = None,
    device: options.Device = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Stop after this time and write the model as it then is; the same command then goes on with the "
            "stage that was not ended, and within the stage for a transformer.",
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Distil a network: the student makes in 4, 2 or 1 evaluations what its teacher makes in many.

    A transformer is distilled on several devices if torchrun starts the command, and the same command resumes a run.
    """
    with usage():
        from ..data import recordings
        from ..data.recordings import eight_leads_mv, subset
        from ..training.checkpoint import LAST, MODEL
        from ..training.data import training_folds, training_labels

        start, ecgs = checkpoint_path(teacher), recordings.read(data)
        begun = None if init is None else checkpoint_path(init)
        settings = student_of(start, config)
        labels, real = training_labels(ecgs, settings), training_folds(ecgs)
        if real.coarse is not None:  # what is wrong with these is not to be learnt
            sound = real.coarse == 0
            labels, real = labels[sound], subset(real, sound)
        fine_tunes = settings.distill_config is not None and settings.distill_config.polish_iters
        if fine_tunes and (begun is None or evaluations_of(begun) != 1):
            raise UsageError("polish fine-tunes a student of one evaluation: give one as --init")
        path = out / MODEL
        if path.exists() and not (out / LAST).exists():
            raise UsageError(f"{str(path)!r} exists; choose another folder for the run")
        out.mkdir(parents=True, exist_ok=True)
        todo = settings.distill_config
        assert todo is not None
    from ..fitting.gains import calibrate, write_gains
    from ..model_wrapper import SSSDECG
    from ..training.distill import StageProgress, distill

    first = int(os.environ.get("RANK", "0")) == 0  # only one of the processes of torchrun prints
    quiet = quiet or not first
    total = todo.trajectory_iters + todo.matching_iters + todo.polish_iters
    say(
        f"{counted(len(labels), 'label vector')}, {counted(total, 'iteration')} of "
        f"{counted(todo.batch_size, 'record')}",
        quiet=quiet,
    )
    with progress_bar(quiet, "loss {task.fields[loss]}") as bar:
        tasks: dict[str, Any] = {}

        def report(stage: StageProgress) -> None:
            if stage.name not in tasks:
                tasks[stage.name] = bar.add_task(stage.name, total=stage.of, loss="-")
            bar.update(tasks[stage.name], completed=stage.iteration, loss=f"{stage.loss:.4f}")

        until = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        done = distill(
            settings,
            start,
            labels,
            out,
            signal_mv=eight_leads_mv(real) if todo.adversary_recordings or todo.polish_iters else None,
            init=begun,
            device=device,
            report=report,
            until=until,
        )
    model = done.path
    complete = done.stages == done.of
    evaluations = [n for n in range(todo.nodes, 0, -1) if todo.nodes % n == 0]
    if complete and not (todo.adversary or todo.polish_iters):  # these see amplitudes themselves
        student, gains = SSSDECG.from_pretrained(model, device=device), {}
        with progress_bar(quiet) as bar:
            task = bar.add_task("amplitudes", total=len(real) * len(evaluations))

            def on_records(n: int) -> None:
                bar.advance(task, n)
                if until is not None and time.monotonic() > until:
                    raise TimeoutError

            try:
                for steps in evaluations:
                    gains["consistency", steps] = calibrate(
                        student, real, sampler="consistency", steps=steps, on_records=on_records
                    )
                write_gains(model, gains)
            except TimeoutError:
                complete = False
    if complete:
        (out / LAST).unlink(missing_ok=True)
    else:
        ended = (
            f"after {done.stages} of {done.of} stages" if done.stages < done.of else "before the amplitudes"
        )
        say(f"the time was up {ended}; the same command goes on from there", quiet=quiet)
    say(
        f"wrote {model}, for {', '.join(map(str, evaluations))} evaluation{'s' * (len(evaluations) > 1)}",
        f"generate with it: sssd-ecg generate --checkpoint {model} --label {ecgs.label_names[0]} --out ecgs",
        quiet=quiet,
    )


def evaluations_of(path: Path) -> int | None:
    """Return the number of evaluations that a checkpoint was distilled for; None if it was not distilled."""
    from ..checkpoints import configuration_of, read_state

    sampling = configuration_of(path, *read_state(path))[0].ddim_config
    return sampling.ddim_timesteps if sampling.sampler == "consistency" else None


def student_of(teacher: Path, config: str | None) -> Config:
    """Return the teacher's configuration with distill_config and ddim_config of `config`, a file or a recipe."""
    from ..checkpoints import configuration_of, read_state
    from ..config.schema import DEFAULT, Config, read_config

    own, _ = configuration_of(teacher, *read_state(teacher))
    default = "distill" if own.transformer_config is None else "few-step"
    named = config is None or config in RECIPES
    recipe = read_config(DEFAULT.with_name(f"{config or default}.json") if named else Path(str(config)))
    if recipe.distill_config is None:
        raise ValueError(f"{config} has no distill_config: start from config/distill.json in the package")
    if own.diffusion_config.prediction != "v":
        raise ValueError(
            f"{teacher} predicts the noise; only networks that predict the velocity can be distilled"
        )
    if own.ddim_config.sampler == "consistency":
        raise ValueError(f"{teacher} was distilled already: give the network that it was distilled from")
    sampling = (
        recipe
        if "ddim_config" in recipe.model_fields_set
        else read_config(DEFAULT.with_name(f"{default}.json"))
    )
    parts = {
        "distill_config": recipe.distill_config.model_dump(),
        "ddim_config": sampling.ddim_config.model_dump(),
    }
    return Config.model_validate({**own.model_dump(), **parts})
