"""Creating and resuming a corpus: an engine makes the missing shards, and each gets a note when it is done.

The engine makes shards in this process (`local`) or on the workers of a cluster (`workers.engine`). Notes are written
by one process, the one that holds the folder: a shard counts once its note is there, and never before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import closing
from pathlib import Path

from ..io.files import replacing
from . import manifest
from .card import write_card
from .croissant import write_croissant
from .disk_errors import explained
from .files import DATA, FOLDERS, SHARDS, SPARE, check_folders, remove
from .formats.wfdb import record_name
from .generation import batches, write_shard
from .lock import HOLDER, LOCK, locked
from .manifest import FILE, REQUESTS, repair_command
from .notes import finished, read_notes, summary, write_note
from .plan import Plan
from .recipe import Generate
from .schema import Corpus, Note, Recipe

Report = Callable[[int, int], None]  # called with the records that are done, and the number of all records

FINISHING = 2  # shards that may be hashed and flushed to the disk while the next is generated

# a shard's number, and the number of its records generated so far or, once it is in place, its note
Step = tuple[int, int | Note]
Engine = Callable[[Path, Corpus, Plan, Iterator[int]], Generator[Step, None, None]]


def create(
    folder: Path, corpus: Corpus, plan: Plan, engine: Engine, *, progress: Report | None = None
) -> None:
    """Make a corpus in a new or empty folder. FileExistsError if it holds something else.

    ValueError if the description of the corpus could not be read back; there is no folder then.
    """
    check_new(folder)
    requests = plan.to_bytes()
    manifest.checked(corpus, requests)
    with explained(folder, "begin again with the same command", f"run `{repair_command(folder, corpus)}`"):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            check_new(folder)
            manifest.begin(folder, corpus, requests)
            write_card(folder, corpus)
            write_croissant(folder, corpus)
            _fill(folder, corpus, plan, engine, progress)


def resume(folder: Path, engine: Engine, *, check: bool = False, progress: Report | None = None) -> list[int]:
    """Make the shards that are missing or have a wrong size; with `check`, also those that were altered.

    Returns their numbers. ValueError if the corpus was merged, or where both copies of its description are damaged.
    """
    corpus = manifest.read(folder)
    recipe_of(folder, corpus)
    with explained(folder, f"run `{repair_command(folder, corpus)}`"), locked(folder):
        manifest.restore(folder)
        return _fill(folder, corpus, manifest.read_plan(folder, corpus), engine, progress, check)


def check_new(folder: Path) -> None:
    """Raise FileExistsError unless the folder is missing, empty, or left by a `create` that wrote nothing else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{str(folder)!r} is a file; choose another folder")
    if (folder / FILE).exists() or (folder / SPARE / FILE).exists():
        raise FileExistsError(
            f"{str(folder)!r} holds a corpus already: `sssd-ecg corpus resume {folder}`, or choose another folder"
        )
    begun = {LOCK, HOLDER, REQUESTS, *FOLDERS}
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in begun and not p.name.endswith(".part"))
    if foreign:
        raise FileExistsError(
            f"the folder {str(folder)!r} is not empty, it holds {foreign[0]!r}; choose another"
        )


def recipe_of(folder: Path, corpus: Corpus) -> Recipe:
    """Return the recipe with which shards of a corpus can be made. ValueError if the corpus was merged."""
    if len(corpus.parts) > 1:
        raise ValueError(
            f"{str(folder)!r} was merged from {len(corpus.parts)} corpora; to complete or repair it: "
            f"{repair_command(folder, corpus)}"
        )
    return corpus.parts[0]


def local(generate: Generate) -> Engine:
    """Return an engine that makes the shards in this process.

    They are generated one after the other, and the last few are finished (hashed and flushed to the disk) meanwhile.
    """

    def make(folder: Path, corpus: Corpus, plan: Plan, todo: Iterator[int]) -> Generator[Step, None, None]:
        pieces = batches(corpus, plan, generate)
        finishing: deque[tuple[int, Future[Note]]] = deque()

        def notes(unfinished: int) -> Iterator[Step]:
            while finishing and (len(finishing) > unfinished or finishing[0][1].done()):
                number, note = finishing.popleft()
                yield number, note.result()

        try:
            for number in todo:
                for step in write_shard(folder, corpus, number, pieces):
                    if isinstance(step, Future):
                        finishing.append((number, step))
                    else:
                        yield number, step
                    yield from notes(FINISHING)
            yield from notes(0)
        except GeneratorExit:
            wait([note for _, note in finishing])
            raise
        except BaseException:
            yield from notes(0)  # these shards are whole, so they count
            raise

    return make


def _fill(
    folder: Path, corpus: Corpus, plan: Plan, engine: Engine, progress: Report | None, check: bool = False
) -> list[int]:
    """Make every shard that is not finished, then the data card; returns the numbers of the shards made."""
    clear(folder)
    made: list[int] = []
    done = 0  # records of finished shards
    under_way: dict[int, int] = {}  # records generated of shards that are not finished

    def report() -> None:
        if progress is not None:
            progress(done + sum(under_way.values()), corpus.records)

    def todo() -> Iterator[int]:
        nonlocal done
        for number in range(corpus.shards):
            if finished(folder, corpus, number, check=check):
                done += len(corpus.span(number))
                report()
            else:
                yield number

    with closing(engine(folder, corpus, plan, todo())) as steps:
        for number, step in steps:
            if isinstance(step, Note):
                write_note(folder, step)
                made.append(number)
                done += step.records
                under_way.pop(number, None)
            else:
                under_way[number] = step
            report()
    complete(folder, corpus)
    return sorted(made)


def clear(folder: Path) -> None:
    """Remove what an earlier run left half-written."""
    check_folders(folder)
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    for place in ("", SPARE, DATA, SHARDS):
        for leftover in (folder / place).glob(".*.part"):
            remove(leftover)


def complete(folder: Path, corpus: Corpus) -> None:
    """Write what sums up all shards: the data card, its form for programs and, for WFDB, the list of records."""
    write_card(folder, corpus, summary(corpus, read_notes(folder, corpus)))
    write_croissant(folder, corpus)
    if corpus.format == "wfdb":
        with (
            replacing(folder / "RECORDS", overwrite=True) as (part,),
            part.open("w", newline="\n", encoding="utf-8") as file,
        ):
            for number in range(corpus.shards):
                file.writelines(f"{corpus.file(number)}/{record_name(i)}\n" for i in corpus.span(number))
