"""Verifying a corpus: whether all of it is there, as it was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import manifest
from .files import DATA, file_hash, inside, size
from .formats import check_format, check_readable
from .notes import read_note
from .schema import Corpus

FOREIGN = "not of this corpus: remove it"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file of a corpus, and the shard that has to be made again, if any."""

    file: str
    what: str
    shard: int | None = None

    def __str__(self) -> str:
        text = f"{self.file}: {self.what}"
        return text if text.isprintable() else ascii(text)


def verify(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
    """Find every missing, truncated, altered, unreadable or foreign file.

    Raises as `manifest.read` where there is no corpus; ValueError if the package that reads its format is missing.
    """
    corpus = manifest.read(folder)
    check_format(corpus.format)
    problems = [Problem(name, "missing or altered, and there is a copy") for name in manifest.damaged(folder)]
    for shard in range(corpus.shards):
        problem = _check_shard(folder, corpus, shard)
        if problem is not None:
            problems.append(problem)
        if progress is not None:
            progress(shard + 1, corpus.shards)
    ours = {Path(corpus.file(shard)).name for shard in range(corpus.shards)}
    found = sorted(path.name for path in (folder / DATA).iterdir()) if (folder / DATA).is_dir() else []
    problems += [
        Problem(f"{DATA}/{name}", FOREIGN) for name in found if name not in ours and not name.startswith(".")
    ]
    return problems


def repair(folder: Path, corpus: Corpus, problems: list[Problem]) -> str:
    """Return the command that repairs what `verify` found."""
    if all(problem.what == FOREIGN for problem in problems):
        return "remove what is not of this corpus"
    return manifest.repair_command(folder, corpus) + ("" if len(corpus.parts) > 1 else " --check")


def _check_shard(folder: Path, corpus: Corpus, shard: int) -> Problem | None:
    file = corpus.file(shard)
    try:
        path = inside(folder, file)
        note = read_note(folder, corpus, shard)
        if note is None:
            there = path.exists()
            return Problem(file, "without its note: it was not finished" if there else "missing", shard)
        if not path.exists():
            return Problem(file, "missing", shard)
        found = size(path)
        if found != note.bytes:
            what = "truncated" if found < note.bytes else "longer than it was"
            return Problem(file, f"{what}: {found} bytes of {note.bytes}", shard)
        if file_hash(path)[1] != note.sha256:
            return Problem(file, "altered: its SHA-256 is not the one it was written with", shard)
        check_readable(folder, corpus, shard)
    except ValueError as error:
        return Problem(file, str(error), shard)
    return None
