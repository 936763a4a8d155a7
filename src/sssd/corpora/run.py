"""Making a corpus: what is missing is handed to an engine shard by shard, and noted as it comes back.

The engine makes shards in this process (`local`) or on the workers of a cluster (`cluster.engine`). Notes are written
by one process, the one that holds the folder: a shard counts when it says so, and never before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from . import manifest
from .card import write_card
from .faults import explained, resuming
from .formats.wfdb import record_name
from .lock import locked
from .making import batches, write_shard
from .manifest import FILE, REQUESTS, SPARE, Corpus, Note, Recipe
from .plan import Plan
from .recipe import Generate
from .shard import remove

Report = Callable[[int, int], None]  # records done, of all
Step = tuple[
    int, int | Note
]  # a shard, and how many of its records are made, or its note once it is in place
Engine = Callable[[Path, Corpus, Plan, Iterator[int]], Generator[Step, None, None]]


def create(
    folder: Path, corpus: Corpus, plan: Plan, engine: Engine, *, progress: Report | None = None
) -> None:
    """Make a corpus in a new or empty folder. FileExistsError where it holds something else."""
    check_new(folder)
    with explained(folder, "begin again with the same command", resuming(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            check_new(folder)
            manifest.begin(folder, corpus, plan)
            write_card(folder, corpus)
            _fill(folder, corpus, plan, engine, progress)


def resume(folder: Path, engine: Engine, *, check: bool = False, progress: Report | None = None) -> list[int]:
    """Make the shards that are missing or of a wrong size, with `check` also those that were altered.

    Returns their numbers. ValueError where the corpus was merged, or neither copy of what it is is whole.
    """
    with explained(folder, resuming(folder)), locked(folder):
        manifest.restore(folder)
        corpus = manifest.read(folder)
        recipe_of(folder, corpus)
        return _fill(folder, corpus, manifest.read_plan(folder, corpus), engine, progress, check)


def check_new(folder: Path) -> None:
    """FileExistsError unless a corpus may begin in `folder`: it is absent, empty, or nothing came of an earlier one."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{str(folder)!r} is a file; choose another folder")
    if (folder / FILE).exists() or (folder / SPARE / FILE).exists():
        raise FileExistsError(
            f"{str(folder)!r} holds a corpus already: `sssd-ecg corpus resume {folder}`, or choose another folder"
        )
    begun = {".lock", "shards", "data", SPARE, REQUESTS}
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in begun and not p.name.endswith(".part"))
    if foreign:
        raise FileExistsError(
            f"the folder {str(folder)!r} is not empty, it holds {foreign[0]!r}; choose another"
        )


def recipe_of(folder: Path, corpus: Corpus) -> Recipe:
    """The recipe by which shards of a corpus can be made. ValueError where it was merged."""
    if len(corpus.parts) > 1:
        raise ValueError(
            f"{str(folder)!r} was merged from {len(corpus.parts)} corpora; to complete or repair it: "
            f"{manifest.again(folder, corpus)}"
        )
    return corpus.parts[0]


def finished(folder: Path, corpus: Corpus, shard: int, *, check: bool = False) -> bool:
    """Whether a shard has its note and is there in its size; with `check` also with its SHA-256."""
    try:
        note = manifest.read_note(folder, corpus, shard)
        if note is None or manifest.size(folder / note.file) != note.bytes:
            return False
        return not check or manifest.file_hash(folder / note.file)[1] == note.sha256
    except (ValueError, FileNotFoundError):
        return False


def local(generate: Generate) -> Engine:
    """Shards made in this process, one after the other."""

    def make(folder: Path, corpus: Corpus, plan: Plan, todo: Iterator[int]) -> Generator[Step, None, None]:
        pieces = batches(corpus, plan, generate)
        for number in todo:
            for step in write_shard(folder, corpus, number, pieces):
                yield number, step

    return make


def _fill(
    folder: Path, corpus: Corpus, plan: Plan, engine: Engine, progress: Report | None, check: bool = False
) -> list[int]:
    """Make every shard that is not finished, and what stands beside the shards; returns the numbers made."""
    clear(folder)
    made: list[int] = []
    there = 0  # records of finished shards
    under_way: dict[int, int] = {}  # records of shards that are not

    def report() -> None:
        if progress is not None:
            progress(there + sum(under_way.values()), corpus.records)

    def todo() -> Iterator[int]:
        nonlocal there
        for number in range(corpus.shards):
            if finished(folder, corpus, number, check=check):
                there += len(corpus.span(number))
                report()
            else:
                yield number

    with closing(engine(folder, corpus, plan, todo())) as steps:
        for number, step in steps:
            if isinstance(step, Note):
                manifest.write_note(folder, step)
                made.append(number)
                there += step.records
                under_way.pop(number, None)
            else:
                under_way[number] = step
            report()
    complete(folder, corpus)
    return sorted(made)


def clear(folder: Path) -> None:
    """Remove what an earlier run left half-written."""
    for name in (SPARE, "data", "shards"):
        (folder / name).mkdir(exist_ok=True)
    for place in ("", SPARE, "data", "shards"):
        for leftover in (folder / place).glob(".*.part"):
            remove(leftover)


def complete(folder: Path, corpus: Corpus) -> None:
    """Write what sums up all shards: the data card, and the list of records of WFDB."""
    write_card(folder, corpus, manifest.summary(corpus, manifest.notes(folder, corpus)))
    if corpus.format == "wfdb":
        part = manifest.beside(folder / "RECORDS")
        with part.open("w", encoding="ascii", newline="\n") as file:
            for number in range(corpus.shards):
                file.writelines(f"{corpus.file(number)}/{record_name(i)}\n" for i in corpus.span(number))
        manifest.sync(part)
        part.replace(folder / "RECORDS")
