"""The requests that the service takes, in JSON and in addresses, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..config.names import Quality, Sampler, Sex
from ..drawing import Drawing, Layout, Rhythm
from .encode import called
from .extras import Extras, Rate, seconds_of

Name = Annotated[str, Field(min_length=1, max_length=80)]


class Asked(Rate):
    """The keys of all requests for records."""

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
            description="The model's own sampler unless given. sde-ode-dpmpp-2m suits few steps; consistency needs a "
            "distilled model, and fitted one with fitted solvers",
            examples=["ddim"],
        ),
    ] = None


class GenerateRequest(AskedOfSampler, Extras):
    """What to generate."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"statements": ["AFIB", "LVH"], "quality": "standard", "seed": 7}]}
    )

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
        Quality | None,
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
    def called(self) -> str:
        """How the names of files begin, see `encode.called`."""
        steps = self.steps or ""
        how = self.sampler or ("steps" if steps else "")
        return called(self.statements, self.quality or f"{how}{steps}")

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling that the request asks for."""
        return {"quality": self.quality, "sampler": self.sampler, "steps": self.steps, "eta": self.eta}


class PictureQuery(BaseModel):
    """How an address says how pictures are drawn; `Asked` says what each value means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Layout = "3x4"
    speed: int = 25
    gain: int = 10
    rhythm: Rhythm = "II"
