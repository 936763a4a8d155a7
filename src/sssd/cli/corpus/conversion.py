"""`sssd-ecg corpus convert` and `sssd-ecg corpus merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...config.names import CorpusFormat
from .. import options
from ..console import UsageError, note, say, usage
from .shared import Folder, described, reporting

ShardSize = Annotated[
    int | None, typer.Option(min=1, help="Records in each new shard. Default: as many as before.")
]


def convert(
    folder: Folder,
    out: Annotated[
        Path, typer.Argument(help="Folder to write: new, empty, or that of a conversion that was stopped.")
    ],
    file_format: Annotated[CorpusFormat, typer.Option("--format", help="Format of the new shards.")],
    shard_size: ShardSize = None,
    quiet: options.Quiet = False,
) -> None:
    """Write a corpus in another format. Every shard is checked before it is read."""
    with usage():
        from ...corpora import conversion, manifest
        from ...corpora.formats import check_format

        check_format(file_format)
        check_format(manifest.read(folder).format)
    with reporting(quiet, "converting") as report:
        corpus = conversion.convert(folder, out, file_format, shard_size=shard_size, progress=report)
    say(f"{described(corpus)} in {out}", quiet=quiet)


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of corpora.")],
    out: Annotated[
        Path, typer.Option(help="Folder to write: new, empty, or that of a merge that was stopped.")
    ],
    file_format: Annotated[
        CorpusFormat | None,
        typer.Option("--format", help="Format of the new shards. Default: that of the first corpus."),
    ] = None,
    shard_size: ShardSize = None,
    quiet: options.Quiet = False,
) -> None:
    """Write several corpora as one: their records follow each other and are numbered anew."""
    with usage():
        from ...corpora import conversion, manifest
        from ...corpora.formats import check_format

        if len(folders) < 2:
            raise UsageError(f"{len(folders)} corpus is given; merge takes two or more")
        for folder in folders:
            check_format(manifest.read(folder).format)
        if file_format is not None:
            check_format(file_format)
        keys = [(part.model, part.seed) for folder in folders for part in manifest.read(folder).parts]
    with reporting(quiet, "merging") as report:
        corpus = conversion.merge(folders, out, format=file_format, shard_size=shard_size, progress=report)
    if len(set(keys)) < len(keys):
        note("two of these have the same model and seed: their records of the same number share their noise")
    say(f"{described(corpus)} in {out}", quiet=quiet)
