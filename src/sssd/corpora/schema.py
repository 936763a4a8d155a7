"""The contents of corpus.json and of the notes in shards/, as frozen dataclasses.

A corpus may come from somebody else. Its files are therefore parsed strictly: types, ranges and lengths are checked,
unknown fields are refused, and text must be printable because it reaches terminals and data cards.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from ..checks import LEAST_S, MOST_S, MOST_THREADS
from ..config import names
from ..config.schema import Fit
from ..leads import CLINICAL, EIGHT
from ..presets import is_shipped
from .block import Extra

KIND, VERSION = "sssd-ecg corpus", 1
SUFFIX = {"parquet": ".parquet", "hdf5": ".h5", "npz": ".npz", "wfdb": ""}
MAX_SHARDS = 1_000_000


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return text


def _one_of(*known: str) -> AfterValidator:
    def check(text: str) -> str:
        if text not in known:
            raise ValueError(f"is {text!a}: expected one of {', '.join(known)}")
        return text

    return AfterValidator(check)


def _one_or_eight(factors: tuple[float, ...]) -> tuple[float, ...]:
    if len(factors) not in (1, len(EIGHT)):
        raise ValueError(f"holds {len(factors)} factors: expected one, or one for each of the eight leads")
    return factors


def _fit(values: dict[str, Any]) -> dict[str, Any]:
    try:
        return Fit.model_validate(values).model_dump()
    except ValidationError as error:
        raise ValueError(f"is no fitted solver: {error.errors()[0]['msg']}") from None


Text = Annotated[str, AfterValidator(_printable)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RecordCount = Annotated[int, Field(ge=1, le=10**12)]
Size = Annotated[int, Field(ge=1, le=10**7)]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]

STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True)
class Recipe:
    """How records were generated: everything that their bits depend on, and the machine they were made on.

    requests     SHA-256 of requests.npz
    source       what was asked for, in words
    model        SHA-256 of the weights
    checkpoint   the name of the model that ships with this package, or the path that the user gave. It is information
                 for the reader: a path is never opened because it stands here.
    config       the configuration of the checkpoint where it was given in a file of its own
    eta          of DDIM, else None
    spacing      how the steps are spread, None for DDPM and fitted solvers
    gain         the factors of the eight leads, or one for all; None if an earlier version did not record them
    fit          the values of a fitted solver, else None
    vary         the strength with which recordings are varied; None where records are made of labels alone
    recordings   the folder of these recordings that the user gave, information for the reader as the checkpoint
    duration     seconds of each record, where they are not what the model makes
    noise        what was added to each record (sssd.added_noise)
    annotate     whether records have annotations (sssd.annotations)
    detail       SHA-256 of the weights that brought records from 100 to 500 Hz (sssd.detail); None where none did
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    records: RecordCount
    requests: Sha256
    source: Text
    model: Sha256
    checkpoint: Text
    config: dict[str, Any] | None
    cauchy: names.Cauchy
    sampler: Annotated[str, _one_of(*get_args(names.Sampler))]
    steps: Size
    eta: Annotated[float, Field(ge=0, le=1)] | None
    spacing: Annotated[str, _one_of(*get_args(names.Spacing))] | None
    seed: Annotated[int, Field(ge=0, lt=2**64)]
    precision: Annotated[str, _one_of("float32", "bf16")]
    batch_size: Size
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)]
    device: Annotated[str, _one_of("cpu", "cuda", "mps")]
    machine: Text
    generator: Text
    torch: Text
    gain: Annotated[tuple[Factor, ...], AfterValidator(_one_or_eight)] | None = None
    fit: Annotated[dict[str, Any], AfterValidator(_fit)] | None = None
    vary: Annotated[float, Field(gt=0, le=1)] | None = None
    recordings: Text | None = None
    duration: Annotated[float, Field(ge=LEAST_S, le=MOST_S)] | None = None
    noise: Text | None = None
    annotate: bool = False
    detail: Sha256 | None = None

    @property
    def shipped(self) -> bool:
        """Whether the weights ship with this package, so that their name is enough to find them."""
        return is_shipped(self.checkpoint)

    def same_records(self) -> tuple[object, ...]:
        """Return a value that is equal for two recipes of the same records, apart from how machines round."""
        apart = (
            "checkpoint",
            "machine",
            "generator",
            "torch",
            "threads",
            "batch_size",
            "source",
            "device",
            "recordings",
            "annotate",
        )
        return tuple(repr(getattr(self, f.name)) for f in fields(self) if f.name not in apart)


