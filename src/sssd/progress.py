"""Progress of a run: a bar on a terminal, calls of a function, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .checks import flag

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

Progress = bool | Callable[[int, int], None] | None

WORTH_S = 2.0  # a run that takes longer gets a bar


@contextmanager
def reporting(progress: Progress, total: int, what: str = "generating") -> Iterator[Callable[[], None]]:
    """Yield a function that is to be called after each of `total` pieces of work.

    progress: True shows a bar and False nothing. None shows a bar if standard error is a terminal and, judged by the
    first pieces, the run takes more than two seconds. A function is called with (done, total).
    """
    if callable(progress):
        yield _counter(progress, total)
    elif sys.stderr.isatty() if progress is None else flag("progress", progress):
        with _bar(total, what, WORTH_S if progress is None else 0.0) as advance:
            yield advance
    else:
        yield lambda: None


def _counter(report: Callable[[int, int], None], total: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        report(done, total)

    return advance


@contextmanager
def _bar(total: int, what: str, worth_s: float) -> Iterator[Callable[[], None]]:
    """Show a bar once the run is expected to take longer than `worth_s`."""
    bar = make_bar()
    task, started = bar.add_task(what, total=total), time.monotonic()

    def show(done: int, _: int) -> None:
        expected = (time.monotonic() - started) / done * total
        if not bar.live.is_started and expected >= worth_s:
            bar.start()
        bar.update(task, completed=done)

    try:
        yield _counter(show, total)
    finally:
        if bar.live.is_started:
            bar.stop()


def make_bar(status: str = "", *, quiet: bool = False) -> Bar:
    """Return a progress bar on standard error that is removed at the end. Nothing is shown if `quiet`.

    status: a template of task fields that are shown at the end of the line, such as "{task.fields[loss]}".
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    if status:
        columns.append(TextColumn(status))
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet)
