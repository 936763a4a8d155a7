"""Whether all of a corpus is there and as it was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import manifest
from .manifest import Corpus

FOREIGN = "not of this corpus: remove it"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file of a corpus, and whether its shard has to be made again."""

    file: str
    what: str
    shard: int | None = None

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def verify(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
    """Every missing, truncated, altered or foreign file. Raises as `manifest.read` where nothing can be said."""
    corpus = manifest.read(folder)
    problems = [Problem(name, "missing or altered, and there is a copy") for name in manifest.damaged(folder)]
    for shard in range(corpus.shards):
        problem = _shard(folder, corpus, shard)
        if problem is not None:
            problems.append(problem)
        if progress is not None:
            progress(shard + 1, corpus.shards)
    ours = {Path(corpus.file(shard)).name for shard in range(corpus.shards)}
    found = sorted(path.name for path in (folder / "data").iterdir()) if (folder / "data").is_dir() else []
    problems += [
        Problem(f"data/{name}", FOREIGN) for name in found if name not in ours and not name.startswith(".")
    ]
    return problems


def _shard(folder: Path, corpus: Corpus, shard: int) -> Problem | None:
    file = corpus.file(shard)
    there = (folder / file).exists()
    try:
        note = manifest.read_note(folder, corpus, shard)
    except ValueError as error:
        return Problem(file, f"its note {error}", shard)
    if note is None:
        return Problem(file, "without its note: it was not finished" if there else "missing", shard)
    if not there:
        return Problem(file, "missing", shard)
    found = manifest.size(folder / file)
    if found != note.bytes:
        what = "truncated" if found < note.bytes else "longer than it was"
        return Problem(file, f"{what}: {found} bytes of {note.bytes}", shard)
    if manifest.file_hash(folder / file)[1] != note.sha256:
        return Problem(file, "altered: its SHA-256 is not the one it was written with", shard)
    return None


def repair(folder: Path, corpus: Corpus, problems: list[Problem]) -> str:
    """What puts right what `verify` found."""
    if all(problem.what == FOREIGN for problem in problems):
        return "remove what is not of this corpus"
    return manifest.again(folder, corpus) + ("" if len(corpus.parts) > 1 else " --check")
