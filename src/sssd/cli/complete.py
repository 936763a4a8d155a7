"""`sssd-ecg complete` makes leads and samples that a recording lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .recordings import Make, from_recording

EXAMPLES = """Examples:

sssd-ecg complete recording.hea --known I,II -n 8 --out completed

sssd-ecg complete recording.csv --gap 2.5:4 -n 8 --format wfdb,png --out completed
"""


@from_recording(partial=True)
def command(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of completions.")] = 1,
    known: Annotated[
        str | None,
        typer.Option(help="The leads to keep, such as I,II; by default all that the recording has."),
    ] = None,
    gap: Annotated[
        list[str] | None,
        typer.Option(help="Seconds between which samples are made anew, such as 2.5:4. May be repeated."),
    ] = None,
    sampler: options.Sampler = None,
    steps: options.Steps = None,
) -> Make:
    """Make the leads and samples that a recording lacks; several completions show how sure the model is.

    What is known stays as it is. What is made is synthetic: a guess from other recordings, which can miss what is wrong
    with this patient. Missing samples (NaN) and missing leads of the file are made without being named.
    """
    gaps = [_seconds(text) for text in gap or ()]
    kept = None if known is None else options.listed(known)
    return lambda model, taken, how: model.complete(
        taken, count, known=kept, gaps=gaps, sampler=sampler, steps=steps, **how
    )


def _seconds(text: str) -> tuple[float, float]:
    start, colon, end = text.partition(":")
    try:
        if colon:
            return float(start), float(end)
    except ValueError:
        pass
    raise ValueError(f"--gap is {text!r}: expected two times in seconds, as 2.5:4")
