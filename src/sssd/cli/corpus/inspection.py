"""`sssd-ecg corpus verify` and `sssd-ecg corpus info`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...checks import counted
from .. import options
from ..console import say, usage
from .shared import Folder, described, reporting


def verify(folder: Folder, quiet: options.Quiet = False) -> None:
    """Read a corpus and name every missing, altered, unreadable or foreign file. The exit code is 1 if there is one."""
    with usage():
        from ...corpora import manifest
        from ...corpora.verify import repair
        from ...corpora.verify import verify as check

        corpus = manifest.read(folder)
    with reporting(quiet, "verifying") as report:
        problems = check(folder, progress=report)
    if problems:
        say(*map(str, problems))
        raise ValueError(
            f"{counted(len(problems), 'problem')} in {folder}; to repair: {repair(folder, corpus, problems)}"
        )
    say(f"{described(corpus)} in {folder}: all of it is there, as it was written", quiet=quiet)


def info(
    folder: Folder, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show what a corpus is and how many of its records are finished."""
    with usage():
        import json

        from ...corpora import manifest
        from ...corpora.notes import finished, read_note, summary

        corpus = manifest.read(folder)
    done = [n for n in range(corpus.shards) if finished(folder, corpus, n)]
    notes = (read_note(folder, corpus, number) for number in done)
    total = summary(corpus, (note for note in notes if note is not None))
    if as_json:
        state = {"finished_shards": len(done), "shards": corpus.shards, **total}
        print(json.dumps({**corpus.to_json(), "digest": corpus.digest, "state": state}, indent=2))
        return
    say(
        f"{described(corpus)}: {len(done)} of {counted(corpus.shards, 'shard')} finished, "
        f"{counted(total['records'], 'record')}, {total['bytes'] / 1e6:.1f} MB",
        f"signal: int16 uV, {len(corpus.leads)} leads x {corpus.length} samples at {corpus.fs_hz:g} Hz; "
        f"{' '.join(corpus.leads)}",
    )
    for part in corpus.parts:
        how = f"{part.sampler}, {counted(part.steps, 'step')}, {part.precision}, seed {part.seed}"
        say(f"{counted(part.records, 'record')}: {part.source}; {how}; {part.checkpoint} {part.model[:12]}")
    if len(done) < corpus.shards:
        say(f"to complete it: {manifest.repair_command(folder, corpus)}")
