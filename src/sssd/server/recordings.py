"""Recordings as clients send them, and the requests to vary, edit or complete them.

A recording comes as numbers in JSON, the form in which records are answered, or as the contents of its files in
base64. No file is written or read.
"""

from __future__ import annotations

import base64
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .. import editing
from ..config.names import EDIT_STRENGTH, VARY_STRENGTH, Sex
from ..editing import Change, Own
from ..io.raw import Raw
from ..io.uploads import read_files
from ..leads import CLINICAL
from ..measurements import intervals, measurements
from ..record import Ecg, as_statement
from ..sampling import Sampling
from .answers import Measured
from .asked import Asked, AskedOfSampler, Name
from .encode import called

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..editing import Taken
    from ..model_wrapper import SSSDECG

LEADS, SAMPLES = 16, 20_000  # at most; devices with more leads than the twelve are few
FILES = 4  # of a recording
SECONDS = 11.0  # of a file that are read, as the filter needs some samples after 10 s
MOST_MV = 1000.0  # a larger number is not in mV

Sample = Annotated[float, Field(ge=-MOST_MV, le=MOST_MV)]
Statements = Annotated[list[Name], Field(max_length=71)]
Lead = Annotated[list[Sample | None], Field(min_length=2, max_length=SAMPLES)]


class Recording(BaseModel):
    """A recording, of which the first 10 s are used."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    fs_hz: Annotated[float, Field(gt=0, le=20_000, description="Samples per second", examples=[500.0])]
    unit: Literal["mV"] = "mV"
    leads: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=40)]],
        Field(
            min_length=1,
            max_length=LEADS,
            description="The names of the rows of signal, any of the usual ones. Two limb leads give the other four",
            examples=[["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]],
        ),
    ]
    signal: Annotated[
        list[Lead],
        Field(
            min_length=1,
            max_length=LEADS,
            description="(leads, samples) in mV; null where a sample is missing, which only /v1/complete takes",
            examples=[[[0.012, 0.015, 0.011], [0.020, 0.024, 0.019]]],
        ),
    ]
    statements: Annotated[
        Statements, Field(description="What the recording shows, if it is known", examples=[["NORM", "SR"]])
    ] = []

    @model_validator(mode="after")
    def _fits(self) -> Recording:
        lengths = {len(row) for row in self.signal}
        if len(self.signal) != len(self.leads):
            raise ValueError(f"signal has {len(self.signal)} rows and leads {len(self.leads)} names")
        if len(lengths) > 1:
            raise ValueError(
                f"the rows of signal have {min(lengths)} to {max(lengths)} samples: expected one length"
            )
        return self

    @property
    def raw(self) -> Raw:
        """The recording as it is read from files."""
        signal = np.array(self.signal, dtype=np.float64)  # None becomes NaN
        return Raw(
            signal, tuple(self.leads), self.fs_hz, statements=tuple(map(as_statement, self.statements))
        )


class Sent(BaseModel):
    """A recording, as numbers or as files."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    recording: Recording | None = None
    files: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=200)], str] | None,
        Field(
            min_length=1,
            max_length=FILES,
            description="In place of recording: its files by name, each in base64. A WFDB header with its signal "
            "file, or one file .npz, .csv, .edf or .dcm",
            examples=[{"ecg.hea": "cjAx...", "ecg.dat": "AAEC..."}],
        ),
    ] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.recording is None) == (self.files is None):
            raise ValueError("give the recording as numbers (recording) or as files, and not both")
        return self

    @property
    def raw(self) -> Raw:
        """The recording as it is read from files. ValueError if it cannot be read."""
        if self.recording is not None:
            return self.recording.raw
        assert self.files is not None
        contents = {name: _decoded(name, text) for name, text in self.files.items()}
        try:
            return read_files(contents, seconds=SECONDS)
        except ValueError as error:
            raise ValueError(f"the recording: {error}") from None
        except ModuleNotFoundError as error:  # EDF and DICOM are optional
            raise ValueError(str(error)) from None


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"the file {name[:80]!a} is not in base64: {error}") from None


class RecordingRequest(Sent):
    """A recording to be read."""

    def read(self, model: SSSDECG) -> RecordingRead:
        """Return the recording as the model takes it. ValueError if it cannot be used."""
        taken = editing.take(model, self.raw, partial=True)
        rounded = np.round(taken.twelve_mv, 3) + 0.0
        signal = [[None if value != value else value for value in row] for row in rounded.tolist()]
        return RecordingRead(
            recording=Recording(
                fs_hz=model.fs_hz,
                leads=list(CLINICAL),
                signal=signal,
                statements=list(taken.statements),
            ),
            whole=taken.whole,
            measured=_measured(taken, model) if taken.whole else None,
            notes=list(taken.notes),
        )


