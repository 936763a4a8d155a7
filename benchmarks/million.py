"""A corpus from its start until it is verified, beside generating alone. `python benchmarks/million.py`

    alone     the records of a few shards are generated and thrown away
    corpus    `corpus create` in this process: generating, leads, microvolts, Parquet, checksums; then `corpus verify`
    by Ray    the same on several GPUs of this machine (--gpus), each shard with the bytes that one GPU gives it

The ratios are those of records a second: the corpus to generating alone, and several GPUs to one. Without a GPU, a
worker of Ray has one CPU core, and --gpus is the number of workers.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import tempfile
import time
from pathlib import Path

import torch

from sssd import SSSDECG
from sssd.benchmark import machine
from sssd.corpora import cluster, recipe, run
from sssd.corpora.generation import batches
from sssd.corpora.notes import read_notes
from sssd.corpora.plan import Plan, like_ptbxl
from sssd.corpora.run import Engine
from sssd.corpora.schema import Corpus
from sssd.corpora.verify import verify
from sssd.device import choose_device
from sssd.presets import PRESETS, Preset, checkpoint_name, choose


def alone(corpus: Corpus, plan: Plan, generate: recipe.Generate, records: int) -> float:
    """Return the seconds for `records` records that are handed over to memory, and not written."""
    start = time.perf_counter()
    before = None
    for _, signals in batches(corpus, plan, generate)(range(records)):
        if before is not None:
            before()
        before = signals
    assert before is not None
    before()
    return time.perf_counter() - start


def made(folder: Path, corpus: Corpus, plan: Plan, engine: Engine) -> tuple[float, float, list[str]]:
    """Return the seconds of creating and of verifying a corpus, and the hashes of its shards; it is removed."""
    start = time.perf_counter()
    run.create(folder, corpus, plan, engine)
    created = time.perf_counter() - start
    problems = verify(folder)
    verified = time.perf_counter() - start - created
    if problems:
        raise SystemExit(f"the corpus is not as it was written: {problems[0]}")
    hashes = [note.sha256 for note in read_notes(folder, corpus)]
    shutil.rmtree(folder)
    return created, verified, hashes


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--alone", type=int, default=65_536, help="records that are generated alone")
    parser.add_argument("--quality", default="standard", choices=list(PRESETS))
    parser.add_argument("--checkpoint", help="these weights in place of those that ship")
    parser.add_argument("--sampler", help="this sampler in place of the quality's, with --steps")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--device", help="cuda or cpu")
    parser.add_argument("--batch", type=int, help="records at once; by default as many as fill the device")
    parser.add_argument("--shard-size", type=int, default=4096)
    parser.add_argument("--gpus", type=int, nargs="*", default=[], help="also by Ray, on so many GPUs: 1 2")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: a temporary one")
    given = parser.parse_args(arguments)
    device = choose_device(given.device)
    name, model = checkpoint_name(given.checkpoint), SSSDECG.from_pretrained(given.checkpoint, device=device)
    preset = Preset(given.sampler, given.steps) if given.sampler else choose(given.quality, model.config)
    plan = like_ptbxl(given.records)
    table = model.step_table(
        sampler=preset.sampler, steps=preset.steps, ddim_eta=preset.eta, spacing=preset.spacing
    )
    corpus = recipe.describe(
        model, plan, table, seed=1, precision="auto", source="a benchmark", checkpoint=name,
        batch_size=given.batch, shard_size=given.shard_size, threads=1 if given.gpus else None,
    )  # fmt: skip
    part = corpus.parts[0]
    print(
        f"{datetime.date.today()}, {machine(device)}, torch {torch.__version__}, {part.precision}; {preset.sampler} "
        f"with {preset.steps} steps, {corpus.records:,} records in {corpus.shards} shards, batches of {part.batch_size}"
    )
    generate = recipe.generator(part, model)
    folder = Path(tempfile.mkdtemp(prefix="million", dir=given.folder))
    try:
        few = min(given.alone, given.records)
        alone(corpus, plan, generate, min(few, part.batch_size))  # compiles
        by_itself = few / alone(corpus, plan, generate, few)
        print(f"alone            {by_itself:10.1f} records/s", flush=True)
        created, verified, expected = made(folder / "c", corpus, plan, run.local(generate))
        whole = corpus.records / (created + verified)
        print(
            f"corpus           {whole:10.1f} records/s, {whole / by_itself:.1%} of alone: created in {created:.1f} s "
            f"({corpus.records / created / by_itself:.1%}), verified in {verified:.1f} s",
            flush=True,
        )
        if given.gpus:
            by_ray(folder / "r", corpus, plan, model, given.gpus, expected)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def by_ray(
    folder: Path, corpus: Corpus, plan: Plan, model: SSSDECG, counts: list[int], expected: list[str]
) -> None:
    """Make the corpus on workers of Ray, and compare its shards with those that one process made."""
    kind, first = "GPUs" if model.device.type == "cuda" else "workers", 0.0
    with cluster.connected(None):
        for count in counts:
            engine = cluster.with_model(corpus, model, workers=count, notify=lambda text: None)
            created, _, hashes = made(folder, corpus, plan, engine)
            rate = corpus.records / created
            first = first or rate / count
            same = "the same bytes" if hashes == expected else "OTHER BYTES"
            print(
                f"by Ray, {count} {kind:8s}{rate:10.1f} records/s, {rate / first:.2f} times one, {same}; workers start "
                "within this time",
                flush=True,
            )


if __name__ == "__main__":
    main()