@dataclass(frozen=True)
class Corpus:
    """What a corpus is. ValueError if its parts contradict each other.

    leads    the order of the 12 leads in every record
    fs_hz    samples per second
    length   samples of a record, L
    extra    columns that not every corpus has: age, sex, heart_rate, source, annotations
    parts    the recipe of its records; several, one after the other, where corpora were merged
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    records: RecordCount
    shard_size: Size
    format: names.CorpusFormat
    label_names: tuple[Annotated[Text, Field(min_length=1, max_length=256)], ...]
    leads: tuple[Text, ...]
    fs_hz: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    length: Size
    extra: tuple[Extra, ...]
    parts: Annotated[tuple[Recipe, ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        if self.shard_size < 1 or self.shards > MAX_SHARDS:
            raise ValueError(
                f"{self.records} records in shards of {self.shard_size} are too many files: "
                f"choose shards of {-(-self.records // MAX_SHARDS)} records or more"
            )
        if sum(part.records for part in self.parts) != self.records:
            raise ValueError(f"records is {self.records}, which is not the sum over its parts")
        if sorted(self.leads) != sorted(CLINICAL):
            raise ValueError(f"leads are {' '.join(self.leads)}; expected {' '.join(CLINICAL)} in some order")
        for name, values in (("label_names", self.label_names), ("extra", self.extra)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} holds a name twice")
        if any(part.annotate for part in self.parts) != ("annotations" in self.extra):
            raise ValueError("extra and parts differ on annotations")
        if len({part.noise is None for part in self.parts}) > 1:
            raise ValueError("parts with and without noise cannot be in one corpus")

    @property
    def noise(self) -> bool:
        """Whether noise was added to the records, so that they have `clean_uv`."""
        return self.parts[0].noise is not None

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-self.records // self.shard_size)

    def span(self, shard: int) -> range:
        """Return the numbers of the records in a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.records))

    def file(self, shard: int) -> str:
        """Return the file (for WFDB: the folder) of a shard, relative to the corpus."""
        return f"data/{shard:05d}{SUFFIX[self.format]}"

    def to_json(self) -> dict[str, Any]:
        """Return the contents of corpus.json, without the digest."""
        content = asdict(self)
        for part in content["parts"]:
            for name in ("gain", "fit", "vary", "recordings", "duration", "noise", "annotate", "detail"):
                if part[name] in (None, False):  # earlier versions did not write these
                    del part[name]
        return {"kind": KIND, "version": VERSION, **content}

    @property
    def digest(self) -> str:
        """SHA-256 of all of the above; every note names it as its corpus."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Note:
    """What is known about a finished shard.

    corpus         the digest of the corpus
    clipped        samples that were cut off at +-32.767 mV
    lead_uv        (12, 4): least, largest, mean and standard deviation of each lead, in microvolts
    label_counts   (K,) records with each label
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    shard: Count
    first: Count
    records: RecordCount
    file: Text
    bytes: Count
    sha256: Sha256
    corpus: Sha256
    clipped: Count
    lead_uv: tuple[tuple[Finite, Finite, Finite, Finite], ...]
    label_counts: tuple[Count, ...]


_CORPUS, _NOTE = TypeAdapter(Corpus), TypeAdapter(Note)


def parse_corpus(content: bytes) -> Corpus:
    """Return the corpus that the bytes of corpus.json describe; ValueError if they are damaged or wrong."""
    described = _load(content)
    if not isinstance(described, dict) or described.pop("kind", None) != KIND:
        raise ValueError("it does not describe a corpus")
    version, digest = described.pop("version", None), described.pop("digest", None)
    if version != VERSION:
        raise ValueError(
            f"it has version {version!r}, and this sssd-ecg reads version {VERSION}: use a newer sssd-ecg"
        )
    corpus: Corpus = _validate(_CORPUS, described)
    if corpus.digest != digest:
        raise ValueError("it was altered: its digest does not fit its contents")
    return corpus


def parse_note(content: bytes) -> Note:
    """Return the note that the bytes of a file in shards/ hold; ValueError if they are damaged or wrong."""
    note: Note = _validate(_NOTE, _load(content))
    return note


def _load(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is cut off or not JSON") from None


def _validate(adapter: TypeAdapter[Any], content: Any) -> Any:
    try:
        # As JSON, because a strict tuple may then be a list. Without escapes, which pydantic 2.7 reads wrongly.
        return adapter.validate_json(json.dumps(content, ensure_ascii=False))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":
            raise ValueError(f"{'.'.join(map(str, first['loc']))} {first['ctx']['error']}".strip()) from None
        name, found = ".".join(map(str, first["loc"])), ascii(first["input"])
        raise ValueError(f"{name or 'it'} is {found[:80]}: {first['msg']}") from None
