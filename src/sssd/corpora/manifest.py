"""What a corpus is and how far it is, as files that are each written once, whole.

corpus.json        what the corpus is: recipe, labels, leads, shards. Never changed after it was written.
requests.npz       the plan: which labels record i carries
spare/             copies of both
shards/00000.json  one note per finished shard: its file, bytes, SHA-256, statistics
data/00000.parquet the shard itself

A shard counts once its note is there, and the note is written after the shard is in place. A run that is killed at any
moment leaves at most files without a note, which are made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from . import plan as plans

FILE, REQUESTS, SPARE = "corpus.json", "requests.npz", "spare"
KIND, VERSION = "sssd-ecg corpus", 1
SUFFIX = {"parquet": ".parquet", "hdf5": ".h5", "npz": ".npz", "wfdb": ""}


@dataclass(frozen=True)
class Recipe:
    """How records were generated: all that their bits depend on, and on what they were made.

    requests   SHA-256 of requests.npz;  source  what was asked for, in words
    config     of the checkpoint, where it was given apart
    """

    records: int
    requests: str
    source: str
    model: str
    checkpoint: str
    config: dict[str, Any] | None
    cauchy: str
    sampler: str
    steps: int
    eta: float | None
    spacing: str | None
    seed: int
    precision: str
    batch_size: int
    threads: int
    device: str
    machine: str
    generator: str
    torch: str

    def same_records(self) -> tuple[object, ...]:
        """Equal for two recipes that make the same records."""
        apart = ("checkpoint", "machine", "generator", "torch", "threads", "batch_size", "source", "device")
        return tuple(repr(getattr(self, f.name)) for f in fields(self) if f.name not in apart)


@dataclass(frozen=True)
class Corpus:
    """What a corpus is. parts: the recipe of its records; several, one after the other, where it was merged."""

    records: int
    shard_size: int
    format: str
    label_names: tuple[str, ...]
    leads: tuple[str, ...]
    fs_hz: float
    length: int
    extra: tuple[str, ...]  # columns beside the usual ones: age, sex
    parts: tuple[Recipe, ...]

    @property
    def shards(self) -> int:
        return -(-self.records // self.shard_size)

    def span(self, shard: int) -> range:
        """The records of a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.records))

    def file(self, shard: int) -> str:
        """The file, or folder, of a shard, relative to the corpus."""
        return f"data/{shard:05d}{SUFFIX[self.format]}"

    def to_json(self) -> dict[str, Any]:
        return {"kind": KIND, "version": VERSION, **asdict(self)}

    @property
    def digest(self) -> str:
        """SHA-256 of all of it: what every shard's note names as its corpus."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Note:
    """What is known of a finished shard. lead_uv: per lead least, largest, mean, standard deviation in microvolts."""

    shard: int
    first: int
    records: int
    file: str
    bytes: int
    sha256: str
    corpus: str
    clipped: int
    lead_uv: tuple[tuple[float, ...], ...]
    label_counts: tuple[int, ...]


# --- what the corpus is -------------------------------------------------------------------------------------


def begin(folder: Path, corpus: Corpus, plan: plans.Plan | None) -> None:
    """Write what the corpus is into `folder`, which exists; corpus.json comes last and makes it one."""
    for name in ("", SPARE, "shards", "data"):
        (folder / name).mkdir(exist_ok=True)
    content = json.dumps({**corpus.to_json(), "digest": corpus.digest}, indent=1, sort_keys=True) + "\n"
    for place in (folder / SPARE, folder):
        if plan is not None:
            write(place / REQUESTS, plan.to_bytes())
        write(place / FILE, content.encode())


def read(folder: Path) -> Corpus:
    """What the corpus in `folder` is, from the spare copy where the first is damaged.

    FileNotFoundError where there is none; ValueError where both copies are damaged.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(folder)!r}")
    problems = []
    for path in (folder / FILE, folder / SPARE / FILE):
        try:
            return _parse(path)
        except FileNotFoundError:
            continue
        except (ValueError, LookupError, TypeError) as error:
            problems.append(f"{path.relative_to(folder)}: {error}")
    if problems:
        raise ValueError(
            f"{str(folder)!r}: what the corpus is cannot be read ({'; '.join(problems)}): put {FILE} back from a "
            "backup, or begin again with the same options, which make the same records"
        )
    raise FileNotFoundError(f"{str(folder)!r} holds no corpus: expected {FILE} in it")


def damaged(folder: Path) -> list[str]:
    """Which of the files that say what the corpus is are missing or damaged, at least one copy being whole."""
    corpus, bad = read(folder), []
    for place in ("", f"{SPARE}/"):
        try:
            whole = _parse(folder / place / FILE) == corpus
        except (OSError, ValueError, LookupError, TypeError):
            whole = False
        if not whole:
            bad.append(f"{place}{FILE}")
        if len(corpus.parts) == 1 and not _is(folder / place / REQUESTS, corpus.parts[0].requests):
            bad.append(f"{place}{REQUESTS}")
    return bad


def restore(folder: Path) -> list[str]:
    """Put damaged files back from their copies; returns which. ValueError where neither copy is whole."""
    bad = damaged(folder)
    for name in bad:
        other = name.removeprefix(f"{SPARE}/") if name.startswith(SPARE) else f"{SPARE}/{name}"
        if other in bad:
            raise ValueError(
                f"{str(folder)!r}: {name} and {other} are both missing or altered: put one back from a backup, or "
                "begin again with the same options, which make the same records"
            )
    for name in bad:
        other = name.removeprefix(f"{SPARE}/") if name.startswith(SPARE) else f"{SPARE}/{name}"
        (folder / name).parent.mkdir(exist_ok=True)
        write(folder / name, (folder / other).read_bytes())
    return bad


