"""Corpora with noise, annotations and strips: the records of `generate`, in every format, byte for byte again."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import wfdb

import sssd.corpus
from sssd import SSSDECG
from sssd.corpora import manifest
from sssd.corpora.beside import as_text, from_text
from sssd.corpora.formats import ShardReader
from tests.corpora import contents
from tests.test_corpus_cli import checkpoint, run  # noqa: F401

NOISE = "baseline:0.3mV, muscle:20uV"
HOW = ["--counts", "NORM=3,AFIB=2", "--steps", 2, "--seed", 7, "--exact", "--shard-size", 2]
FORMATS = ("npz", "parquet", "hdf5", "wfdb")


def made(capsys, checkpoint, out, *more):  # noqa: F811
    code, _, err = run(capsys, "create", *HOW, "--checkpoint", checkpoint, "--out", out, *more)
    assert code == 0, err
    return manifest.read(out)


def block(folder, corpus):
    """All records of a corpus, by column."""
    parts = [ShardReader(folder, corpus, k) for k in range(corpus.shards)]
    blocks = [part.read(0, len(corpus.span(k))) for k, part in enumerate(parts)]
    return {name: np.concatenate([one[name] for one in blocks]) for name in blocks[0]}


@pytest.mark.parametrize("more", [[], ["--duration", 3], ["--duration", 2.5, "--batch-size", 3]])
def test_records_are_those_of_generate(capsys, checkpoint, tmp_path, more):  # noqa: F811
    """Noise, marks and strips depend on seed and number as in `generate`, whatever batches and shards are."""
    corpus = made(
        capsys, checkpoint, tmp_path / "out", "--format", "npz", "--noise", NOISE, "--annotate", *more
    )
    found = block(tmp_path / "out", corpus)
    duration = {"duration": more[1]} if more else {}
    expected = SSSDECG.from_pretrained(checkpoint).generate_ecgs(
        ["NORM"] * 3 + ["AFIB"] * 2, steps=2, seed=7, exact=True, noise=NOISE, annotate=True, **duration
    )
    for i, ecg in enumerate(expected):
        assert np.abs(found["signal_uv"][i] - 1e3 * ecg.signal).max() <= 2
        assert np.abs(found["clean_uv"][i] - 1e3 * ecg.clean.signal).max() <= 2
        assert found["annotations"][i] == as_text(ecg)
    assert np.abs(found["signal_uv"] - found["clean_uv"]).max() >= 290
    assert corpus.length == (round(100 * more[1]) if more else expected[0].signal.shape[1])


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_them_and_lost_shards_come_back(capsys, checkpoint, tmp_path, format):  # noqa: F811
    out = tmp_path / "out"
    given = ["--noise", NOISE, "--annotate", "--duration", 3]
    corpus = made(capsys, checkpoint, out, "--format", format, *given)
    npz = made(capsys, checkpoint, tmp_path / "npz", "--format", "npz", *given)
    found, expected = block(out, corpus), block(tmp_path / "npz", npz)
    assert found.keys() == expected.keys() and {"clean_uv", "annotations"} <= found.keys()
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column, name)
    whole = contents(out)
    file = out / corpus.file(1)
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    assert run(capsys, "resume", out, "--checkpoint", checkpoint)[0] == 0
    assert contents(out) == whole
    assert run(capsys, "verify", out)[0] == 0
    assert run(capsys, "convert", tmp_path / "npz", tmp_path / "copy", "--format", format)[0] == 0
    assert contents(tmp_path / "copy") == whole
    records = sssd.corpus.open(out)
    np.testing.assert_allclose(records[3]["clean"].numpy(), expected["clean_uv"][3] / 1e3, atol=1e-6)
    assert json.loads(records.frame()["annotations"][3])["left_out"].keys() == {"P", "QRS", "T"}


def test_wfdb_is_read_by_the_tools_of_physionet(capsys, tmp_path):
    """With the built-in model, whose records have beats. The header says what the noise is, as files of generate do."""
    from sssd.io.wfdb import read

    out = tmp_path / "out"
    how = ["--counts", "NORM=1", "--steps", 2, "--seed", 7, "--exact", "--batch-size", 1]
    code, _, err = run(
        capsys, "create", *how, "--format", "wfdb", "--noise", NOISE, "--annotate", "--out", out
    )
    assert code == 0, err
    corpus = manifest.read(out)
    name = str(out / corpus.file(0) / "000000000")
    ecg = SSSDECG.from_pretrained().generate_ecgs(
        "NORM", steps=2, seed=7, exact=True, noise=NOISE, annotate=True, batch_size=1
    )[0]
    marks = wfdb.rdann(name, "atr")
    assert len(marks.sample) > 30
    assert marks.sample.tolist() == [one.sample for one in ecg.annotations]
    assert marks.symbol == [one.symbol for one in ecg.annotations]
    noisy, clean = read(name), read(f"{name}_clean")
    np.testing.assert_allclose(noisy.signal, ecg.signal, atol=2e-3)
    np.testing.assert_allclose(clean.signal, ecg.clean.signal, atol=2e-3)
    told, wanted = noisy.provenance["noise"], ecg.provenance["noise"]
    assert told == {**wanted, "snr_db": pytest.approx(wanted["snr_db"], abs=0.02)}  # of records in whole uV
    assert "noise" not in clean.provenance
    assert noisy.provenance["annotations"] == ecg.provenance["annotations"]


def test_what_it_says_of_itself(capsys, checkpoint, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    corpus = made(capsys, checkpoint, out, "--noise", NOISE, "--annotate", "--duration", 3)
    part = corpus.parts[0]
    assert (part.noise, part.annotate, part.duration) == ("baseline:300uV, muscle:20uV", True, 3.0)
    card = (out / "README.md").read_text()
    assert "baseline:300uV, muscle:20uV" in card and "clean_uv" in card and "| annotations |" in card
    fields = json.loads((out / "croissant.json").read_text())["recordSet"][1]["field"]
    assert {"clean_uv", "annotations"} <= {field["name"] for field in fields}
    described = json.loads((out / "corpus.json").read_text())
    plain = made(capsys, checkpoint, tmp_path / "plain")
    assert {"noise", "annotate", "duration"} <= described["parts"][0].keys()
    assert not {"noise", "annotate", "duration"} & plain.to_json()["parts"][0].keys()


def test_merging(capsys, checkpoint, tmp_path):  # noqa: F811
    """Records with and without noise do not go together; those without annotations have empty ones."""
    for name, more in (("a", ["--annotate"]), ("b", ["--seed", 8]), ("c", ["--noise", NOISE, "--seed", 9])):
        made(capsys, checkpoint, tmp_path / name, "--format", "npz", *more)
    code, _, err = run(capsys, "merge", tmp_path / "a", tmp_path / "c", "--out", tmp_path / "x")
    assert code == 1 and "noise of" in err
    assert run(capsys, "merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "ab")[0] == 0
    texts = block(tmp_path / "ab", manifest.read(tmp_path / "ab"))["annotations"].tolist()
    assert all(texts[:5]) and not any(texts[5:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--noise", "snow"], "noise is 'snow'"),
        (["--duration", 1], "--duration is 1"),
        (["--duration", 601], "2.5 to 600 s"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(capsys, checkpoint, tmp_path, arguments, message):  # noqa: F811
    code, _, err = run(
        capsys, "create", *HOW, *arguments, "--checkpoint", checkpoint, "--out", tmp_path / "out"
    )
    assert code == 2 and message in err and err.count("\n") == 1, err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"marks":[[1,"N"]],"left_out":{}}',
        '{"marks":[[-1,"N",""]],"left_out":{}}',
        '{"marks":[[100,"N",""]],"left_out":{}}',
        '{"marks":[[5,"N",""],[4,"N",""]],"left_out":{}}',
        '{"marks":[[5,"NN",""]],"left_out":{}}',
        '{"marks":[[5,"N","U"]],"left_out":{}}',
        '{"marks":[],"left_out":[]}',
        "[" * 100_000,
    ],
)
def test_annotations_of_other_people_are_checked(text):
    with pytest.raises(ValueError, match="annotations"):
        from_text(text, 100)


def test_a_description_that_contradicts_itself_is_refused(capsys, checkpoint, tmp_path):  # noqa: F811
    corpus = made(capsys, checkpoint, tmp_path / "out", "--annotate")
    with pytest.raises(ValueError, match="differ on annotations"):
        replace(corpus, extra=())
