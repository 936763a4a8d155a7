"""`sssd-ecg corpus`: messages and files when something goes wrong, and runs that are really killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sssd.cli import main
from sssd.corpora import manifest
from sssd.corpora.files import SPARE
from tests.corpora import contents
from tests.test_cli import checkpoint  # noqa: F401  (a fixture)

pytest.importorskip("torch")

COMMAND = [sys.executable, "-c", "import sys; from sssd.cli import main; sys.exit(main())", "corpus"]
HOW = [
    "--seed",
    "7",
    "--steps",
    "3",
    "--shard-size",
    "20",
    "--batch-size",
    "16",
    "--threads",
    "1",
    "--format",
    "npz",
]


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """A tiny network that takes age, sex and heart rate."""
    from tests.test_wrapper import LENGTH, tiny

    trainset = {"segment_length": LENGTH, "patient": True, "heart_rate": True}
    model = tiny(network={"label_embed_classes": 77}, trainset_config=trainset)
    return model.save_checkpoint(tmp_path_factory.mktemp("patients") / "patients.safetensors")


def run(capsys, *arguments):
    code = main(["corpus", *map(str, arguments)])
    told = capsys.readouterr()
    assert told.err.count("\n") <= 1, told.err
    return code, told.out, told.err


def create(capsys, checkpoint, out, *arguments):  # noqa: F811
    return run(
        capsys,
        "create",
        "--counts",
        "AFIB=30,LVH=20",
        "--checkpoint",
        checkpoint,
        *HOW,
        "--out",
        out,
        *arguments,
    )


def test_a_corpus_from_beginning_to_end(capsys, checkpoint, tmp_path):  # noqa: F811
    code, out, err = create(capsys, checkpoint, tmp_path / "a")
    assert (code, err) == (0, "") and "50 records (npz)" in out
    assert run(capsys, "verify", tmp_path / "a")[0] == 0
    assert "3 of 3 shards finished, 50 records" in run(capsys, "info", tmp_path / "a")[1]
    assert '"finished_shards": 3' in run(capsys, "info", tmp_path / "a", "--json")[1]
    assert run(capsys, "convert", tmp_path / "a", tmp_path / "b", "--format", "wfdb")[0] == 0
    code, _, err = run(capsys, "merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert code == 1 and "hold the same records" in err

    before = contents(tmp_path / "a")
    shard = tmp_path / "a" / "data" / "00001.npz"
    shard.write_bytes(shard.read_bytes()[:-1])
    code, out, err = run(capsys, "verify", tmp_path / "a")
    assert code == 1 and "data/00001.npz: truncated" in out
    assert f"to repair: sssd-ecg corpus resume {tmp_path / 'a'} --checkpoint {checkpoint} --check" in err
    code, _, err = run(capsys, "resume", tmp_path / "a", "--check")
    assert code == 2 and f"resume {tmp_path / 'a'} --checkpoint {checkpoint}" in err
    code, out, _ = run(capsys, "resume", tmp_path / "a", "--check", "--checkpoint", checkpoint)
    assert code == 0 and "made 1 of 3 shards" in out
    assert contents(tmp_path / "a") == before


def test_every_sampler(capsys, checkpoint, tmp_path):  # noqa: F811
    """Fails when a corpus by a multistep sampler is not what generate makes, or takes other steps."""
    from sssd import SSSDECG
    from sssd.corpus import open as corpus

    how = ["--checkpoint", checkpoint, "--sampler", "unipc", "--steps", 5, "--seed", 3, "--device", "cpu"]
    made = run(
        capsys, "create", "--counts", "AFIB=3", "--exact", "--format", "npz", *how, "--out", tmp_path / "a"
    )
    assert made[0] == 0
    recipe = manifest.read(tmp_path / "a").parts[0]
    assert (recipe.sampler, recipe.steps, recipe.spacing, recipe.eta) == ("unipc", 5, "trailing", None)
    ecgs = SSSDECG.from_pretrained(checkpoint, device="cpu").generate(
        "AFIB", num_samples=3, exact=True, sampler="unipc", steps=5, seed=3, return_numpy=True
    )
    made_corpus = corpus(tmp_path / "a")
    records = [made_corpus[i]["signal"] for i in range(len(made_corpus))]
    assert len(records) == 3
    for record, ecg in zip(records, ecgs, strict=True):
        assert abs(np.asarray(record)[0] - ecg[0]).max() < 2e-3


def test_like_ptbxl_and_a_table(capsys, patients, tmp_path):
    table = tmp_path / "wanted.csv"
    table.write_text("labels,age,sex\nAFIB,60,1\nNORM,,\n")
    how = ["--checkpoint", patients, *HOW]
    assert run(capsys, "create", "--labels-from", table, "-n", 3, *how, "--out", tmp_path / "a")[0] == 0
    assert (
        run(capsys, "create", "--like-ptbxl", 5, *how, "--sampler", "unipc", "--out", tmp_path / "b")[0] == 0
    )
    assert "unipc, 3 steps, trailing spacing" in (tmp_path / "b" / "README.md").read_text()
    (tmp_path / "b" / "data" / "00000.npz").unlink()
    assert (
        run(capsys, "resume", tmp_path / "b", "--checkpoint", patients)[0] == 0
        and run(capsys, "verify", tmp_path / "b")[0] == 0
    )
    code, _, err = run(
        capsys, "create", "--like-ptbxl", 5, *how, "--sampler", "deis", "--eta", 1, "--out", tmp_path / "d"
    )
    assert code == 2 and "deis has no eta" in err
    assert manifest.read(tmp_path / "a").extra == ("age", "sex")
    assert run(capsys, "merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")[0] == 0
    assert manifest.read(tmp_path / "c").records == 11


def test_age_and_sex(capsys, checkpoint, patients, tmp_path):  # noqa: F811
    """Fails when an option does not reach the records, or a model without patients begins all the same."""
    table = tmp_path / "wanted.csv"
    table.write_text("labels,age,sex,heart_rate\nAFIB,60,1,80\nAFIB,,,\n")
    how = ["--labels-from", table, "--exact", *HOW, "--age", 30, "--sex", "male", "--heart-rate", 50]
    assert run(capsys, "create", *how, "--checkpoint", patients, "--out", tmp_path / "a")[0] == 0
    with np.load(tmp_path / "a" / "data" / "00000.npz") as made:
        assert made["age"].tolist() == [60, 30] and made["sex"].tolist() == ["female", "male"]
        assert made["heart_rate"].tolist() == [80, 50]
    card = (tmp_path / "a" / "README.md").read_text()
    assert "wanted.csv, 1 for each of 2 rows, --age 30, --sex male, --heart-rate 50 |" in card
    assert "| age, sex and heart_rate | of the patient, as given to the model; empty where unknown |" in card
    counts = ["--counts", "AFIB=2", "--exact", *HOW, "--checkpoint", patients]
    who = ["--age", 60, "--sex", "female", "--heart-rate", 80]
    assert run(capsys, "create", *counts, *who, "--out", tmp_path / "b")[0] == 0
    assert run(capsys, "create", *counts, "--out", tmp_path / "c")[0] == 0
    a, b, c = (np.load(tmp_path / name / "data" / "00000.npz")["signal_uv"] for name in "abc")
    assert abs(a[0].astype(int) - b[0]).max() <= 1 and abs(a[0].astype(int) - c[0]).max() > 10

    code, _, err = run(capsys, "create", *how, "--checkpoint", checkpoint, "--out", tmp_path / "d")
    assert code == 2 and "age is given, but this model does not take it" in err
    assert not (tmp_path / "d").exists()


def test_the_built_in_model_keeps_its_name(capsys, patients, tmp_path, monkeypatch):
    """Fails when the recipe holds a path, which is another one on another machine."""
    from sssd.presets import OF_S4

    standard = OF_S4["standard"]
    mine = tmp_path / "here.safetensors"
    mine.write_bytes(patients.read_bytes())
    monkeypatch.setattr("sssd.presets.WEIGHTS", mine)
    monkeypatch.chdir(tmp_path)
    how = ["create", "--counts", "AFIB=3,LVH=2", "--seed", 7, "--shard-size", 2, "--format", "npz"]
    assert run(capsys, *how, "--quality", "standard", "--out", "a")[0] == 0
    recipe = manifest.read(Path("a")).parts[0]
    assert (recipe.checkpoint, recipe.sampler, recipe.steps) == ("builtin", standard.sampler, standard.steps)
    assert "| model | builtin, SHA-256" in Path("a/README.md").read_text()
    by_hand = ["--checkpoint", "default", "--sampler", standard.sampler, "--steps", standard.steps]
    assert run(capsys, *how, *by_hand, "--out", "b")[0] == 0
    assert contents(Path("a")) == contents(Path("b"))

    there = mine.rename(tmp_path / "there.safetensors")
    Path("a/data/00001.npz").unlink()
    code, _, err = run(capsys, "resume", "a")
    assert code == 2 and "no checkpoint at" in err
    monkeypatch.setattr("sssd.presets.WEIGHTS", there)
    assert run(capsys, "resume", "a")[0] == 0
    assert contents(Path("a")) == contents(Path("b"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of --counts, --labels-from, --like-ptbxl and --vary"),
        (["--counts", "AFIB=1", "--like-ptbxl", "3"], "got --counts and --like-ptbxl"),
        (["--counts", "AFIB"], "expected STATEMENT=NUMBER"),
        (["--counts", "AFIBB=3"], "unknown statement 'AFIBB'"),
        (["--counts", "AFIB=1", "--seed", "-1"], "--seed is -1"),
        (["--counts", "AFIB=1", "--eta", "2"], "eta is 2"),
        (["--counts", "AFIB=1", "--age", "121"], "age is 121: expected years, 0 to 120"),
        (["--labels-from", "patients.csv"], "'patients.csv', row 2: age is -1: expected years, 0 to 120"),
        (["--counts", "AFIB=1", "--quality", "best", "--steps", "5"], "--quality chooses --steps itself"),
        (["--counts", "AFIB=1", "--format", "csv"], "'csv' is not one of"),
        (
            ["--counts", "AFIB=1", "-n", "2"],
            "-n is 2, the records for each row of --labels-from: leave it out with --counts",
        ),
        (
            ["--labels-from", "header.csv"],
            "expected a column 'labels', or columns named by statements; got ['lable']",
        ),
        (["--labels-from", "nowhere.csv"], "there is no file 'nowhere.csv'"),
        (["--labels-from", "long.csv"], "row 7001: unknown statement 'AFIBB'"),
        (["--counts", "AFIB=1", "--out", "full"], "is not empty, it holds 'x'"),
    ],
)
def test_what_cannot_be_made(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    Path("long.csv").write_text("labels\n" + "AFIB\n" * 7000 + "AFIBB\n")
    Path("header.csv").write_text("lable\nAFIB\n")
    Path("patients.csv").write_text("labels,age\nAFIB,70\nAFIB,-1\n")
    Path("full").mkdir()
    Path("full/x").touch()
    code, _, err = run(capsys, "create", *(arguments if "--out" in arguments else [*arguments, "--out", "a"]))
    assert code == 2 and said in err
    assert not Path("a").exists()


def test_another_checkpoint(capsys, checkpoint, tmp_path):  # noqa: F811
    """Fails when a run is resumed with other weights."""
    import torch

    from sssd import SSSDECG

    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(checkpoint.read_bytes())
    assert create(capsys, mine, tmp_path / "a")[0] == 0
    before = contents(tmp_path / "a")
    (tmp_path / "a" / "data" / "00001.npz").unlink()
    model = SSSDECG.from_pretrained(mine)
    torch.nn.init.normal_(model.model.final_conv["2"].conv.weight, 0, 0.2)
    model.save_checkpoint(mine, overwrite=True)
    code, _, err = run(capsys, "resume", tmp_path / "a", "--checkpoint", mine)
    assert code == 2 and "the corpus was begun with" in err and "--checkpoint" in err
    mine.unlink()
    code, _, err = run(capsys, "resume", tmp_path / "a", "--checkpoint", mine)
    assert code == 2 and "no checkpoint at" in err
    assert run(capsys, "resume", tmp_path / "a", "--checkpoint", checkpoint)[0] == 0
    assert contents(tmp_path / "a") == before


def test_there_is_no_corpus(capsys, tmp_path):
    for command in ("resume", "verify", "info"):
        code, _, err = run(capsys, command, tmp_path)
        assert code == 2 and "holds no corpus" in err


# --- for real -------------------------------------------------------------------------------------------------


def start(checkpoint, out, *arguments):  # noqa: F811
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_twenty_random_kills(checkpoint, tmp_path):  # noqa: F811
    """Fails when a kill at some moment loses, doubles or changes a record, or leaves what resume cannot go on from."""
    how = ["--like-ptbxl", "2000", "--checkpoint", checkpoint, *HOW, "--steps", "10", "--eta", "1"]
    whole = start(checkpoint, "", "create", *how, "--out", tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    pick, kills, out = random.Random(1), 0, tmp_path / "a"
    for _ in range(100):
        if (out / manifest.FILE).exists() or (out / SPARE / manifest.FILE).exists():
            arguments = ["resume", out, "--checkpoint", checkpoint]
        else:
            arguments = ["create", *how, "--out", out]
        run = start(checkpoint, "", *arguments)
        if kills == 20:
            assert run.wait() == 0, run.stderr.read()
            break
        deadline = time.monotonic() + 30
        while run.poll() is None and time.monotonic() < deadline:  # until it holds the folder
            if (out / ".holder").exists() and f'"process": {run.pid},' in (out / ".holder").read_text():
                break
            time.sleep(0.005)
        time.sleep(pick.uniform(0, 0.25))
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            kills += 1
        run.communicate()
    assert kills == 20
    assert contents(out) == contents(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB, and how to mount it anew."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["npz", "parquet", "hdf5", "wfdb"])
def test_a_disk_that_fills_up(capsys, checkpoint, tmp_path, small_disk, format):  # noqa: F811
    """Fails when a full disk ends in more than a line, or in anything that resume does not put right."""
    how = ["--like-ptbxl", "300", "--checkpoint", checkpoint, *HOW, "--format", format]
    assert run(capsys, "create", *how, "--out", tmp_path / "whole")[0] == 0
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(7_400_000))
    out = small_disk / "a"
    code, _, err = run(capsys, "create", *how, "--out", out)
    assert code == 1 and "no space left" in err and f"corpus resume {out}" in err
    code, _, err = run(capsys, "resume", out, "--checkpoint", checkpoint)
    assert code == 1 and "no space left" in err
    ballast.unlink()
    assert run(capsys, "resume", out, "--checkpoint", checkpoint)[0] == 0
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_a_read_only_folder(capsys, checkpoint, small_disk):  # noqa: F811
    out = small_disk / "a"
    assert create(capsys, checkpoint, out)[0] == 0
    before = contents(out)
    (out / "data" / "00001.npz").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, _, err = run(capsys, "resume", out, "--checkpoint", checkpoint)
    assert code == 1 and "cannot be written to" in err
    code, _, err = create(capsys, checkpoint, small_disk / "b")
    assert code == 1 and "cannot be written to" in err
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert run(capsys, "resume", out, "--checkpoint", checkpoint)[0] == 0
    assert contents(out) == before