def read_plan(folder: Path, corpus: Corpus) -> plans.Plan:
    """The plan of a corpus that was not merged. ValueError where neither copy is whole."""
    for path in (folder / REQUESTS, folder / SPARE / REQUESTS):
        if _is(path, corpus.parts[0].requests):
            return plans.from_bytes(path.read_bytes())
    raise ValueError(f"{str(folder)!r}: {REQUESTS} and its copy in {SPARE} are both missing or altered")


def _parse(path: Path) -> Corpus:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        raise ValueError("it is cut off or no JSON") from None
    if not isinstance(content, dict) or content.pop("kind", None) != KIND:
        raise ValueError("it describes no corpus")
    version, digest = content.pop("version"), content.pop("digest")
    if version != VERSION:
        raise ValueError(f"it is of version {version}, and this sssd-ecg reads {VERSION}: use a newer one")
    for name in ("label_names", "leads", "extra"):
        content[name] = tuple(content[name])
    corpus = Corpus(**{**content, "parts": tuple(Recipe(**part) for part in content["parts"])})
    if corpus.digest != digest:
        raise ValueError("it was altered: its digest does not fit its content")
    return corpus


# --- how far it is --------------------------------------------------------------------------------------------


def note_path(folder: Path, shard: int) -> Path:
    return folder / "shards" / f"{shard:05d}.json"


def write_note(folder: Path, note: Note) -> None:
    write(note_path(folder, note.shard), (json.dumps(asdict(note), sort_keys=True) + "\n").encode())


def read_note(folder: Path, corpus: Corpus, shard: int) -> Note | None:
    """The note of a shard, or None where there is none. ValueError where it is cut off or of another corpus."""
    path = note_path(folder, shard)
    try:
        content = json.loads(path.read_bytes())
        note = Note(**{**content, "lead_uv": tuple(map(tuple, content["lead_uv"]))})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError):
        raise ValueError(f"{path.relative_to(folder)} is cut off or altered") from None
    span = corpus.span(shard)
    expected = (shard, span.start, len(span), corpus.file(shard), corpus.digest)
    if (note.shard, note.first, note.records, note.file, note.corpus) != expected:
        raise ValueError(f"{path.relative_to(folder)} belongs to another corpus")
    return note


def notes(folder: Path, corpus: Corpus) -> Iterator[Note]:
    """The notes of all shards, one at a time. ValueError where a shard is not finished."""
    for shard in range(corpus.shards):
        note = read_note(folder, corpus, shard)
        if note is None or not (folder / note.file).exists():
            raise ValueError(
                f"{str(folder)!r} is not complete: shard {shard} of {corpus.shards} is missing; "
                f"to complete it: {again(folder, corpus)}"
            )
        yield note


def again(folder: Path, corpus: Corpus) -> str:
    """The command that makes what is missing; for one that was merged also what is altered, else with --check."""
    merged = len(corpus.parts) > 1
    return "the same `sssd-ecg corpus merge` again" if merged else f"sssd-ecg corpus resume {folder}"


# --- files --------------------------------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> None:
    """Write a file whole: beside, to the disk, then renamed over whatever there was."""
    part = beside(path)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)


def beside(path: Path) -> Path:
    """A name, another one each time, under which a file or folder is written before it is complete."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_hash(path: Path) -> tuple[int, str]:
    """(bytes, SHA-256) of a file; of a folder, over its files by name."""
    digest = hashlib.sha256()
    if not path.is_dir():
        piece = memoryview(bytearray(1 << 18))
        with path.open("rb", buffering=0) as file:
            while n := file.readinto(piece):
                digest.update(piece[:n])
        return path.stat().st_size, digest.hexdigest()
    total = 0
    for name in sorted(os.listdir(path)):
        content = (path / name).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
        total += len(content)
    return total, digest.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in os.scandir(path))
    return path.stat().st_size


def _is(path: Path, sha256: str) -> bool:
    try:
        return file_hash(path)[1] == sha256
    except OSError:
        return False


def summary(corpus: Corpus, all_notes: Iterator[Note]) -> Mapping[str, Any]:
    """Totals over all shards: bytes, records per label, clipped samples, and per lead range, mean and deviation."""
    import numpy as np

    bytes_, clipped, records = 0, 0, 0
    counts = np.zeros(len(corpus.label_names), np.int64)
    low, high = np.full(len(corpus.leads), np.inf), np.full(len(corpus.leads), -np.inf)
    first, second = np.zeros(len(corpus.leads)), np.zeros(len(corpus.leads))
    for note in all_notes:
        lead = np.array(note.lead_uv)  # (12, 4)
        bytes_, clipped, records = bytes_ + note.bytes, clipped + note.clipped, records + note.records
        counts += np.array(note.label_counts, np.int64)
        low, high = np.minimum(low, lead[:, 0]), np.maximum(high, lead[:, 1])
        first, second = (
            first + note.records * lead[:, 2],
            second + note.records * (lead[:, 2] ** 2 + lead[:, 3] ** 2),
        )
    mean = first / max(records, 1)
    std = np.sqrt(np.maximum(second / max(records, 1) - mean**2, 0))
    return {
        "records": records,
        "bytes": bytes_,
        "clipped": clipped,
        "label_counts": counts.tolist(),
        "lead_uv": np.stack([low, high, mean, std], axis=1).tolist(),
    }
