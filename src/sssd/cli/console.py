"""What all commands share: output, progress bars, and errors of usage."""

from __future__ import annotations

import ast
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from inspect import cleandoc, getsource
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..checks import Notice
from ..progress import make_bar, make_lines

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


_NARROWEST = 20  # columns


class UsageError(Exception):
    """The request cannot be carried out as it stands; the exit code is 2."""


@contextmanager
def usage() -> Iterator[None]:
    """Turn ValueError and OSError into UsageError, around code that checks the request."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def configure_output() -> None:
    """Let no terminal end a command: what it cannot show is escaped, and pictures go to files only.

    A width that is too small to show anything, which some programs set, is not taken.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get("COLUMNS", "").isdecimal() and int(os.environ["COLUMNS"]) < _NARROWEST:
        del os.environ["COLUMNS"]
    if "MPLBACKEND" in os.environ:
        os.environ["MPLBACKEND"] = "agg"


def say(*lines: str, quiet: bool = False) -> None:
    """Print lines without wrapping them, so that paths can be copied."""
    if not quiet:
        for line in lines:
            print(line, flush=True)


def help_of(command: Callable[..., None]) -> str:
    """Return a command's docstring with each paragraph on one line, so that it is wrapped to the terminal only.

    Where `python -OO` has dropped docstrings, it is read from the source.
    """
    text = command.__doc__
    if text is None:
        with suppress(OSError):
            text = ast.get_docstring(ast.parse(getsource(command)).body[0])  # type: ignore[arg-type]
    paragraphs = cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in paragraphs)


def note(text: str) -> None:
    """Print a note, which is not an error, on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"note: {text}", style="yellow")


@contextmanager
def notices() -> Iterator[None]:
    """Within the block, warnings of this package are printed as notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", Notice)
        show = warnings.showwarning

        def print_note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, Notice):
                note(str(message))
            else:
                show(message, category, *where, **more)

        warnings.showwarning = print_note
        yield


@contextmanager
def progress_bar(quiet: bool = False, status: str = "", *, each_task: bool = False) -> Iterator[Bar]:
    """Show progress on standard error: a bar on a terminal, elsewhere lines; see `make_bar` and `make_lines`."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    bar = make_bar(status, quiet=quiet) if quiet or terminal else make_lines(status, each_task=each_task)
    with nullcontext() if bar.disable else bar:  # rich 14 prints an empty line when a disabled bar ends
        yield bar
