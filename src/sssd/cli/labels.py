"""`sssd-ecg labels` lists the statements that a model can be asked for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..checks import counted
from .console import usage

if TYPE_CHECKING:
    from ..labels import Statement

EXAMPLES = """Example:

sssd-ecg labels bundle
"""


def command(
    search: Annotated[str | None, typer.Argument(help="Show only statements that contain this word.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the 71 statements with their description, their superclass, and how many records have them."""
    from ..labels import RARE, STATEMENTS, find

    chosen = STATEMENTS
    if search is not None:
        chosen = tuple(s for s in STATEMENTS if search.casefold() in " | ".join(_words(s)).casefold())
        if not chosen:
            with usage():
                chosen = (STATEMENTS[find(search)],)
    if as_json:
        print(json.dumps([asdict(statement) for statement in chosen], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("code", "description", "superclass", box=None, header_style="bold", pad_edge=False)
    table.add_column("PTB-XL", justify="right")
    table.add_column("training", justify="right")
    for s in chosen:
        rare = s.training_records < RARE
        training = f"[yellow]{s.training_records}[/]" if rare else str(s.training_records)
        table.add_row(s.code, s.description, s.superclass, str(s.ptbxl_records), training)
    console = Console()
    if not console.is_terminal:  # a pipe has no width, and each statement shall stay on one line
        console = Console(width=120)
    console.print(table)
    console.print(
        f"{counted(len(chosen), 'statement')}. PTB-XL, training: the records with a statement in PTB-XL, and among "
        f"those that the built-in model was trained on; it hardly knows a statement with fewer than {RARE}.",
        style="dim",
    )


def _words(statement: Statement) -> tuple[str, ...]:
    return (statement.code, statement.description, statement.superclass, *statement.aliases)
