"""What the operator of a service may set: limits, API keys and batching. A JSON file; unknown keys are errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Settings(BaseModel):
    """Limits and keys of the service. Names that end in _s are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    key_sha256: Annotated[
        list[Digest],
        Field(description="SHA-256 hashes of the API keys. Where there are none, no key is needed"),
    ] = []

    records: Annotated[Count, Field(description="How many records one request may ask for")] = 64
    job_records: Annotated[Count, Field(description="How many records one job may ask for")] = 1024
    stored_records: Annotated[
        Count, Field(description="How many records all jobs together may hold; each takes 32 kB")
    ] = 4096
    body_bytes: Annotated[Count, Field(description="How large the body of a request may be")] = 65536
    recording_bytes: Annotated[Count, Field(description="How large it may be where it holds a recording")] = (
        1_000_000
    )
    bodies_bytes: Annotated[
        Count,
        Field(description="How large all bodies of unanswered requests may be together; past it, 429"),
    ] = 32_000_000
    body_s: Annotated[Seconds, Field(description="How long a body may take to arrive")] = 10.0
    request_s: Annotated[
        Seconds, Field(description="How long a request may take, including its time in the queue")
    ] = 300.0
    job_kept_s: Annotated[Seconds, Field(description="How long the result of a job is kept")] = 900.0
    drain_s: Annotated[Seconds, Field(description="How long running requests may go on after SIGTERM")] = (
        300.0
    )
    connections: Annotated[Count, Field(description="How many connections may be open; past it, 429")] = 1024

    access_log: Annotated[
        bool, Field(description="Whether each request is a line of JSON on standard error")
    ] = False
    waiting_records: Annotated[
        Count, Field(description="How many records may wait in the queue; past it, 429")
    ] = 512
    waiting_s: Annotated[
        Seconds, Field(description="How many seconds of work may wait in the queue; past it, 429")
    ] = 240.0
    gather_s: Annotated[
        Seconds, Field(description="How long a request waits for others to share its batch")
    ] = 0.02
    precision: Annotated[
        Literal["float32", "bf16", "auto"],
        Field(
            description="Precision of matrix products. In bf16 a record depends on the other records of its "
            "batch, by up to 0.1 mV"
        ),
    ] = "float32"
    batch_records: Annotated[
        Count | None,
        Field(description="How many records a batch may hold; without, as many as suit the device"),
    ] = None


def read_settings(path: str | os.PathLike[str] | None) -> Settings:
    """Read settings from a JSON file; without a path, the defaults.

    Raises FileNotFoundError, or ValueError with a message that names the wrong key.
    """
    if path is None:
        return Settings()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r} to read settings from")
    try:
        return Settings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = (
            f"; the known keys are {', '.join(Settings.model_fields)}"
            if first["type"] == "extra_forbidden"
            else ""
        )
        raise ValueError(f"{str(path)!r}: {key + ': ' if key else ''}{first['msg']}{known}") from None
