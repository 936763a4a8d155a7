"""`sssd-ecg distill`: from a network that needs many evaluations to one that needs 4, 2 or 1."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..presets import BUILTIN
from . import options
from .console import UsageError, progress_bar, say, usage
from .train import weights

if TYPE_CHECKING:
    from ..config.schema import Config

RECIPES = ("distill", "one-step", "polish")  # of the package, in config/
EXAMPLES = (
    "Examples: sssd-ecg distill --teacher runs/mine/model.safetensors --data data/ --out runs/few | "
    "sssd-ecg distill --teacher builtin --init few-step --config one-step --data data/ --out runs/one | "
    "sssd-ecg distill --teacher builtin --init one-step --config polish --data data/ --out runs/fine | "
    "sssd-ecg generate --checkpoint runs/few/model.safetensors --label AFIB --out ecgs"
)


def command(
    teacher: Annotated[
        str, typer.Option(help=f"The checkpoint to distil, or '{BUILTIN}' for the model that ships.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="What `prepare` wrote: folds 1-8 give labels, the right amplitudes, and recordings to learn from."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for model.safetensors.")],
    config: Annotated[
        str | None,
        typer.Option(
            help="'one-step': for one evaluation only, from a student of a few; 'polish': minutes more for such a "
            "one; or JSON with distill_config and ddim_config; default: config/distill.json."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="A student to go on with, such as 'few-step'; default: the teacher itself."),
    ] = None,
    device: options.Device = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after this time, with a model as far as it has come.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Teach a network to make in 4 evaluations, 2 or 1 what its teacher makes in many.

    From labels. Signals give amplitudes, and recordings to an adversary (adversary_recordings) and to polish."""
    with usage():
        from ..data import recordings
        from ..data.recordings import eight_leads_mv
        from .train import training_folds, training_labels

        start, ecgs = weights(teacher), recordings.read(data)
        begun = None if init is None else weights(init)
        settings = student_of(start, config)
        labels, real = training_labels(ecgs, settings), training_folds(ecgs)
        polished = settings.distill_config is not None and settings.distill_config.polish_iters
        if polished and (begun is None or evaluations_of(begun) != 1):
            raise UsageError("polish goes on with a student of one evaluation: give it as --init")
        path = out / "model.safetensors"
        if path.exists():
            raise UsageError(f"{str(path)!r} exists; choose another folder for the run")
        out.mkdir(parents=True, exist_ok=True)
        todo = settings.distill_config
        assert todo is not None
    from ..model_wrapper import SSSDECG
    from ..training.calibrate import calibrate, write_gains
    from ..training.distill import Lesson, distill

    total = todo.trajectory_iters + todo.matching_iters + todo.polish_iters
    say(f"{len(labels)} label vectors, {total} iterations of {todo.batch_size} records", quiet=quiet)
    with progress_bar(quiet, "loss {task.fields[loss]}") as bar:
        tasks: dict[str, Any] = {}

        def report(lesson: Lesson) -> None:
            if lesson.name not in tasks:
                tasks[lesson.name] = bar.add_task(lesson.name, total=lesson.of, loss="-")
            bar.update(tasks[lesson.name], completed=lesson.iteration, loss=f"{lesson.loss:.4f}")

        until = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        model = distill(
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
    if until is not None and time.monotonic() > until:
        say("the time was up before the lessons ended", quiet=quiet)
    taught = [n for n in range(todo.nodes, 0, -1) if todo.nodes % n == 0]
    if not (todo.adversary or todo.polish_iters):  # which see amplitudes themselves
        student, gains = SSSDECG.from_pretrained(model, device=device), {}
        with progress_bar(quiet) as bar:
            task = bar.add_task("amplitudes", total=len(real) * len(taught))
            for steps in taught:
                gains["consistency", steps] = calibrate(
                    student,
                    real,
                    sampler="consistency",
                    steps=steps,
                    on_records=lambda n: bar.advance(task, n),
                )
        write_gains(model, gains)
    say(
        f"wrote {model}, made for {', '.join(map(str, taught))} evaluations",
        f"generate with it: sssd-ecg generate --checkpoint {model} --label {ecgs.label_names[0]} --out ecgs",
        quiet=quiet,
    )


def evaluations_of(path: Path) -> int | None:
    """How many a checkpoint was distilled to; None where it was not."""
    from ..checkpoints import configuration_of, read_state

    sampling = configuration_of(path, *read_state(path))[0].ddim_config
    return sampling.ddim_timesteps if sampling.sampler == "consistency" else None


def student_of(teacher: Path, config: str | None) -> Config:
    """The teacher's configuration with the distillation and the sampling of another: a file, or a recipe by name."""
    from ..checkpoints import configuration_of, read_state
    from ..config.schema import DEFAULT, Config, read_config

    own, _ = configuration_of(teacher, *read_state(teacher))
    named = config is None or config in RECIPES
    recipe = read_config(DEFAULT.with_name(f"{config or RECIPES[0]}.json") if named else Path(str(config)))
    if recipe.distill_config is None:
        raise ValueError(f"{config} has no distill_config: start from config/distill.json of the package")
    if own.diffusion_config.prediction != "v":
        raise ValueError(
            f"{teacher} predicts the noise: only networks that predict the velocity can be distilled"
        )
    if own.ddim_config.sampler == "consistency":
        raise ValueError(f"{teacher} was distilled already: give the network that it was distilled from")
    sampling = (
        recipe if "ddim_config" in recipe.model_fields_set else read_config(DEFAULT.with_name("distill.json"))
    )
    parts = {
        "distill_config": recipe.distill_config.model_dump(),
        "ddim_config": sampling.ddim_config.model_dump(),
    }
    return Config.model_validate({**own.model_dump(), **parts})
