"""What a corpus costs besides generating: writing in each format, its share of a run, and a long run of a stub.

    python benchmarks/corpus.py formats              # writing alone, against a plain write of the same bytes
    python benchmarks/corpus.py share                # writing's share of a run with the built-in model
    python benchmarks/corpus.py long --records N     # N records of a stub in place of the network: time, peak of memory

`formats` and `long` generate nothing: their signals are numbers that are drawn once. The plain write takes the same
bytes in pieces of the same size and does not hash them; they are flushed to the disk and renamed as a shard is. Give
`long` several N to see what grows with them.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sssd.corpora import manifest, recipe, run
from sssd.corpora.block import GROUP, Block
from sssd.corpora.files import remove
from sssd.corpora.generation import batches
from sssd.corpora.notes import read_notes, summary
from sssd.corpora.plan import Plan, like_ptbxl
from sssd.corpora.schema import Corpus, Recipe
from sssd.corpora.shard import Shard
from sssd.io.files import beside, sync
from sssd.labels import CODES
from sssd.leads import CLINICAL

LENGTH = 1000


def stub_corpus(plan: Plan, format: str, shard_size: int, batch_size: int) -> Corpus:
    made = Recipe(
        records=plan.records, requests=plan.sha256, source="a benchmark",
        model="0" * 64, checkpoint="stub", config=None, cauchy="conjugate_pairs", sampler="ddim", steps=20, eta=0.0,
        spacing="uniform", seed=1, precision="float32", batch_size=batch_size, threads=1, device="cpu",
        machine="cpu", generator="stub", torch="",
    )  # fmt: skip
    return Corpus(plan.records, shard_size, format, CODES, CLINICAL, 100.0, LENGTH, (), (made,))


def plain(path: Path, pieces: list[bytes]) -> float:
    """Seconds that it takes to write the pieces to a file, to flush it and to give it its name."""
    start = time.perf_counter()
    part = beside(path)
    with part.open("wb", buffering=0) as file:
        for piece in pieces:
            file.write(piece)
        os.fsync(file.fileno())
    part.replace(path)
    sync(path.parent)
    return time.perf_counter() - start


def formats(folder: Path, records: int, repeats: int) -> None:
    plan = like_ptbxl(records)
    labels = plan.rows(np.arange(records), 1)
    random = np.random.default_rng(0)
    beat = 300 * np.sin(np.arange(LENGTH) / 7) + random.normal(0, 100, (records, 12, LENGTH))
    signal = beat.astype(np.int16)
    blocks: list[Block] = [
        {"index": np.arange(i, min(i + GROUP, records)), "signal_uv": signal[i : i + GROUP],
         **{name: column[i : i + GROUP] for name, column in labels.items()}}
        for i in range(0, records, GROUP)
    ]  # fmt: skip
    print(f"{records} records a shard, {signal.nbytes / 1e6:.0f} MB of int16; median of {repeats}")
    for format in ("parquet", "hdf5", "npz", "wfdb"):
        corpus = stub_corpus(plan, format, records, 32)
        ours, theirs, size = [], [], 0
        for i in range(repeats):
            place = folder / f"{format}{i}"
            place.mkdir()
            manifest.begin(place, corpus, plan.to_bytes())
            start = time.perf_counter()
            shard = Shard(place, corpus, 0)
            for block in blocks:
                shard.append(block)
            size = shard.finish().bytes
            ours.append(time.perf_counter() - start)
            target = place / corpus.file(0)
            if target.is_dir():
                content = b"".join(path.read_bytes() for path in sorted(target.iterdir()))
            else:
                content = target.read_bytes()
            step = -(-len(content) // len(blocks))
            pieces = [content[j : j + step] for j in range(0, len(content), step)]
            theirs.append(plain(folder / "plain", pieces))
            remove(place)
        mine, other = statistics.median(ours), statistics.median(theirs)
        print(
            f"{format:8s} {size / 1e6:7.1f} MB {mine * 1e3:8.0f} ms {size / 1e6 / mine:6.0f} MB/s "
            f"{records / mine:8.0f} records/s   plain {size / 1e6 / other:6.0f} MB/s   ratio {other / mine:.2f}"
        )


def share(folder: Path, records: int, steps: int, threads: int, device: str, repeats: int) -> None:
    """Times of generating alone, of a whole run, and of a run that is given records that were generated before.

    They are measured in turns and the fastest of each counts, because other work on the machine only adds time. The
    third over the first is what writing would cost if it never happened at the same time as generating: an upper
    bound.
    """
    from sssd import SSSDECG

    model = SSSDECG.from_pretrained(device=device)
    plan = like_ptbxl(records)
    corpus = recipe.describe(
        model, plan, model.step_table(sampler="ddim", steps=steps, ddim_eta=0.0), seed=1, precision="auto",
        source="a benchmark", checkpoint="builtin", threads=threads, shard_size=max(records // 4, 1),
    )  # fmt: skip
    generate = recipe.generator(corpus.parts[0], model)
    made = {}

    def kept(columns):  # type: ignore[no-untyped-def]
        first = int(columns["index"][0])
        made[first] = generate(columns)
        return made[first]

    def alone() -> None:
        for _ in batches(corpus, plan, kept)(range(records)):
            pass

    def whole() -> None:
        run.create(folder / "c", corpus, plan, run.local(generate))

    def handed() -> None:
        run.create(folder / "c", corpus, plan, run.local(lambda columns: made[int(columns["index"][0])]))

    alone()
    found: dict[str, list[float]] = {"alone": [], "whole": [], "handed": []}
    for _ in range(repeats):
        for what in (alone, whole, handed):
            start = time.perf_counter()
            what()
            found[what.__name__].append(time.perf_counter() - start)
            remove(folder / "c")
    fastest = {name: min(seconds) for name, seconds in found.items()}
    part = corpus.parts[0]
    print(
        f"{records} records in {corpus.shards} shards, {steps} steps, batches of {part.batch_size}, {part.precision}, "
        f"{threads} threads, {device}; fastest of {repeats}: generating alone {fastest['alone']:.2f} s, "
        f"{records / fastest['alone']:.4g} records/s; create {fastest['whole']:.2f} s, "
        f"{100 * (fastest['whole'] / fastest['alone'] - 1):+.1f} %; without generating {fastest['handed']:.3f} s: "
        f"at most {100 * fastest['handed'] / fastest['alone']:.1f} %"
    )


def long(folder: Path, records: int, format: str, shard_size: int, stop_at: int | None) -> None:
    """Records of a stub through the real plan, writer and notes; stopped once at record `stop_at`, if it is given."""
    plan = like_ptbxl(records)
    corpus = stub_corpus(plan, format, shard_size, 256)
    pool = np.random.default_rng(0).normal(0, 0.3, (512, 8, LENGTH)).astype(np.float32)

    def stub(columns):  # type: ignore[no-untyped-def]
        index = columns["index"]
        if stop_at is not None and index[0] >= stop_at and not stopped:
            stopped.append(int(index[0]))
            raise KeyboardInterrupt
        start = int(index[0]) % 256
        return pool[start : start + len(index)]

    stopped: list[int] = []
    start = time.perf_counter()
    try:
        run.create(folder / "c", corpus, plan, run.local(stub))
    except KeyboardInterrupt:
        print(f"stopped at record {stopped[0]}; going on")
        run.resume(folder / "c", run.local(stub))
    seconds = time.perf_counter() - start
    total = summary(corpus, read_notes(folder / "c", corpus))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{total['records']} records, {corpus.shards} shards, {total['bytes'] / 1e9:.2f} GB ({format}): "
        f"{seconds:.1f} s, {1e6 * seconds / records:.0f} us a record, peak of memory {peak:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("formats", "share", "long"))
    parser.add_argument("--records", type=int, nargs="+", help="several: one process each")
    parser.add_argument("--format", default="parquet")
    parser.add_argument("--shard-size", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of `share`")
    parser.add_argument("--stop-at", type=int, help="interrupt `long` once at this record, then resume")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: a temporary one")
    options = parser.parse_args()
    if options.records and len(options.records) > 1:
        at = sys.argv.index("--records")
        given = [*sys.argv[1:at], *sys.argv[at + 1 + len(options.records) :]]
        for records in options.records:
            subprocess.run([sys.executable, __file__, *given, "--records", str(records)], check=True)
        return
    records = (options.records or [None])[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}")
    folder = Path(tempfile.mkdtemp(prefix="corpus", dir=options.folder))
    try:
        if options.what == "formats":
            formats(folder, records or 2048, options.repeats)
        elif options.what == "share":
            share(folder, records or 64, options.steps, options.threads, options.device, options.repeats)
        else:
            long(folder, records or 10_000, options.format, options.shard_size, options.stop_at)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