def _measured(taken: Taken, model: SSSDECG) -> Measured:
    ecg = Ecg(taken.twelve_mv, model.fs_hz, statements=taken.statements)
    return Measured.model_validate(intervals(measurements(ecg)))


class RecordingRead(BaseModel):
    """A recording as the model takes it."""

    recording: Annotated[Recording, Field(description="With null where leads and samples are missing")]
    whole: Annotated[
        bool, Field(description="Whether nothing is missing; otherwise only /v1/complete takes it")
    ]
    measured: Annotated[Measured | None, Field(description="null where something is missing")]
    notes: Annotated[
        list[str],
        Field(description="What was done to it, in words", examples=[["resampled from 500 to 100 Hz"]]),
    ]


class ChangeRequest(Asked, Sent):
    """What to make of a recording. task: in a word, after which files are called."""

    task: ClassVar[str]

    @property
    def called(self) -> str:
        """How the names of files begin, such as vary_seed; see `encode.called`."""
        return called([self.task], "")

    @property
    @abstractmethod
    def records(self) -> int:
        """How many records are asked for."""

    @abstractmethod
    def change(self, model: SSSDECG) -> Change:
        """Return what makes the records. ValueError if the recording cannot be used, or the model lacks something."""

    @property
    def own(self) -> Own:
        """What the recording shows, and the age and sex of its patient."""
        return Own(None, self.age, self.sex, self.heart_rate)


class ManyRequest(ChangeRequest, AskedOfSampler):
    """A request for several records that are made of a recording."""

    @property
    def records(self) -> int:
        return self.count

    @property
    def sampled(self) -> Sampling:
        """The sampler and its steps."""
        return Sampling.of(sampler=self.sampler, steps=self.steps)


class VaryRequest(ManyRequest):
    """More records like a recording."""

    task = "vary"

    strength: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Distance from the recording: hardly changed to a new record",
            examples=[VARY_STRENGTH],
        ),
    ] = VARY_STRENGTH

    def change(self, model: SSSDECG) -> Change:
        return editing.vary(model, self.raw, self.count, self.strength, self.own, self.sampled)


class CompleteRequest(ManyRequest):
    """Leads and samples that a recording lacks, made several times."""

    task = "complete"

    known: Annotated[
        list[Annotated[str, Field(max_length=40)]] | None,
        Field(
            max_length=LEADS,
            description="The leads that are kept; by default all that the recording has",
            examples=[["I", "II"]],
        ),
    ] = None
    gaps: Annotated[
        list[Annotated[list[float], Field(min_length=2, max_length=2)]],
        Field(
            max_length=100,
            description="Pairs of seconds between which nothing is known",
            examples=[[[2.5, 4.0]]],
        ),
    ] = []

    def change(self, model: SSSDECG) -> Change:
        gaps = [(start, end) for start, end in self.gaps]
        return editing.complete(model, self.raw, self.count, self.known, gaps, self.own, self.sampled)


class EditRequest(ChangeRequest):
    """A recording with other statements, another age, sex or heart rate.

    statements, age, sex and heart_rate are those that it is to have.
    """

    task = "edit"

    statements: Annotated[
        Statements | None,
        Field(description="Exactly those that it is to have; by default its own", examples=[["CLBBB", "SR"]]),
    ] = None
    strength: Annotated[
        float,
        Field(gt=0, le=1, description="How much may change", examples=[EDIT_STRENGTH]),
    ] = EDIT_STRENGTH
    own_age: Annotated[
        float | None, Field(ge=0, le=120, description="The patient's age in years, if it is known")
    ] = None
    own_sex: Annotated[Sex | None, Field(description="The patient's sex, if it is known")] = None
    own_heart_rate: Annotated[
        float | None,
        Field(ge=25, le=250, description="The heart rate of the recording; without it, it is measured"),
    ] = None

    @property
    def records(self) -> int:
        return 1

    def change(self, model: SSSDECG) -> Change:
        wanted = Own(self.statements, self.age, self.sex, self.heart_rate)
        own = Own(None, self.own_age, self.own_sex, self.own_heart_rate)
        return editing.edit(model, self.raw, wanted, self.strength, own, self.steps)
