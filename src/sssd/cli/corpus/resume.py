"""`sssd-ecg corpus resume`: make what is missing of a corpus."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...presets import EARLIER
from .. import options
from ..console import note, say, usage
from .shared import Address, Engine, Folder, Workers, check_engine, described, reporting

if TYPE_CHECKING:
    from ...corpora.recordings import TakenRecordings
    from ...corpora.schema import Corpus
    from ...model_wrapper import SSSDECG


def command(
    folder: Folder,
    check: Annotated[
        bool, typer.Option("--check", help="Also read every shard, and make altered ones again.")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="The checkpoint that the corpus was begun with. It is needed unless the model ships with this package."
        ),
    ] = None,
    vary: Annotated[
        Path | None,
        typer.Option(
            help="The folder of recordings that the corpus was begun with, if it was made of recordings."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="A device of the kind that the corpus was begun on. Default: the best of them."),
    ] = None,
    engine: Engine = "local",
    address: Address = None,
    workers: Workers = None,
    quiet: options.Quiet = False,
) -> None:
    """Make the shards that are missing or damaged. The corpus ends up as if nothing had happened."""
    with usage():
        from ...corpora import cluster, manifest, recipe, run

        check_engine(engine, address, workers)
        corpus = manifest.read(folder)
        part, on_ray = run.recipe_of(folder, corpus), engine == "ray"
        model = _model(folder, corpus, checkpoint, "cpu" if on_ray else device or part.device)
        recordings = _recordings(folder, corpus, vary, model)
        if not on_ray:
            recipe.check_device(part, model)
    for difference in [] if on_ray else recipe.differences(part, model):
        note(difference)
    with cluster.connected(address) if on_ray else nullcontext():
        with usage():
            if on_ray:
                make = cluster.with_model(corpus, model, recordings, workers=workers, notify=note)
            else:
                make = run.local(recipe.generator(part, model, recordings))
        with reporting(quiet, "generating") as report:
            made = run.resume(folder, make, check=check, progress=report)
    what = f"made {len(made)} of {corpus.shards} shards" if made else "nothing was missing"
    say(f"{described(corpus)} in {folder}: {what}", quiet=quiet)


def _recordings(folder: Path, corpus: Corpus, vary: Path | None, model: SSSDECG) -> TakenRecordings | None:
    """Return the recordings that the corpus is made of, which the user gives: it does not hold them.

    ValueError if they are missing or others.
    """
    from ...corpora import manifest
    from ...corpora.recordings import read_recordings

    (part,) = corpus.parts
    if part.vary is None:
        if vary is not None:
            raise ValueError("the corpus was not made of recordings: leave out --vary")
        return None
    if vary is None:
        raise ValueError(
            "the corpus is made of recordings, which it does not hold and which are not opened unless you give them: "
            f"{manifest.repair_command(folder, corpus)}"
        )
    recordings = read_recordings(model, vary)
    recordings.check(manifest.read_plan(folder, corpus))
    return recordings


def _model(folder: Path, corpus: Corpus, checkpoint: Path | None, device: str) -> SSSDECG:
    """Return the model that the corpus was begun with: one that ships, or the checkpoint that the user gives.

    A path in corpus.json is not opened by itself, because the corpus may come from somebody else. ValueError if the
    checkpoint is missing or has other weights than the corpus was begun with.
    """
    import json

    from ...config.schema import parse_config
    from ...corpora.manifest import repair_command
    from ...corpora.recipe import check_weights
    from ...model_wrapper import SSSDECG

    (part,) = corpus.parts
    if checkpoint is None:
        if part.checkpoint in EARLIER:
            raise ValueError(
                f"the corpus was begun with the weights {part.checkpoint!r} of an earlier version, which this one does "
                f"not have: resume it with that version, or give its {part.checkpoint}.safetensors by --checkpoint"
            )
        if not part.shipped:
            raise ValueError(
                f"the corpus was begun with the checkpoint {part.checkpoint!r}, which is not opened unless you give "
                f"it: {repair_command(folder, corpus)}"
            )
        checkpoint = Path(part.checkpoint)
    config = None
    if part.config is not None:
        config = parse_config(json.dumps(part.config), "the configuration in corpus.json")
    model = SSSDECG.from_pretrained(checkpoint, config=config, cauchy=part.cauchy, device=device)
    check_weights(part, model)
    return model
