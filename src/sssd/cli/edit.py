"""`sssd-ecg edit` gives a recording other statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..config import names
from .recordings import Make, from_recording

if TYPE_CHECKING:
    from ..editing import Taken
    from ..model_wrapper import SSSDECG
    from ..records import Records

EXAMPLES = """Examples:

sssd-ecg edit recording.hea --label CLBBB+SR --out edited

sssd-ecg edit recording.npz --own-label NORM+SR --label AFIB --strength 0.5 --format wfdb,png --out edited

sssd-ecg edit recording.hea --own-age 40 --age 80 --out edited

sssd-ecg edit recording.hea --heart-rate 120 --out edited
"""


@from_recording()
def command(
    label: Annotated[
        str | None,
        typer.Option(help="What the ECG is to show, by codes or in words: AFIB+LVH asks for both."),
    ] = None,
    age: Annotated[float | None, typer.Option(help="The age in years that the patient is to have.")] = None,
    sex: Annotated[names.Sex | None, typer.Option(help="The sex that the patient is to have.")] = None,
    heart_rate: Annotated[
        float | None,
        typer.Option(
            help="The heart rate that the ECG is to have, in beats per minute, for models that take it. "
            "The beats are moved to it."
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help=f"How much may change, from above 0 to 1; by default {names.EDIT_STRENGTH:g}. A larger strength shows "
            "more of the statements and keeps less of the recording."
        ),
    ] = None,
    own_age: Annotated[
        float | None, typer.Option(help="The age of the patient; without it, the age is unknown.")
    ] = None,
    own_sex: Annotated[
        names.Sex | None,
        typer.Option(help="The sex of the patient; without it, the sex is unknown."),
    ] = None,
    own_heart_rate: Annotated[
        float | None, typer.Option(help="The heart rate of the recording; without it, it is measured.")
    ] = None,
) -> Make:
    """Give a recording other statements or another age, sex or heart rate, and leave the rest of it as it is.

    The result is synthetic. It shows what the model takes the statements to be, not what would happen to the patient.
    """
    chosen: Any = {} if strength is None else {"strength": strength}
    wanted: Any = {"age": age, "sex": sex, "heart_rate": heart_rate}
    own: Any = {"own_age": own_age, "own_sex": own_sex, "own_heart_rate": own_heart_rate}

    def make(model: SSSDECG, taken: Taken, how: dict[str, Any]) -> Records:
        own["own_statements"] = how.pop("statements")
        return model.edit(taken, label, **{**how, **wanted, **own, **chosen})

    return make
