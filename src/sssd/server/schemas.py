"""The JSON that the service takes and returns, as OpenAPI describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..config.names import Sampler
from ..drawing import Drawing, Layout, Rhythm
from .extras import Extras, Rate, RecordExtras, seconds_of

Sex = Literal["female", "male"]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class Asked(Rate):
    """What all requests for records say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    steps: Annotated[
        int | None,
        Field(
            ge=1,
            le=2**31,
            description="How many steps; DDPM always takes all steps of the schedule",
            examples=[20],
        ),
    ] = None
    seed: Annotated[
        int | None,
        Field(
            ge=0,
            lt=2**64,
            description="The same seed gives the same records. Without one, a seed is drawn and returned",
            examples=[7],
        ),
    ] = None
    index: Annotated[
        int,
        Field(ge=0, lt=2**53, description="Number of the first record under its seed", examples=[0]),
    ] = 0
    age: Annotated[
        float | None, Field(ge=0, le=120, description="The patient's age in years, if the model takes it")
    ] = None
    sex: Annotated[Sex | None, Field(description="The patient's sex, if the model takes it")] = None
    heart_rate: Annotated[
        float | None,
        Field(
            ge=25,
            le=250,
            description="The heart rate in beats per minute, if the model takes it",
            examples=[72],
        ),
    ] = None
    measure: Annotated[
        bool,
        Field(
            description="Whether the answer includes heart rate, intervals, and the checks of the statements. Only "
            "records in JSON have a place for them"
        ),
    ] = False
    layout: Annotated[Layout, Field(description="How pictures arrange the leads: rows x columns")] = "3x4"
    speed: Annotated[Literal[25, 50], Field(description="Speed of the paper in pictures, in mm/s")] = 25
    gain: Annotated[Literal[5, 10, 20], Field(description="Gain in pictures, in mm/mV")] = 10
    rhythm: Annotated[
        Rhythm, Field(description="The lead that pictures show in full length below the others")
    ] = "II"

    @property
    def drawing(self) -> Drawing:
        """How pictures are drawn."""
        return Drawing(self.layout, self.speed, self.gain, self.rhythm)


class AskedOfSampler(Asked):
    """And those that may ask for several records, by any sampler."""

    count: Annotated[int, Field(ge=1, le=2**31, description="How many records", examples=[1])] = 1
    sampler: Annotated[
        Sampler | None,
        Field(
            description="The model's own sampler unless given. fitted and sde-dpmpp-2m suit few steps; consistency "
            "needs a distilled model",
            examples=["ddim"],
        ),
    ] = None


class GenerateRequest(AskedOfSampler, Extras):
    """What to generate."""

    statements: Annotated[
        list[Name],
        Field(
            min_length=1,
            max_length=71,
            description="The statements that every record has: codes, descriptions or aliases from /v1/labels",
            examples=[["AFIB"]],
        ),
    ]
    quality: Annotated[
        Literal["draft", "standard", "best"] | None,
        Field(description="A preset to use instead of sampler, steps and eta; /v1/models lists them"),
    ] = None
    eta: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="Noise of DDIM, from 0 (deterministic) to 1 (as much as DDPM)",
            examples=[0.0],
        ),
    ] = None
    exact: Annotated[
        bool,
        Field(
            description="Whether records have the named statements only, without those that often occur with them"
        ),
    ] = False

    @property
    def records(self) -> int:
        """How many records are asked for."""
        return self.count

    @property
    def parts(self) -> tuple[list[str], tuple[float, ...]]:
        """The statements, one for each part of a strip, and the seconds of the parts; see `extras.seconds_of`."""
        return seconds_of(self, self.statements)

    @property
    def sampling(self) -> dict[str, Any]:
        """What the request says of sssd.sampling.Sampling."""
        return {"quality": self.quality, "sampler": self.sampler, "steps": self.steps, "eta": self.eta}


class PictureQuery(BaseModel):
    """How an address says how pictures are drawn; `Asked` says what each value means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Layout = "3x4"
    speed: int = 25
    gain: int = 10
    rhythm: Rhythm = "II"


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
