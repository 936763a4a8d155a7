"""`sssd-ecg benchmark` measures how fast this machine generates, as a table."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import progress_bar, say, usage

EXAMPLES = """Example:

sssd-ecg benchmark --device cpu --json speed.json
"""


def command(
    device: options.Device = None,
    precision: Annotated[
        str, typer.Option(help="Precision of matrix products: auto, float32 or bf16.")
    ] = "auto",
    only: Annotated[
        str | None, typer.Option(help="Measure only this model: builtin or published.", metavar="MODEL")
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Time for one row of the table; a row that takes longer is measured once.")
    ] = 10.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the rows to this file.")
    ] = None,
) -> None:
    """Measure how fast this machine generates. This takes about three minutes on two CPU cores.

    The table has the time of one evaluation of the network and of whole ECGs, for the built-in model and for a network
    of the published size with random weights. The last column says how many times faster this is than the same
    network run as SSSD-ECG runs it: in float32, with its kernels computed at every step. For the built-in model it
    also has ECGs of each quality: alone, in batches, in a corpus, and from the command line. Below are the rows that
    are missing, and why, and how long 1, 1,000 and 1,000,000 ECGs take here.
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    from ..benchmark import MODELS, Missing, Row, machine, measure, sentence
    from ..device import choose_device, choose_precision
    from ..io.files import replacing
    from ..presets import BUILTIN, is_builtin

    with usage():
        where = choose_device(device)
        choose_precision(precision, where)
        only = BUILTIN if only is not None and is_builtin(only) else only
        if only not in (None, *MODELS):
            raise ValueError(f"--only is {only!r}: expected {' or '.join(MODELS)}")
        if json_file is not None and json_file.exists():
            raise FileExistsError(f"{str(json_file)!r} exists; choose another name")
    title = f"{machine(where)}, PyTorch {torch.__version__}"
    table = Table("model", "case", "precision", "ms a record", "times faster", title=title)
    rows: list[Row] = []
    missing: list[Missing] = []
    with progress_bar() as bar:
        task = bar.add_task("measuring", total=None)
        for row in measure(where, precision, models=MODELS if only is None else (only,), longest=seconds):
            if isinstance(row, Missing):
                missing.append(row)
                continue
            rows.append(row)
            bar.update(task, advance=1, description=f"{row.model}: {row.case}")
            faster = "" if row.times_faster is None else f"{row.times_faster:.3g}"
            table.add_row(row.model, row.case, row.precision, f"{row.seconds * 1e3:.4g}", faster)
    console = Console(width=110 if not Console().is_terminal else None)
    console.print(table)
    for one in missing:
        console.print(f"Missing: {one.case}: {one.why}.", highlight=False)
    told = sentence(rows)
    if told is not None:
        console.print(told, highlight=False)
    if json_file is not None:
        with replacing(json_file) as (temporary,):
            content = {
                "machine": title,
                "rows": [asdict(row) for row in rows],
                "missing": [asdict(one) for one in missing],
                "summary": told,
            }
            temporary.write_text(json.dumps(content, indent=1) + "\n")
        say(f"The rows are in {json_file}.")
