"""Options and output that the commands of `sssd-ecg corpus` have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ...checks import counted
from ..console import UsageError, progress_bar

if TYPE_CHECKING:
    from ...corpora.schema import Corpus

Folder = Annotated[Path, typer.Argument(help="The folder of a corpus.")]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        help="Where records are made. local: in this process. ray: by workers that have a GPU or a few cores each. "
        "Both make the same bits."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="The address of a Ray cluster, or 'auto'. Default: RAY_ADDRESS; without it, Ray is started on this "
        "machine."
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="The number of Ray workers. Default: as many as there is room for.")
]


def check_engine(engine: str, address: str | None, workers: int | None) -> None:
    """Raise UsageError if an option of Ray is given without Ray; ValueError where Ray cannot be used."""
    given = [name for name, value in (("--address", address), ("--workers", workers)) if value is not None]
    if given and engine != "ray":
        raise UsageError(f"{given[0]} is for --engine ray, and the engine is {engine}")
    if engine == "ray":
        from ...corpora import cluster

        cluster.check(address)


def described(corpus: Corpus) -> str:
    """Return a corpus in a few words."""
    return f"{counted(corpus.records, 'record')} ({corpus.format})"


@contextmanager
def reporting(quiet: bool, what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, as a function to call with what is done and how much there is."""
    with progress_bar(quiet) as bar:
        task = bar.add_task(what, total=None)
        shown = 0.0

        def report(done: int, total: int) -> None:
            nonlocal shown
            if done == total or time.monotonic() - shown > 0.1:
                bar.update(task, completed=done, total=total)
                shown = time.monotonic()

        yield report
