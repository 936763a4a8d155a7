"""Corpora made of recordings: the same guarantees as all others, and the recordings stay with the user."""

import json
import shutil

import numpy as np
import pytest

from sssd import SSSDECG, Ecg
from sssd.cli import main
from sssd.corpora import manifest
from sssd.corpora.formats import ShardReader
from sssd.corpora.plan import from_bytes
from sssd.corpus import open as corpus
from tests.corpora import contents
from tests.inputs.records import beats_mv
from tests.test_cli import checkpoint  # noqa: F401  (a fixture)

STATEMENTS = {"a": ("NORM", "SR"), "deep/b": ("AFIB",), "c": ("NORM", "SR")}
HOW = ["--per-record", 5, "--strength", 0.5, "--seed", 7, "--steps", 4, "--device", "cpu", "--threads", 1]
SHARDS = ["--shard-size", 4, "--batch-size", 4]


@pytest.fixture
def recordings(tmp_path):
    """Three recordings, of two rates and in two forms."""
    folder = tmp_path / "recordings"
    (folder / "deep").mkdir(parents=True)
    for k, (name, statements) in enumerate(STATEMENTS.items()):
        ecg = Ecg(beats_mv(k + 1, fs_hz=100 + 150 * (k % 2)), 100.0 + 150 * (k % 2), statements=statements)
        ecg.save(folder / f"{name}.hea" if k else folder / f"{name}.npz")
    (folder / "notes.txt").write_text("not a recording")
    return folder


