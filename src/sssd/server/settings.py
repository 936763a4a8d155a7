"""What the operator may set: limits, keys, batching. A JSON file; unknown keys are errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Settings(BaseModel):
    """Limits and keys of the service."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    key_sha256: Annotated[
        list[Digest], Field(description="SHA-256 of the API keys; none: no key needed")
    ] = []

    records: Annotated[Count, Field(description="of one request")] = 64
    job_records: Annotated[Count, Field(description="of one job")] = 1024
    stored_records: Annotated[Count, Field(description="of all jobs, at 32 kB a record")] = 4096
    body_bytes: Annotated[Count, Field(description="of one request")] = 65536
    body_s: Annotated[Seconds, Field(description="for a client to send its request")] = 10.0
    request_s: Annotated[Seconds, Field(description="for one request, waiting included")] = 300.0
    job_kept_s: Annotated[Seconds, Field(description="for the result of a job to be fetched")] = 900.0
    drain_s: Annotated[Seconds, Field(description="for what runs to finish after SIGTERM")] = 300.0
    connections: Annotated[Count, Field(description="at once")] = 1024

    waiting_records: Annotated[Count, Field(description="in the queue; 429 past it")] = 512
    waiting_s: Annotated[Seconds, Field(description="expected in the queue; 429 past it")] = 240.0
    gather_s: Annotated[Seconds, Field(description="that a request waits for others to share its batch")] = (
        0.02
    )
    precision: Annotated[
        Literal["float32", "bf16", "auto"],
        Field(description="of matrix products; in bf16 records depend on their neighbours, by up to 0.1 mV"),
    ] = "float32"
    batch_records: Annotated[Count | None, Field(description="at once; none: what suits the device")] = None


def read_settings(path: str | os.PathLike[str] | None) -> Settings:
    """The settings of a JSON file; FileNotFoundError, or ValueError that names the key."""
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
        known = f"; known: {', '.join(Settings.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise ValueError(f"{str(path)!r}: {key + ': ' if key else ''}{first['msg']}{known}") from None
