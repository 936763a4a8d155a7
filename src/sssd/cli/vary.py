"""`sssd-ecg vary` makes more ECGs like a recording."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .recordings import make_of

EXAMPLES = """Examples:

sssd-ecg vary recording.hea -n 10 --strength 0.4 --out varied

sssd-ecg vary recording.csv --own-label AFIB -n 4 --format wfdb,png --out varied
"""


def command(
    recording: options.Recording,
    out: options.Out,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of variations.")] = 1,
    strength: Annotated[
        float, typer.Option(help="Distance from the recording: above 0 (hardly changed) to 1 (a new record).")
    ] = 0.4,
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
    """Make more ECGs like a recording, at a chosen distance from it.

    Noise is added to the recording and taken away again by the model. The variations are synthetic. They keep much of
    the recording, so that they are as personal as it is.
    """
    make_of(
        recording,
        out,
        formats,
        lambda model, taken, how: model.vary(
            taken,
            count,
            strength,
            statements=own_label,
            age=age,
            sex=sex,
            heart_rate=heart_rate,
            sampler=sampler,
            steps=steps,
            **how,
        ),
        seed=seed,
        order=order,
        checkpoint=checkpoint,
        device=device,
        overwrite=overwrite,
        quiet=quiet,
    )
