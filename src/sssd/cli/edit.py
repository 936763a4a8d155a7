"""`sssd-ecg edit` gives a recording other statements."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .recordings import Make, from_recording

EXAMPLES = """Examples:

sssd-ecg edit recording.hea --label CLBBB+SR --out edited

sssd-ecg edit recording.npz --own-label NORM+SR --label AFIB --strength 0.8 --format wfdb,png --out edited
"""


@from_recording()
def command(
    label: Annotated[
        str, typer.Option(help="What the ECG is to show, by codes or in words: AFIB+LVH asks for both.")
    ],
    strength: Annotated[
        float | None,
        typer.Option(help="How much may change, from above 0 to 1; by default 0.6."),
    ] = None,
) -> Make:
    """Give a recording other statements, and leave the rest of it as it is as far as possible.

    The result is synthetic. It shows what the model takes the statements to be, not what would happen to the patient.
    """
    chosen: Any = {} if strength is None else {"strength": strength}
    return lambda model, taken, how: model.edit(taken, label, **chosen, **how)
