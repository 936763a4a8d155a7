"""`sssd-ecg corpus`: sets of ECGs of any size, in shards that survive whatever stops a run."""

from __future__ import annotations

from collections.abc import Callable

import typer

from ..console import help_of
from . import conversion, create, inspection, resume

app = typer.Typer(
    help="Make sets of ECGs of any size, in shards: create, resume after a stop, verify, convert, merge.",
    rich_markup_mode="rich",
    no_args_is_help=True,
)
COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "create": (
        create.command,
        (
            "sssd-ecg corpus create --counts AFIB=2000,CLBBB+LVH=500 --seed 7 --out set",
            "sssd-ecg corpus create --labels-from wanted.csv -n 5 --quality best --out set",
            "sssd-ecg corpus create --vary recordings --per-record 20 --strength 0.4 --out set",
            "sssd-ecg corpus create --like-ptbxl 100000 --steps 20 --engine ray --out set",
        ),
    ),
    "resume": (
        resume.command,
        (
            "sssd-ecg corpus resume corpus",
            "sssd-ecg corpus resume corpus --check --checkpoint mine.safetensors",
        ),
    ),
    "verify": (inspection.verify, ("sssd-ecg corpus verify corpus",)),
    "info": (inspection.info, ("sssd-ecg corpus info corpus", "sssd-ecg corpus info corpus --json")),
    "convert": (conversion.convert, ("sssd-ecg corpus convert corpus corpus_wfdb --format wfdb",)),
    "merge": (conversion.merge, ("sssd-ecg corpus merge corpus_a corpus_b --out both",)),
}
for name, (command, examples) in COMMANDS.items():
    heading = "Example:" if len(examples) == 1 else "Examples:"
    epilog = "\n\n".join((heading, *examples))
    app.command(name=name, help=help_of(command), epilog=epilog)(command)