def run(capsys, *arguments):
    code = main(["corpus", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def made(capsys, recordings, checkpoint, out, *more):  # noqa: F811
    how = ["--vary", recordings, *HOW, *SHARDS, "--checkpoint", checkpoint, "--format", "npz", *more]
    return run(capsys, "create", *how, "--out", out)


@pytest.mark.parametrize("fs", [100, 500])
def test_each_record_is_a_variation_of_its_recording(capsys, recordings, checkpoint, tmp_path, fs):  # noqa: F811
    """Another route: the same model on each recording alone, with the numbers that the records have in the corpus."""
    code, out, err = made(capsys, recordings, checkpoint, tmp_path / "out", "--fs", fs)
    assert code == 0 and "15 records" in out and "resampled from 250 to 100 Hz (1 recording)" in err, err
    assert run(capsys, "verify", tmp_path / "out")[0] == 0
    found, model = corpus(tmp_path / "out"), SSSDECG.from_pretrained(checkpoint, device="cpu")
    signal = np.stack([found[i]["signal"].numpy() for i in range(15)])
    labels = np.stack([found[i]["labels"].numpy() for i in range(15)])
    for k, name in enumerate(sorted(STATEMENTS)):
        on = {model.label_names[j] for j in np.flatnonzero(labels[5 * k])}
        assert on == set(STATEMENTS[name]) and (labels[5 * k : 5 * k + 5] == labels[5 * k]).all()
        alone = model.vary(recordings / name, 15, 0.5, steps=4, seed=7, precision="float32", fs=fs)
        expected = np.stack([one.signal for one in alone])[5 * k : 5 * k + 5]
        np.testing.assert_allclose(signal[5 * k : 5 * k + 5], expected, atol=2e-3)
    described = manifest.read(tmp_path / "out")
    assert described.extra == ("source",) and described.parts[0].vary == 0.5
    reader = ShardReader(tmp_path / "out", described, 1)
    assert reader.read(0, 4)["source"].tolist() == ["a", "c", "c", "c"]
    card = (tmp_path / "out/README.md").read_text()
    assert "5 variations of each of 3 recordings" in card and "varied, strength 0.5" in card


def test_the_recordings_are_not_in_the_corpus(capsys, recordings, checkpoint, tmp_path):  # noqa: F811
    assert made(capsys, recordings, checkpoint, tmp_path / "out")[0] == 0
    described = manifest.read(tmp_path / "out")
    requests = manifest.read_requests(tmp_path / "out", described)
    plan = from_bytes(requests, described.label_names, described.records)
    assert plan.source.tolist() == sorted(STATEMENTS) and len(set(plan.source_sha256.tolist())) == 3
    assert len(requests) < 4000  # a recording has 24,000 bytes


@pytest.mark.parametrize("format", ["npz", "parquet", "hdf5", "wfdb"])
def test_lost_shards_are_made_again_byte_for_byte(capsys, recordings, checkpoint, tmp_path, format):  # noqa: F811
    out = tmp_path / "out"
    assert made(capsys, recordings, checkpoint, out, "--format", format)[0] == 0
    whole, described = contents(out), manifest.read(out)
    for shard in (0, 2):
        file = out / described.file(shard)
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    code, _, err = run(capsys, "resume", out, "--checkpoint", checkpoint)
    assert code == 2 and f"--vary {recordings.resolve()}" in err and err.count("\n") == 1
    code, text, err = run(capsys, "resume", out, "--checkpoint", checkpoint, "--vary", recordings)
    assert code == 0 and "made 2 of 4 shards" in text, err
    assert contents(out) == whole
    assert run(capsys, "convert", out, tmp_path / "b", "--format", "npz", "--shard-size", 7)[0] == 0
    assert (
        run(capsys, "convert", tmp_path / "b", tmp_path / "c", "--format", format, "--shard-size", 4)[0] == 0
    )
    assert contents(tmp_path / "c") == whole


def test_other_recordings_are_refused(capsys, recordings, checkpoint, tmp_path):  # noqa: F811
    """Fails where records of other patients would be put between those that are there."""
    out = tmp_path / "out"
    assert made(capsys, recordings, checkpoint, out)[0] == 0
    (out / manifest.read(out).file(1)).unlink()
    before = contents(out)
    given = ["resume", out, "--checkpoint", checkpoint, "--vary", recordings]
    (recordings / "c.hea").rename(tmp_path / "c.hea")
    code, _, err = run(capsys, *given)
    assert code == 2 and "the recording 'c' is missing" in err
    Ecg(beats_mv(9), 100.0, statements=("NORM", "SR")).save(recordings / "c.hea", overwrite=True)
    code, _, err = run(capsys, *given)
    assert code == 2 and "the recording 'c' is another one" in err
    assert contents(out) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vary", "nowhere"], "there is no folder 'nowhere'"),
        (["--vary", "empty"], "'empty' holds no recordings"),
        (["--vary", "bad"], "lead"),
        (["--vary", "recordings", "--strength", "2"], "strength is 2"),
        (["--vary", "recordings", "--counts", "AFIB=2"], "give one of --counts"),
        (["--counts", "AFIB=2", "--per-record", "2"], "--per-record is 2, and belongs to --vary"),
        (["--vary", "recordings", "--sampler", "fitted"], "fitted"),
    ],
)
def test_what_cannot_be_varied_is_said_in_one_line(
    capsys,
    recordings,
    checkpoint,  # noqa: F811
    tmp_path,
    monkeypatch,
    arguments,
    message,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/x.csv").write_text("time_s,I\n" + "".join(f"{k / 100},{k % 7}\n" for k in range(1000)))
    code, _, err = run(capsys, "create", *arguments, "--checkpoint", checkpoint, "--out", "out")
    assert code == 2 and message in err and err.count("\n") == 1, err
    assert not (tmp_path / "out").exists()


def test_a_corpus_of_labels_has_no_recordings(capsys, recordings, checkpoint, tmp_path):  # noqa: F811
    how = ["--counts", "AFIB=3", "--steps", 2, "--checkpoint", checkpoint, "--format", "npz"]
    assert run(capsys, "create", *how, "--out", tmp_path / "out")[0] == 0
    described = json.loads((tmp_path / "out/corpus.json").read_text())
    assert "vary" not in described["parts"][0] and "recordings" not in described["parts"][0]
    code, _, err = run(capsys, "resume", tmp_path / "out", "--checkpoint", checkpoint, "--vary", recordings)
    assert code == 2 and "was not made of recordings" in err
