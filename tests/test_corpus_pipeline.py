"""Corpora are made without waiting: signals that a GPU has rounded, shards that are finished in the background."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from sssd.copied import Copied
from sssd.corpora import generation, notes, run
from sssd.corpora.block import NOT_FINITE
from sssd.corpora.plan import by_counts
from sssd.corpora.recipe import microvolts
from sssd.corpora.shard import Shard
from sssd.labels import CODES
from tests.corpora import contents, corpus_of, make, stub

PLAN = by_counts("AFIB=20,CLBBB=15", CODES)


def rounded(columns):
    """The stub as a GPU would hand it over: 12 leads in microvolts, which are there once they are asked for."""
    copied = Copied(microvolts(torch.from_numpy(stub(columns))))
    return lambda: np.asarray(copied.wait())


def test_a_gpu_rounds_as_the_writer_does() -> None:
    """Also halves, and values beyond 16 bits. Broken by float32 products or by rounding halves up (seen: both)."""
    random = np.random.default_rng(0)
    eight = random.normal(0, 2, (4, 8, 500)).astype(np.float32)
    eight[0, 0, :50] = np.arange(50) / 16  # every second one is a half of a microvolt
    eight[1, 3] *= 100
    corpus, columns = corpus_of(PLAN), {"index": np.arange(4)}
    expected = generation.quantised(corpus, columns, eight)["signal_uv"]
    ours = np.asarray(microvolts(torch.from_numpy(eight)))
    assert ours.dtype == np.int16 and np.array_equal(ours, expected)
    assert np.array_equal(generation.quantised(corpus, columns, ours)["signal_uv"], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_behind_a_gpu(value: float) -> None:
    """With its number. Broken by a conversion of NaN to any number (seen)."""
    eight = np.zeros((3, 8, 9), np.float32)
    eight[1, 7, 4] = value
    ours = np.asarray(microvolts(torch.from_numpy(eight)))
    assert (ours[1] == NOT_FINITE).any() and not (ours[[0, 2]] == NOT_FINITE).any()
    with pytest.raises(ValueError, match="record 41 holds NaN"):
        generation.quantised(corpus_of(PLAN), {"index": np.arange(40, 43)}, ours)


def test_signals_that_come_later_make_the_same_corpus(tmp_path) -> None:
    """Also where a batch lies in two shards. Broken by signals that are converted to leads once more."""
    make(tmp_path / "now", plan=PLAN)
    make(tmp_path / "later", plan=PLAN, generate=rounded)
    assert contents(tmp_path / "now") == contents(tmp_path / "later")


def test_the_next_shard_is_generated_while_one_is_finished(tmp_path, monkeypatch) -> None:
    """Broken by waiting for a shard's hash before the next batch: then nobody opens the gate in time (seen)."""
    gate, finish = threading.Event(), Shard.finish

    def slow(self):
        if self.number == 0:
            assert gate.wait(60)
        return finish(self)

    def generate(columns):
        if columns["index"][0] >= 16:
            gate.set()
        return stub(columns)

    monkeypatch.setattr(Shard, "finish", slow)
    make(tmp_path / "c", plan=PLAN, generate=generate)
    make(tmp_path / "d", plan=PLAN)
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


def test_shards_that_are_whole_count_where_the_next_fails(tmp_path, monkeypatch) -> None:
    """Broken by notes that are lost with the exception."""
    finish = Shard.finish
    failed = threading.Event()

    def slow(self):
        assert failed.wait(60)
        return finish(self)

    def generate(columns):
        if columns["index"][0] >= 16:
            failed.set()
            raise KeyboardInterrupt
        return stub(columns)

    monkeypatch.setattr(Shard, "finish", slow)
    corpus = corpus_of(PLAN)
    with pytest.raises(KeyboardInterrupt):
        run.create(tmp_path / "c", corpus, PLAN, run.local(generate))
    monkeypatch.undo()
    assert [notes.finished(tmp_path / "c", corpus, i) for i in range(corpus.shards)] == [True] + 3 * [False]
    assert run.resume(tmp_path / "c", run.local(stub)) == [1, 2, 3]
    make(tmp_path / "d", plan=PLAN)
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


def test_what_fails_while_a_shard_is_finished_is_told(tmp_path, monkeypatch) -> None:
    """Nothing of it is left. Broken by a future whose error nobody asks for."""
    finish = Shard.finish

    def fails(self):
        if self.number == 1:
            raise OSError("the disk is gone")
        return finish(self)

    monkeypatch.setattr(Shard, "finish", fails)
    corpus = corpus_of(PLAN)
    with pytest.raises(OSError, match="the disk is gone"):
        run.create(tmp_path / "c", corpus, PLAN, run.local(stub))
    left = sorted(path.name for path in (tmp_path / "c" / "data").iterdir())
    assert "00001.npz" not in left and not [name for name in left if name.endswith(".part")]
    assert notes.finished(tmp_path / "c", corpus, 0) and not notes.finished(tmp_path / "c", corpus, 1)
