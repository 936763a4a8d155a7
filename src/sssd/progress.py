"""Progress of a run: a bar on a terminal, calls of a function, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .checks import flag

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import Task

ShowProgress = bool | Callable[[int, int], None] | None

WORTH_S = 2.0  # a run that takes longer gets a bar
LINE_S = 30.0  # between two lines of progress where there is no terminal
SPEED_S = 600.0  # over which the time left is estimated, as single steps of a training may take minutes


@contextmanager
def reporting(progress: ShowProgress, total: int, what: str = "generating") -> Iterator[Callable[[], None]]:
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
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    if status:
        columns.append(TextColumn(status))
    return Bar(
        *columns,
        console=Console(stderr=True),
        transient=True,
        disable=quiet,
        speed_estimate_period=SPEED_S,
    )


def make_lines(status: str = "", *, each_task: bool = False) -> Bar:
    """Return the same as plain lines on standard error, one every half minute, for logs and pipes.

    status: as in `make_bar`. each_task: print a line as well where something else begins.
    """
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    class Lines(Bar):
        begun = time.monotonic()
        printed, what = begun, ""
        first: dict[
            TaskID, tuple[float, float]
        ]  # when a task was first reported, and how much of it was done

        def update(self, task_id: TaskID, **changes: Any) -> None:
            super().update(task_id, **changes)
            self._report(task_id)

        def advance(self, task_id: TaskID, advance: float = 1) -> None:
            super().advance(task_id, advance)
            self._report(task_id)

        def _report(self, task_id: TaskID) -> None:
            task, now = next(task for task in self.tasks if task.id == task_id), time.monotonic()
            began = self.first.setdefault(task_id, (now, task.completed))
            if now - self.printed < LINE_S and not (each_task and task.description != self.what):
                return
            self.printed, self.what = now, task.description
            parts = [f"{now - self.begun:6.0f} s  {task.description}", _share(task), status.format(task=task)]
            parts.append(_left(task, now, began))
            print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)

    lines = Lines(disable=True)
    lines.first = {}
    return lines


def _share(task: Task) -> str:
    return "" if task.total is None else f"{task.completed:.0f} of {task.total:.0f}"


def _left(task: Task, now: float, began: tuple[float, float]) -> str:
    """Return the time left at the pace since the task was first reported; nothing if that is not known yet."""
    since, done = began
    if task.total is None or task.completed <= done:
        return ""
    seconds = (now - since) / (task.completed - done) * (task.total - task.completed)
    if seconds < 90:
        return f"{seconds:.0f} s left"
    minutes = round(seconds / 60)
    return f"{minutes} min left" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min left"
