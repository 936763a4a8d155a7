"""How far a run is: a bar on a terminal, a function of the caller's, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = bool | Callable[[int, int], None] | None

WORTH_S = 2.0  # a shorter run needs no bar


@contextmanager
def reporting(progress: Progress, total: int, what: str = "generating") -> Iterator[Callable[[], None]]:
    """Yield a function to call after each of `total` pieces of work.

    progress: True, a bar; False, nothing; None, a bar if standard error is a terminal and the first pieces say that
    the run takes more than two seconds; a function, which is called with (done, total).
    """
    if callable(progress):
        yield _counter(progress, total)
    elif progress or (progress is None and sys.stderr.isatty()):
        with _bar(total, what, 0.0 if progress else WORTH_S) as advance:
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
    """A bar that appears once the run is expected to take longer than `worth_s`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps,"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task, started = bar.add_task(what, total=total), time.monotonic()

    def show(done: int, _: int) -> None:
        expected = (time.monotonic() - started) / done * total
        if not bar.live.is_started and expected >= worth_s:
            bar.start()
        bar.update(task, completed=done)

    try:
        yield _counter(show, total)
    finally:
        bar.stop()
