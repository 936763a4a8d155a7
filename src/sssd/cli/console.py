"""What all commands share: how they speak, show progress, and refuse a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress


class UsageError(Exception):
    """A request that cannot be carried out as it stands: exit code 2."""


@contextmanager
def usage() -> Iterator[None]:
    """What is wrong in here is wrong with the request."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def say(*lines: str, quiet: bool = False) -> None:
    """Print lines as they are: no wrapping, so that paths can be copied."""
    if not quiet:
        for line in lines:
            print(line, flush=True)


def note(text: str) -> None:
    """One line on standard error that is not an error."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"note: {text}", style="yellow")


@contextmanager
def progress_bar(quiet: bool = False, status: str = "") -> Iterator[Progress]:
    """A progress bar on standard error, gone when it is done; nothing where that is no terminal.

    status: a template of task fields to show at the end, such as "{task.fields[loss]}".
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    if status:
        columns.append(TextColumn(status))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        yield bar
