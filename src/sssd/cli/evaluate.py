"""`sssd-ecg evaluate` compares generated ECGs with real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import note, progress_bar, say, usage

if TYPE_CHECKING:
    from rich.progress import TaskID

EXAMPLES = """Examples:

sssd-ecg evaluate --real data --synthetic ecgs --html report.html

sssd-ecg evaluate --real train.npz --holdout new.npz --synthetic ecgs --json f.json
"""

_SET = "a prepared folder, a folder that `generate` wrote, or an NPZ file of either"


def command(
    real: Annotated[Path, typer.Option(help=f"Real ECGs that the generator was trained on: {_SET}.")],
    synthetic: Annotated[Path, typer.Option(help="Generated ECGs, in the same forms.")],
    holdout: Annotated[
        Path | None,
        typer.Option(
            help="Real ECGs that no training saw, to compare with. Default: fold 9 of --real, or a random quarter."
        ),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write a report with plots as one self-contained page.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of classifiers for each training set.")] = 3,
    device: options.Device = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing --json and --html files.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no table.")] = False,
) -> None:
    """Measure utility, fidelity, detectability, rhythm, adherence, diversity and privacy of generated ECGs.

    500 records take several minutes on two cores, because the command trains classifiers. docs/evaluation.md defines
    all figures.
    """
    with usage():
        from ..data import recordings
        from ..device import choose_device
        from ..io.files import check_free, replacing

        check_free(*filter(None, (json_file, html_file)), overwrite=overwrite)

        choose_device(device)
        sets = [recordings.read(path) for path in (real, synthetic)]
        unseen = None if holdout is None else recordings.read(holdout)
        from ..evaluation.evaluate import evaluate
        from ..evaluation.table import text

        for missing in filter(None, map(recordings.not_stated, sets)):
            note(missing)

        with stages(quiet) as on_stage:
            result = evaluate(sets[0], sets[1], unseen, seeds=seeds, device=device, on_stage=on_stage)
    if json_file is not None:
        with replacing(json_file, overwrite=overwrite) as (part,):
            part.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if html_file is not None:
        from ..evaluation.report import write_report

        write_report(html_file, result, sets[0], sets[1], unseen, overwrite=overwrite)
    say(text(result), quiet=quiet)
    written = [str(file) for file in (json_file, html_file) if file is not None]
    say(*([f"written: {', '.join(written)}"] if written else []), quiet=quiet)


@contextmanager
def stages(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function to call with what is being done, how much of it is done, and how much there is.

    On a terminal it moves a bar. Elsewhere it prints a line to standard error when something else begins, and then
    every half minute.
    """
    with progress_bar(quiet, each_task=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield report
