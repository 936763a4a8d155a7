"""The command `sssd-ecg`, with a module for each of its commands.

Commands raise exceptions, and `main` turns them into one line on standard error and an exit code: 2 for a request that
cannot be carried out as it stands, 1 for what went wrong later, 130 for Ctrl-C. Only the module of the command that is
asked for is imported. Modules that need torch are imported inside the commands, so that `--help` and `labels` answer at
once.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any

import typer

from ..version import __version__
from .console import UsageError, configure_output, help_of, notices
from .process import configure_process

ABOUT = "Generate 12-lead ECGs with named statements. They are synthetic and not for diagnosis."


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sssd-ecg {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None: ...


COMMANDS = {  # and their modules
    "generate": "generate",
    "vary": "vary",
    "edit": "edit",
    "complete": "complete",
    "labels": "labels",
    "inspect": "inspection",
    "prepare": "prepare",
    "train": "train",
    "evaluate": "evaluate",
    "benchmark": "benchmark",
    "export": "export",
    "serve": "serve",
    "page": "page",
    "corpus": "corpus",
}


def module_of(name: str) -> ModuleType:
    """Return the module of a command."""
    return import_module(f".{COMMANDS[name]}", __name__)


def _application(names: Iterable[str]) -> typer.Typer:
    """Return the command line with these commands."""
    app = typer.Typer(
        name="sssd-ecg",
        help=ABOUT,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in names:
        module = module_of(name)
        if name == "corpus":
            app.add_typer(module.app, name=name)
        else:
            app.command(name=name, help=help_of(module.command), epilog=module.EXAMPLES)(module.command)
    return app


FEW_STEPS = (
    "the qualities draft and standard take few steps with any transformer, see sssd-ecg generate --help"
)
GONE = {  # commands of earlier versions: what takes their place
    "distill": FEW_STEPS,
    "fit": FEW_STEPS,
}

# click's own class, or the class of a version of typer that includes click
_BAD_USAGE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Without `arguments` those of the process are used."""
    configure_process()
    configure_output()
    with notices():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    given = [_at_home(text) for text in (sys.argv[1:] if arguments is None else arguments)]
    if given and given[0] in GONE:
        return _fail(f"there is no command {given[0]!r} any more: {GONE[given[0]]}", 2)
    asked = [name for name in COMMANDS if name in given[:1]]  # the others are neither imported nor described
    try:
        app = _application(asked or COMMANDS)
        code = app(given or ["--help"], prog_name="sssd-ecg", standalone_mode=False) or 0
        return _interrupted() if code == 130 else int(code)
    except _BAD_USAGE as error:
        return _fail(error.format_message().replace("Value error, ", ""), 2)  # the words of pydantic
    except UsageError as error:
        return _fail(str(error), 2)
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except BrokenPipeError:  # nobody reads the output any more, as in `sssd-ecg labels | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ImportError as error:
        return _fail(str(error), 1)
    except MemoryError:
        return _fail("not enough memory: ask for fewer records at once, or lower --batch-size", 1)
    except OSError as error:
        named = error.strerror and error.filename is not None
        return _fail(f"{error.filename}: {error.strerror}" if named else str(error), 1)
    except (ValueError, RuntimeError) as error:
        if "out of memory" in str(error):
            return _fail("not enough memory on the device: lower --batch-size, or use --device cpu", 1)
        return _fail(str(error), 1)


def _at_home(argument: str) -> str:
    """Put the home folder in place of a "~" that the shell has left in an argument, as in --out=~/x."""
    option, path = re.fullmatch(r"(--[\w-]+=)?(.*)", argument, re.DOTALL).groups(default="")  # type: ignore[union-attr]
    return option + os.path.expanduser(path) if re.match(r"~[/\\]|~$", path) else argument


def _fail(message: str, code: int) -> int:
    message = message.replace("overwrite=True", "--overwrite")  # the library's argument, by its name here
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    print(f"sssd-ecg: {' '.join(lines) or 'failed'}", file=sys.stderr)
    return code


def _interrupted() -> int:
    print("sssd-ecg: interrupted", file=sys.stderr)
    return 130
