"""`sssd-ecg fit`: a solver of few evaluations for a checkpoint as it is, without training it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..presets import BUILTIN
from . import options
from .console import UsageError, progress_bar, say, usage
from .train import training_folds, training_labels, weights

EXAMPLES = (
    "Examples: sssd-ecg fit --checkpoint runs/mine/model.safetensors --data data/ --steps 6 --out six.safetensors | "
    "sssd-ecg generate --checkpoint six.safetensors --sampler fitted --steps 6 --label AFIB --out ecgs"
)


def command(
    checkpoint: Annotated[
        str, typer.Option(help=f"The checkpoint to fit a solver to, or '{BUILTIN}' for the model that ships.")
    ],
    data: Annotated[
        Path, typer.Option(help="What `prepare` wrote; folds 1-8 are what records are compared with.")
    ],
    out: Annotated[Path, typer.Option(help="The .safetensors to write: the same weights, with the solver.")],
    steps: Annotated[int, typer.Option(min=3, help="Network evaluations that the solver shall take.")],
    generations: Annotated[int, typer.Option(min=1, help="Of 16 solvers each that are tried.")] = 60,
    records: Annotated[int, typer.Option(min=10, help="That each of them makes.")] = 870,
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = 0,
    cauchy: options.Convention = None,
    device: options.Device = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after this time, with what was found till then.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit time steps, noise and weights of a solver to a network: better records from few evaluations, no training.

    Goes on with the solver of so many steps that the checkpoint has, if it has one.

    Wants a GPU: each generation makes some 14,000 records, and their beats are measured on all cores."""
    with usage():
        from ..data import recordings

        start, ecgs = weights(checkpoint), recordings.read(data)
        if out.suffix != ".safetensors":
            raise UsageError(f"--out is {str(out)!r}; expected a name that ends with .safetensors")
        if out.exists():
            raise UsageError(f"{str(out)!r} exists; choose another name")
        from ..model_wrapper import SSSDECG
        from ..sampling import Sampling
        from ..training.fit import Generation, Trials, beginning, search, write_fit

        model = SSSDECG.from_pretrained(start, cauchy=cauchy, device=device)
        if Sampling().resolve(model.config).sampler == "consistency":
            raise ValueError(f"{start} was distilled: give the network that it was distilled from")
        training_labels(ecgs, model.config)  # refuses what the network was not trained on
        begin, spread = beginning(model, steps)
    ends = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    with progress_bar(quiet, "cost {task.fields[cost]}") as bar:
        task = bar.add_task("preparing", total=generations, cost="-")

        def report(of: Generation) -> None:
            bar.update(task, description="generations", completed=of.number, cost=f"{of.median:.2f}")

        with Trials(model, training_folds(ecgs), records=records, seed=seed) as trials:
            found = search(
                trials.costs,
                begin,
                generations=generations,
                spread=spread,
                seed=seed,
                on_generation=report,
                over=lambda: ends is not None and time.monotonic() > ends,
            )
            before, after = trials.costs([begin, found], generations)
    better = after < before
    write_fit(start, out, found if better else begin, model.model.cauchy)
    say(
        f"wrote {out}: {steps} evaluations cost {after:.2f}, {before:.2f} before the search, where "
        f"DDPM in {model.schedule.T} costs 1.40" + ("" if better else "; kept what was before"),
        f"generate with it: sssd-ecg generate --checkpoint {out} --sampler fitted --steps {steps} "
        f"--label {model.label_names[0]} --out ecgs",
        quiet=quiet,
    )
