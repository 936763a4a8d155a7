"""The JSON of the service's answers, as OpenAPI describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ..config.names import Sex
from .extras import RecordExtras


class Label(BaseModel):
    """A statement that can be asked for."""

    name: str
    description: str
    superclass: Annotated[
        str,
        Field(description="NORM, MI, STTC, CD or HYP; empty for statements of form or rhythm alone"),
    ]
    aliases: list[str]
    training_records: Annotated[
        int | None,
        Field(
            description="How many records the built-in model was trained on; it hardly learnt rare statements"
        ),
    ]


class Hints(BaseModel):
    """What is unusual about statements that are asked for together."""

    hints: Annotated[
        list[str],
        Field(examples=[["None of 17418 recordings of PTB-XL carries both SBRAD and STACH"]]),
    ]


class Quality(BaseModel):
    """What a quality stands for."""

    name: str
    sampler: str
    steps: int
    eta: float


class Model(BaseModel):
    """The model of this service."""

    name: str
    hash: Annotated[str, Field(description="SHA-256 of the weights")]
    statements: Annotated[int, Field(description="How many statements can be asked for")]
    age: Annotated[bool, Field(description="Whether the model takes the patient's age")]
    sex: Annotated[bool, Field(description="Whether the model takes the patient's sex")]
    heart_rate: Annotated[bool, Field(description="Whether the model takes the heart rate")]
    qualities: Annotated[list[Quality], Field(description="The qualities that can be asked for")]
    samplers: list[str]
    steps_max: int
    fitted_steps: Annotated[
        list[int], Field(description="The numbers of steps that the sampler fitted can take")
    ]
    default: Annotated[
        dict[str, Any], Field(description="Sampler, steps and eta of a request that names none of them")
    ]
    fs_hz: float
    rates_hz: Annotated[list[float], Field(description="The sampling rates that can be asked for")]
    samples: Annotated[int, Field(description="How many samples each lead has at fs_hz")]
    device: str
    precision: Annotated[Literal["float32", "bf16"], Field(description="Precision of matrix products")]
    records_max: Annotated[int, Field(description="How many records one request may ask for")]
    job_records_max: Annotated[int, Field(description="How many records one job may ask for")]


class Measured(BaseModel):
    """Measurements in the generated signal.

    null means that a value could not be measured, or that PR has no meaning because P waves are absent or do not
    belong to the beats.
    """

    heart_rate_bpm: float | None
    pr_ms: float | None
    qrs_ms: float | None
    qt_ms: float | None
    qtc_ms: Annotated[float | None, Field(description="QT corrected for the heart rate after Bazett")]
    axis_deg: Annotated[
        float | None, Field(description="Axis of QRS in the frontal plane: 0 is left, 90 is down")
    ]


class Check(BaseModel):
    """What the signal shows of a statement, by a rule that a reader of ECGs would apply."""

    statement: str
    rule: Annotated[str, Field(description="What is expected", examples=["QRS >= 120 ms"])]
    value: Annotated[float | None, Field(description="What was measured; null if it could not be")]
    shown: Annotated[bool | None, Field(description="Whether the rule is obeyed; null without a value")]
    words: Annotated[
        str, Field(description="Both in words", examples=["QRS: measured 106 ms, expected 120 or more"])
    ]


class Record(RecordExtras):
    """One generated ECG."""

    statements: Annotated[
        list[str],
        Field(description="All statements of the record: those asked for, and those drawn to go with them"),
    ]
    requested: Annotated[str, Field(description="The statements that were asked for", examples=["AFIB+LVH"])]
    drawn: Annotated[list[str], Field(description="The statements that were drawn to go with them")]
    seed: int
    index: int
    age: Annotated[float | None, Field(description="The age that was asked for, in years")] = None
    sex: Annotated[Sex | None, Field(description="The sex that was asked for")] = None
    heart_rate: Annotated[
        float | None, Field(description="The heart rate that was asked for, in beats per minute")
    ] = None
    fs_hz: float
    unit: Literal["mV"]
    leads: list[str]
    signal: Annotated[list[list[float]], Field(description="(12, L) in mV, rounded to 1 uV")]
    measured: Measured | None = None
    checks: Annotated[
        list[Check] | None,
        Field(description="A check for each rule of the statements, if measurements were asked for"),
    ] = None


class Records(BaseModel):
    """The generated ECGs."""

    records: list[Record]
    provenance: Annotated[
        dict[str, Any], Field(description="Everything that is needed to generate the same records again")
    ]


class Job(BaseModel):
    """The state of a job."""

    id: str
    state: Literal["waiting", "running", "done", "cancelled", "failed"]
    done: Annotated[int, Field(description="How many records are finished")]
    count: Annotated[int, Field(description="How many records were asked for")]
    progress: Annotated[float, Field(ge=0, le=1, description="The share of the work that is done")] = 0.0
    message: Annotated[str, Field(description="Why the job failed")] = ""


class Problem(BaseModel):
    """An error."""

    detail: Annotated[str, Field(description="What is wrong, in one line")]
