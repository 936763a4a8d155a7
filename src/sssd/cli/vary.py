"""`sssd-ecg vary` makes more ECGs like a recording."""

from __future__ import annotations

from typing import Annotated

import typer

from ..config.names import VARY_STRENGTH
from . import options
from .recordings import Make, from_recording

EXAMPLES = """Examples:

sssd-ecg vary recording.hea -n 10 --strength 0.4 --out varied

sssd-ecg vary recording.csv --own-label AFIB -n 4 --format wfdb,png --out varied
"""


@from_recording()
def command(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of variations.")] = 1,
    strength: options.Strength = VARY_STRENGTH,
    sampler: options.Sampler = None,
    steps: options.Steps = None,
) -> Make:
    """Make more ECGs like a recording, at a chosen distance from it.

    Noise is added to the recording and taken away again by the model. The variations are synthetic. They keep much of
    the recording, so that they are as personal as it is.
    """
    return lambda model, taken, how: model.vary(taken, count, strength, sampler=sampler, steps=steps, **how)
