"""`sssd-ecg fit`: fit a solver of few evaluations to a checkpoint, without training it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..checks import counted
from ..presets import BUILTIN
from . import options
from .console import UsageError, note, progress_bar, say, usage
from .train import checkpoint_path

EXAMPLES = """Examples:

sssd-ecg fit --checkpoint mine.safetensors --data data --steps 6 --out six.safetensors

sssd-ecg generate --checkpoint six.safetensors --sampler fitted --steps 6 --label AFIB --out six
"""


def command(
    checkpoint: Annotated[
        str, typer.Option(help=f"The checkpoint to fit a solver to, or '{BUILTIN}' for the built-in model.")
    ],
    data: Annotated[
        Path,
        typer.Option(help="The folder that `prepare` wrote; generated records are compared with folds 1-8."),
    ],
    out: Annotated[
        Path, typer.Option(help="The .safetensors file to write: the same weights and the solver.")
    ],
    steps: Annotated[int, typer.Option(min=3, help="The number of network evaluations of the solver.")],
    generations: Annotated[
        int, typer.Option(min=1, help="How many generations to try, of 16 solvers each.")
    ] = 60,
    records: Annotated[int, typer.Option(min=10, help="How many records each solver generates.")] = 870,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the search; the same seed finds the same solver.")
    ] = 0,
    cauchy: options.Convention = None,
    device: options.Device = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after this time and write the best solver so far.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit the time steps, noise and weights of a solver to a network: better records from few evaluations.

    The network is not trained. If the checkpoint already has a solver with this number of steps, the
    search starts from it.

    A GPU is recommended: each generation makes about 14,000 records, and all cores measure their beats."""
    with usage():
        from ..data import recordings

        start, ecgs = checkpoint_path(checkpoint), recordings.read(data)
        if out.suffix != ".safetensors":
            raise UsageError(f"--out is {str(out)!r}; expected a name that ends with .safetensors")
        if out.exists():
            raise UsageError(f"{str(out)!r} exists; choose another name")
        from ..fitting.solver import Generation, search, starting_solver, write_fit
        from ..fitting.trials import DDPM_COST, Trials
        from ..model_wrapper import SSSDECG
        from ..sampling import Sampling
        from ..training.data import training_folds, training_labels

        model = SSSDECG.from_pretrained(start, cauchy=cauchy, device=device)
        if Sampling().resolve(model.config).sampler == "consistency":
            raise ValueError(f"{start} was distilled: give the network that it was distilled from")
        training_labels(ecgs, model.config)  # refuses data that the network was not trained on
        begin, spread = starting_solver(model, steps)
    ends = None if max_minutes is None else time.monotonic() + 60 * max_minutes

    def out_of_time() -> bool:
        return ends is not None and time.monotonic() > ends

    with progress_bar(quiet, "cost {task.fields[cost]}") as bar:
        task = bar.add_task("preparing", total=generations, cost="-")

        def report(generation: Generation) -> None:
            cost = f"{generation.median:.2f}"
            bar.update(task, description="generations", completed=generation.number, cost=cost)

        with Trials(model, training_folds(ecgs), records=records, seed=seed) as trials:
            found = search(
                lambda solvers, number: trials.costs(solvers, number, out_of_time),
                begin,
                generations=generations,
                spread=spread,
                seed=seed,
                on_generation=report,
                out_of_time=out_of_time,
            )
            before, after = trials.costs([begin, found], generations)
            plain = trials.plain_costs(steps, generations)
    better = after < before
    write_fit(start, out, found if better else begin, model.model.cauchy)
    best = min(plain, key=plain.__getitem__)
    if plain[best] <= min(before, after):
        note(
            f"the solver is worse than none: {best} in {counted(steps, 'step')} needs no fit and costs "
            f"{plain[best]:.2f}; use --sampler {best} --steps {steps}, or search for longer "
            "(--generations, --max-minutes)"
        )
    say(
        f"wrote {out}: {counted(steps, 'evaluation')} cost {after:.2f}, {before:.2f} before the search, where "
        f"DDPM in {model.schedule.T} costs {DDPM_COST:.2f}"
        + ("" if better else "; the solver is the one from before"),
        f"generate with it: sssd-ecg generate --checkpoint {out} --sampler fitted --steps {steps} "
        f"--label {model.label_names[0]} --out ecgs",
        quiet=quiet,
    )
