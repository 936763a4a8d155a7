"""`sssd-ecg complete` makes leads and samples that a recording lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .console import usage
from .recordings import make_of

EXAMPLES = """Examples:

sssd-ecg complete recording.hea --known I,II -n 8 --out completed

sssd-ecg complete recording.csv --gap 2.5:4 -n 8 --format wfdb,png --out completed
"""


def command(
    recording: options.Recording,
    out: options.Out,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of completions.")] = 1,
    known: Annotated[
        str | None,
        typer.Option(help="The leads to keep, as I,II; by default all that the recording has."),
    ] = None,
    gap: Annotated[
        list[str] | None,
        typer.Option(help="Seconds between which samples are made anew, as 2.5:4. May be repeated."),
    ] = None,
    own_label: options.Own = None,
    age: options.Age = None,
    sex: options.Sex = None,
    heart_rate: options.HeartRate = None,
    sampler: options.Sampler = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    formats: options.Formats = "wfdb,npz",
    order: options.Order = "clinical",
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Make the leads and samples that a recording lacks, several times, so that it is seen how sure they are.

    What is known stays as it is. What is made is synthetic: a guess from other recordings, which can miss what is wrong
    with this patient. Missing samples (NaN) and missing leads of the file are made without being named.
    """
    with usage():
        gaps = [_seconds(text) for text in gap or ()]
    kept = None if known is None else [name.strip() for name in known.split(",") if name.strip()]
    make_of(
        recording,
        out,
        formats,
        lambda model, taken, how: model.complete(
            taken,
            count,
            known=kept,
            gaps=gaps,
            statements=own_label,
            age=age,
            sex=sex,
            heart_rate=heart_rate,
            sampler=sampler,
            steps=steps,
            **how,
        ),
        partial=True,
        seed=seed,
        order=order,
        checkpoint=checkpoint,
        device=device,
        overwrite=overwrite,
        quiet=quiet,
    )


def _seconds(text: str) -> tuple[float, float]:
    start, colon, end = text.partition(":")
    try:
        if colon:
            return float(start), float(end)
    except ValueError:
        pass
    raise ValueError(f"--gap is {text!r}: expected two times in seconds, as 2.5:4")
