"""Small corpora for tests: a stub in place of the network, through the real plan, writers and notes."""

import dataclasses
import os
import time

import numpy as np

from sssd.corpora import run
from sssd.corpora.plan import by_counts
from sssd.corpora.schema import Corpus, Recipe
from sssd.labels import CODES
from sssd.leads import CLINICAL

LENGTH = 50


def corpus_of(plan, batch_size=8, shard_size=10, format="npz", seed=7, length=LENGTH):
    """A corpus of `plan` whose model does not exist."""
    recipe = Recipe(
        records=plan.records, requests=plan.sha256, source="a test", model="0" * 64,
        checkpoint="built-in", config=None, cauchy="conjugate_pairs", sampler="ddim", steps=2, eta=0.0,
        spacing="uniform", seed=seed, precision="float32", batch_size=batch_size, threads=1, device="cpu",
        machine="cpu", generator="test", torch="0",
    )  # fmt: skip
    return Corpus(
        plan.records, shard_size, format, plan.label_names, CLINICAL, 100.0, length, plan.extra, (recipe,)
    )


def stub(columns, length=LENGTH):
    """8 leads that differ from record to record: a sine whose amplitude and phase follow from number and labels."""
    index, labels = columns["index"], columns["labels"]
    at = np.arange(length, dtype=np.float32)
    weight = labels @ np.arange(1, labels.shape[1] + 1) / 100
    phase = (index % 997)[:, None, None] / 10 + np.arange(8)[:, None]
    return (np.sin(at / 7 + phase) * (1 + weight[:, None, None])).astype(np.float32)


def slow_stub(pids, seconds, corpus, workers=0):
    """The set-up of a worker: the stub, but slow. The worker's process leaves a file in `pids`.

    The second half of the records waits, for a minute at most, until `workers` of them have begun.
    """

    def generate(columns):
        time.sleep(seconds)
        given_up = time.monotonic() + 60
        while (
            columns["index"][0] > corpus.records // 2
            and len(list(pids.iterdir())) < workers
            and time.monotonic() < given_up
        ):
            time.sleep(0.1)
        return stub(columns)

    (pids / str(os.getpid())).touch()
    return generate, ["ready"]


def make(folder, records=35, generate=stub, plan=None, progress=None, **options):
    """A finished corpus, and what it is."""
    if plan is None:
        plan = by_counts(f"AFIB={records - records // 2},CLBBB+LVH={records // 2}", CODES)
    corpus = corpus_of(plan, **options)
    run.create(folder, corpus, plan, run.local(generate), progress=progress)
    return corpus


def contents(folder):
    """Every file of a corpus but its lock, and its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def with_seed(corpus, seed):
    return dataclasses.replace(corpus, parts=(dataclasses.replace(corpus.parts[0], seed=seed),))
