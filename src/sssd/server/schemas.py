"""What goes over the wire, as OpenAPI shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..config.names import Sampler

Sex = Literal["female", "male"]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class Ask(BaseModel):
    """What to generate."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    statements: Annotated[
        list[Name],
        Field(
            min_length=1,
            max_length=71,
            description="Names that each record shall have: codes, descriptions or aliases of /v1/labels",
            examples=[["AFIB"]],
        ),
    ]
    count: Annotated[int, Field(ge=1, le=2**31, description="Records", examples=[1])] = 1
    quality: Annotated[
        Literal["draft", "standard", "best"] | None,
        Field(description="In place of sampler, steps and eta; see /v1/models"),
    ] = None
    sampler: Annotated[
        Sampler | None,
        Field(
            description="Default: the model's own; for few steps: fitted, unipc; of distilled models: consistency",
            examples=["ddim"],
        ),
    ] = None
    steps: Annotated[
        int | None, Field(ge=1, le=2**31, description="Not of DDPM, which takes all there are", examples=[20])
    ] = None
    eta: Annotated[
        float | None,
        Field(
            ge=0, le=1, description="Of DDIM: 0, deterministic, to 1, as much noise as DDPM", examples=[0.0]
        ),
    ] = None
    seed: Annotated[
        int | None,
        Field(ge=0, lt=2**64, description="Same seed, same records; drawn and told if absent", examples=[7]),
    ] = None
    index: Annotated[
        int,
        Field(ge=0, lt=2**53, description="Number of the first record under its seed", examples=[0]),
    ] = 0
    exact: Annotated[
        bool, Field(description="The named statements alone, without those that occur beside them")
    ] = False
    age: Annotated[float | None, Field(ge=0, le=120, description="Years; where the model has it")] = None
    sex: Annotated[Sex | None, Field(description="Where the model has it")] = None
    measure: Annotated[bool, Field(description="Add measured heart rate and intervals; JSON only")] = False


class Label(BaseModel):
    name: str
    description: str
    superclass: Annotated[str, Field(description="NORM, MI, STTC, CD, HYP, or empty: form or rhythm alone")]
    aliases: list[str]
    training_records: Annotated[int | None, Field(description="Of the built-in model; few: hardly learnt")]


class Quality(BaseModel):
    """What a quality stands for."""

    name: str
    sampler: str
    steps: int
    eta: float
    weights: Annotated[str, Field(description="default: the model's; any other has a hash of its own")]


class Model(BaseModel):
    name: str
    hash: Annotated[str, Field(description="SHA-256 of the weights")]
    statements: Annotated[int, Field(description="How many names there are to ask for")]
    age: Annotated[bool, Field(description="Whether the model takes an age")]
    sex: Annotated[bool, Field(description="Whether the model takes a sex")]
    qualities: Annotated[list[Quality], Field(description="That can be asked for")]
    samplers: list[str]
    steps_max: int
    fitted_steps: Annotated[list[int], Field(description="That solvers were fitted for: sampler fitted")]
    default: dict[str, Any]
    fs_hz: float
    samples: Annotated[int, Field(description="Of each lead")]
    device: str
    precision: Annotated[Literal["float32", "bf16"], Field(description="Of matrix products")]
    records_max: Annotated[int, Field(description="Of one request")]
    job_records_max: Annotated[int, Field(description="Of one job")]


class Measured(BaseModel):
    """null: could not be measured, or PR of a record without P waves that belong to its beats."""

    heart_rate_bpm: float | None
    pr_ms: float | None
    qrs_ms: float | None
    qt_ms: float | None
    qtc_ms: Annotated[float | None, Field(description="Bazett")]


class Record(BaseModel):
    statements: Annotated[list[str], Field(description="All of the record's, asked for or drawn beside them")]
    requested: str
    seed: int
    index: int
    age: Annotated[float | None, Field(description="As asked for, in years")] = None
    sex: Annotated[Sex | None, Field(description="As asked for")] = None
    fs_hz: float
    unit: Literal["mV"]
    leads: list[str]
    signal: Annotated[list[list[float]], Field(description="(12, L), to 1 uV")]
    measured: Measured | None = None


class Records(BaseModel):
    records: list[Record]
    provenance: Annotated[dict[str, Any], Field(description="How to make them again")]


class Job(BaseModel):
    id: str
    state: Literal["waiting", "running", "done", "cancelled", "failed"]
    done: Annotated[int, Field(description="Records that are there")]
    count: int
    message: Annotated[str, Field(description="Why it failed")] = ""


class Problem(BaseModel):
    detail: str
