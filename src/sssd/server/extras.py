"""What may be asked of generated records beside statements: their rate, length, noise, and marks on beats and waves.

The rules are those of `SSSDECG.generate_ecgs`: seed and index decide the noise, and annotations are those of the record
without it. A format that has no place for one of these refuses it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from ..added_noise import EXAMPLE
from ..checks import LEAST_S, MOST_S, timed


class Rate(BaseModel):
    """The sampling rate of records (sssd.detail)."""

    fs: Annotated[
        float | None,
        Field(
            gt=0,
            description="Samples per second, by default those of the network, 100. With 500, records also have what "
            "is above 46.5 Hz, and each counts as five",
            examples=[500],
        ),
    ] = None


class Extras(BaseModel):
    """Keys of a request for records."""

    duration: Annotated[
        float | None,
        Field(
            ge=LEAST_S,
            le=MOST_S,
            description="Seconds of each record; by default what the network makes, 10 s. In place of it, statements "
            "that change on the way: NORM@0-30 and AFIB@30-60",
            examples=[60],
        ),
    ] = None
    noise: Annotated[
        str | None,
        Field(
            max_length=200,
            description="What is added to each record. The answer has the record without it as well, as `clean`",
            examples=[EXAMPLE],
        ),
    ] = None
    annotate: Annotated[
        bool, Field(description="Whether beats are marked, and where P, QRS and T begin, peak and end")
    ] = False


class Mark(BaseModel):
    """What is marked at one sample."""

    sample: Annotated[int, Field(description="Its number, from 0")]
    symbol: Annotated[str, Field(description="One of WFDB, such as ( N ) p t V")]
    wave: Annotated[str, Field(description="P, QRS, T, or empty")]
    note: str


class Noise(BaseModel):
    """The noise that was added to a record."""

    added: str
    seed: int
    index: int
    snr_db: Annotated[
        float | None, Field(description="Power of the signal over that of the noise, in dB")
    ] = None


class RecordExtras(BaseModel):
    """What a record has if it was asked for."""

    parts: Annotated[
        list[str] | None, Field(description="The statements of each part, where they change on the way")
    ] = None
    noise: Noise | None = None
    clean: Annotated[
        list[list[float]] | None, Field(description="(12, L) in mV, the record without the noise")
    ] = None
    annotations: Annotated[list[Mark] | None, Field(description="In the order of samples")] = None
    left_out: Annotated[
        dict[str, int] | None,
        Field(description="How many waves of each kind are not marked, as two methods do not agree on them"),
    ] = None


def seconds_of(asked: Extras, statements: list[str]) -> tuple[list[str], tuple[float, ...]]:
    """Return the statements of a request, one for each part of a strip, and the seconds of the parts.

    There are no seconds for records of the length that the network makes. ValueError if times and durations contradict
    each other.
    """
    names, seconds = timed(statements)
    if seconds and asked.duration is not None:
        raise ValueError("give the length of records by duration or by the times of statements, not both")
    if sum(seconds) > MOST_S:
        raise ValueError(f"the statements take {sum(seconds):g} s: expected at most {MOST_S:g} s")
    return names, seconds or (() if asked.duration is None else (asked.duration,))
