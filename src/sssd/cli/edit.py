"""`sssd-ecg edit` gives a recording other statements."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .recordings import make_of

EXAMPLES = """Examples:

sssd-ecg edit recording.hea --label CLBBB+SR --out edited

sssd-ecg edit recording.npz --own-label NORM+SR --label AFIB --strength 0.8 --format wfdb,png --out edited
"""


def command(
    recording: options.Recording,
    out: options.Out,
    label: Annotated[
        str, typer.Option(help="What the ECG is to show, by codes or in words: AFIB+LVH asks for both.")
    ],
    strength: Annotated[
        float | None,
        typer.Option(help="How much may change, from above 0 to 1; by default 0.6."),
    ] = None,
    own_label: options.Own = None,
    age: options.Age = None,
    sex: options.Sex = None,
    heart_rate: options.HeartRate = None,
    seed: options.Seed = None,
    formats: options.Formats = "wfdb,npz",
    order: options.Order = "clinical",
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Give a recording other statements, and leave the rest of it as it is as far as possible.

    The result is synthetic. It shows what the model takes the statements to be, not what would happen to the patient.
    """
    from ..editing.inversion import STRENGTH

    make_of(
        recording,
        out,
        formats,
        lambda model, taken, how: model.edit(
            taken,
            label,
            STRENGTH if strength is None else strength,
            statements=own_label,
            age=age,
            sex=sex,
            heart_rate=heart_rate,
            **how,
        ),
        seed=seed,
        order=order,
        checkpoint=checkpoint,
        device=device,
        overwrite=overwrite,
        quiet=quiet,
    )
