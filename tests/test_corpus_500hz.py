"""Corpora at 500 Hz: the records of `generate`, in every format, and the same bytes after a kill."""

import json
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from wfdb import rdrecord

import sssd.corpus
from sssd import SSSDECG
from sssd.corpora import manifest
from sssd.corpora.beside import as_text
from sssd.corpora.block import LIMIT_UV
from sssd.detail import trained
from sssd.models.detail import DetailNetwork
from tests.corpora import contents
from tests.test_cli import SMALL
from tests.test_corpus_cli import run, start
from tests.test_corpus_extras import FORMATS, NOISE, block
from tests.test_wrapper import tiny

HOW = ["--counts", "NORM=3,AFIB=2", "--steps", 2, "--seed", 7, "--exact", "--shard-size", 2]
FINE = ["--fs", 500]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny network that makes records of 4 s."""
    network = {**SMALL["wavenet_config"], "s4_lmax": 400}
    model = tiny(trainset_config={"segment_length": 400}, network=network)
    return model.save_checkpoint(tmp_path_factory.mktemp("model") / "small.safetensors")


def microvolts(signal):
    return np.clip(1e3 * signal, -LIMIT_UV, LIMIT_UV)  # an untrained network's records go beyond


def made(capsys, checkpoint, out, *more):
    code, _, err = run(capsys, "create", *HOW, "--checkpoint", checkpoint, "--out", out, *more)
    assert code == 0, err
    return manifest.read(out)


@pytest.mark.parametrize(
    ("more", "keywords"),
    [
        ([], {}),
        (["--duration", 2.5, "--batch-size", 3], {"duration": 2.5}),
        (["--noise", NOISE, "--annotate"], {"noise": NOISE, "annotate": True}),
    ],
)
def test_records_are_those_of_generate(capsys, checkpoint, tmp_path, more, keywords):
    corpus = made(capsys, checkpoint, tmp_path / "out", "--format", "npz", *FINE, *more)
    found = block(tmp_path / "out", corpus)
    expected = SSSDECG.from_pretrained(checkpoint).generate_ecgs(
        ["NORM"] * 3 + ["AFIB"] * 2, steps=2, seed=7, exact=True, fs=500, **keywords
    )
    assert (corpus.fs_hz, corpus.length) == (500.0, expected[0].signal.shape[1])
    assert corpus.length == round(500 * keywords.get("duration", 4))
    for i, ecg in enumerate(expected):
        assert np.abs(found["signal_uv"][i] - microvolts(ecg.signal)).max() <= 2
        if ecg.clean is not None:
            assert np.abs(found["clean_uv"][i] - microvolts(ecg.clean.signal)).max() <= 2
            assert found["annotations"][i] == as_text(ecg)
    assert corpus.parts[0].detail == expected[0].provenance["detail"] == trained(torch.device("cpu")).hash


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_them_and_lost_shards_come_back(capsys, checkpoint, tmp_path, format):
    out = tmp_path / "out"
    corpus = made(capsys, checkpoint, out, "--format", format, *FINE)
    npz = made(capsys, checkpoint, tmp_path / "npz", "--format", "npz", *FINE)
    np.testing.assert_array_equal(block(out, corpus)["signal_uv"], block(tmp_path / "npz", npz)["signal_uv"])
    whole = contents(out)
    file = out / corpus.file(1)
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    assert run(capsys, "verify", out)[0] == 1
    assert run(capsys, "resume", out, "--checkpoint", checkpoint)[0] == 0
    assert contents(out) == whole
    assert run(capsys, "verify", out)[0] == 0
    assert run(capsys, "convert", tmp_path / "npz", tmp_path / "copy", "--format", format)[0] == 0
    assert contents(tmp_path / "copy") == whole
    records = sssd.corpus.open(out)
    assert records.fs_hz == 500 and records[3]["signal"].shape == (12, 2000)


def test_other_readers_find_the_rate(capsys, checkpoint, tmp_path):
    pq, h5py = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("h5py")
    for format in FORMATS:
        made(capsys, checkpoint, tmp_path / format, "--format", format, *FINE)
    assert rdrecord(str(tmp_path / "wfdb/data/00000/000000000")).fs == 500
    assert np.load(tmp_path / "npz/data/00000.npz")["fs_hz"] == 500
    stored = pq.read_schema(tmp_path / "parquet/data/00000.parquet").metadata
    assert json.loads(stored[b"fs_hz"]) == 500
    assert json.loads(stored[b"provenance"])["detail"] == trained(torch.device("cpu")).hash
    with h5py.File(tmp_path / "hdf5/data/00000.h5") as file:
        assert json.loads(file.attrs["fs_hz"]) == 500
    card = (tmp_path / "npz/README.md").read_text()
    assert "(12, 2000) at 500 Hz, 4 s" in card and trained(torch.device("cpu")).hash in card
    assert "at 500 Hz" in json.loads((tmp_path / "npz/croissant.json").read_text())["description"]


def test_shards_do_not_change_the_records(capsys, checkpoint, tmp_path):
    """Fails when the noise of detail follows the row of a batch instead of the number of the record."""
    how = ["--format", "npz", "--batch-size", 2, *FINE]
    found = [
        block(
            tmp_path / str(size), made(capsys, checkpoint, tmp_path / str(size), *how, "--shard-size", size)
        )
        for size in (1, 5)
    ]
    np.testing.assert_array_equal(found[0]["signal_uv"], found[1]["signal_uv"])
    assert len({signal.tobytes() for signal in found[0]["signal_uv"]}) == 5


def test_corpora_at_100_hz_are_described_as_before(capsys, checkpoint, tmp_path):
    plain, same = (
        made(capsys, checkpoint, tmp_path / name, "--format", "npz", *more)
        for name, more in (("plain", []), ("same", ["--fs", 100]))
    )
    assert plain.digest == same.digest and contents(tmp_path / "plain") == contents(tmp_path / "same")
    assert plain.fs_hz == 100.0 and "detail" not in plain.to_json()["parts"][0]


def test_merging(capsys, checkpoint, tmp_path):
    """Records of two rates do not go together; those of one seed at 500 Hz are not those of another."""
    for name, more in (("a", FINE), ("b", [*FINE, "--seed", 8]), ("c", ["--seed", 9])):
        made(capsys, checkpoint, tmp_path / name, "--format", "npz", *more)
    code, _, err = run(capsys, "merge", tmp_path / "a", tmp_path / "c", "--out", tmp_path / "x")
    assert code == 1 and "fs_hz of" in err
    assert run(capsys, "merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "ab")[0] == 0
    merged = manifest.read(tmp_path / "ab")
    assert (merged.fs_hz, merged.length, merged.records) == (500.0, 2000, 10)
    assert run(capsys, "verify", tmp_path / "ab")[0] == 0


def test_other_weights_and_other_rates_are_refused(capsys, checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "out"
    corpus = made(capsys, checkpoint, out, "--format", "npz", *FINE)
    (out / corpus.file(0)).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(trained(torch.device("cpu")), "hash", "0" * 64)
        code, _, err = run(capsys, "resume", out, "--checkpoint", checkpoint)
    assert code == 2 and "weights for 500 Hz" in err and DetailNetwork.hash == ""
    code, _, err = run(
        capsys, "create", *HOW, "--fs", 250, "--checkpoint", checkpoint, "--out", tmp_path / "x"
    )
    assert code == 2 and "fs is 250" in err and not (tmp_path / "x").exists()


@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_the_same_bytes(checkpoint, tmp_path, workers):
    pytest.importorskip("ray")
    how = [*HOW, "--checkpoint", checkpoint, "--batch-size", 2, "--threads", 1, "--format", "npz", *FINE]
    on_ray = ["--engine", "ray", "--device", "cpu", "--workers", workers]
    for name, more in (("here", ["--device", "cpu"]), ("there", on_ray)):
        made = start(checkpoint, "", "create", *how, *more, "--out", tmp_path / name)
        assert made.wait() == 0, made.stderr.read()
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_corpus_that_is_killed_ends_up_with_the_same_bytes(checkpoint, tmp_path):
    """Fails when what resume makes depends on anything that the killed run knew."""
    how = ["--like-ptbxl", 12, "--checkpoint", checkpoint, "--steps", 2, "--seed", 7, "--shard-size", 2]
    how += ["--batch-size", 2, "--threads", 1, "--format", "npz", "--duration", 10, *FINE]
    whole = start(checkpoint, "", "create", *how, "--out", tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    out = tmp_path / "out"
    killed = start(checkpoint, "", "create", *how, "--out", out)
    deadline = time.monotonic() + 120
    while len(list((out / "shards").glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert 2 <= len(list((out / "shards").glob("*.json"))) < 6
    resumed = start(checkpoint, "", "resume", out, "--checkpoint", checkpoint)
    assert resumed.wait() == 0, resumed.stderr.read()
    assert contents(out) == contents(tmp_path / "whole")
