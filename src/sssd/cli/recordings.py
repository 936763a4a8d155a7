"""What the commands share that make ECGs of a recording: check, load, run, write and say."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..labels import names_of
from ..presets import BUILTIN
from . import options
from .console import note, progress_bar, say, usage
from .sets import check_space, write_records

if TYPE_CHECKING:
    from ..editing import Taken
    from ..model_wrapper import SSSDECG
    from ..records import Records


def make_of(
    recording: Path,
    out: Path,
    formats: str,
    make: Callable[[SSSDECG, Taken, dict[str, Any]], Records],
    *,
    partial: bool = False,
    seed: int | None,
    order: str,
    checkpoint: Path | None,
    device: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Make records of a recording and write them into a folder.

    make(model, taken, how): returns the records; how has the keywords that all such methods of a model take. partial:
    whether leads and samples may be missing.
    """
    with usage():
        from ..io.folder import check_formats, earlier_files

        kinds = check_formats([name.strip() for name in formats.split(",") if name.strip()])
        options.check(seed, None, checkpoint)
        earlier_files(out.resolve(), overwrite)
        check_space(out, kinds, 1)

        from ..editing import take
        from ..model_wrapper import SSSDECG

        model = SSSDECG.from_pretrained(checkpoint, device=device)
        given, seed = seed is not None, secrets.randbits(32) if seed is None else seed
        taken = take(model, recording, partial=partial)
    with progress_bar(quiet) as bar:
        task = bar.add_task("generating", total=None)
        how = {
            "seed": seed,
            "leads": order,
            "progress": lambda done, of: bar.update(task, completed=done, total=of),
        }
        with usage():
            ecgs = make(model, taken, how)
        write_records(
            ecgs,
            out,
            kinds,
            asked=[names_of(row, model.label_names) for row in ecgs.request.vectors],
            manifest={
                "checkpoint": BUILTIN if checkpoint is None else str(checkpoint),
                "device": str(model.device),
                "done_to_source": list(taken.notes),
            },
            overwrite=overwrite,
            bar=bar,
        )
    for text in taken.notes if not quiet else ():
        note(f"{recording}: {text}")
    drawn = "" if given else f", seed {seed} (repeat with --seed {seed})"
    say(
        f"{len(ecgs)} ECG{'s' if len(ecgs) > 1 else ''} in {out}{drawn}",
        f"formats: {', '.join(kinds)}; labels and provenance: {out / 'manifest.json'}",
        quiet=quiet,
    )
