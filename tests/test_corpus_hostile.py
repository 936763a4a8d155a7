"""Corpora whose files were written to do harm: every one is refused in one message, and nothing outside is touched."""

import csv
import dataclasses
import hashlib
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import sssd.corpus
from sssd.cli import main
from sssd.corpora import conversion, manifest, notes, run
from sssd.corpora.files import file_hash
from sssd.corpora.formats import ShardReader
from sssd.corpora.manifest import FILE, REQUESTS
from sssd.corpora.plan import by_counts, from_bytes, like_ptbxl, with_patients
from sssd.corpora.schema import Recipe
from sssd.corpora.verify import verify
from sssd.labels import CODES
from tests.corpora import LENGTH, contents, corpus_of, make, stub

GOLDEN = Path(__file__).parent / "golden"
PLAN = with_patients(by_counts("AFIB=18,CLBBB+LVH=17", CODES), 60, "female")
SECRET = b"the secret of somebody else\n"


def altered(folder, **fields):
    """Write a corpus.json that says something else and whose digest fits, as anybody can make one."""
    content = json.loads((folder / FILE).read_text())
    of_part = {field.name for field in dataclasses.fields(Recipe)} - {"records"}
    for name, value in fields.items():
        part = content["parts"][0] if name in of_part else content
        part[name] = value
    del content["digest"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["digest"] = hashlib.sha256(text.encode()).hexdigest()
    for place in (folder, folder / "spare"):
        (place / FILE).write_text(json.dumps(content))


def refusal(capsys, *arguments):
    """Exit code and message of a command that fails: one line, and no traceback."""
    code = main(["corpus", *map(str, arguments)])
    out = capsys.readouterr()
    assert out.err.count("\n") == 1 and "Traceback" not in out.err, out.err
    assert out.err.rstrip("\n").isprintable()
    return code, out.err


def renoted(folder):
    """Let every note fit its shard again: whoever writes a shard can also write its note."""
    corpus = manifest.read(folder)
    for shard in range(corpus.shards):
        path = folder / notes.note_name(shard)
        content = json.loads(path.read_text())
        content["corpus"] = corpus.digest
        content["bytes"], content["sha256"] = file_hash(folder / corpus.file(shard))
        path.write_text(json.dumps(content))


# --- corpus.json and the notes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shard_size": 0}, "shard_size is 0"),
        ({"shard_size": -3}, "shard_size is -3"),
        ({"shard_size": "10"}, "shard_size is '10'"),
        ({"records": "many"}, "records is 'many'"),
        ({"records": 10**30}, "records is "),
        ({"records": 34}, "not the sum over its parts"),
        ({"records": True}, "records is True"),
        ({"format": "exe"}, "format is 'exe'"),
        ({"format": "../../x"}, "format is '../../x'"),
        ({"length": 0}, "length is 0"),
        ({"fs_hz": "fast"}, "fs_hz is 'fast'"),
        ({"leads": ["I"] * 12}, "leads are I I"),
        ({"label_names": ["AFIB"] * 71}, "label_names holds a name twice"),
        ({"label_names": [1, 2]}, "label_names.0 is 1"),
        ({"label_names": ["\x1b[2J"]}, "holds characters that cannot be printed"),
        ({"parts": []}, "parts is []"),
        ({"extra": ["weight"]}, "extra.0 is 'weight'"),
        ({"surprise": 1}, "surprise is 1"),
        ({"sampler": "os.system"}, "parts.0.sampler is 'os.system': expected one of ddim, ddpm"),
        ({"seed": -1}, "parts.0.seed is -1"),
        ({"seed": 2**64}, "parts.0.seed is 184"),
        ({"threads": 10**6}, "parts.0.threads is 1000000"),
        ({"device": "cuda:99"}, "parts.0.device is 'cuda:99'"),
        ({"requests": "../x"}, "parts.0.requests is '../x'"),
        ({"eta": 7}, "parts.0.eta is 7"),
        ({"gain": [1.0, 2.0]}, "parts.0.gain holds 2 factors"),
        ({"gain": [-1.0]}, "parts.0.gain.0 is -1.0"),
        ({"fit": {"steps": [1]}}, "parts.0.fit is no fitted solver"),
        ({"source": "\x1b]0;hello\x07"}, "parts.0.source holds characters that cannot be printed"),
        ({"config": "text"}, "parts.0.config is 'text'"),
        ({"source": "\ud800"}, "corpus.json: "),
    ],
)
def test_a_wrong_description_is_refused_with_its_field(capsys, tmp_path, fields, said):
    """Fails when a value is used before it is checked: shard_size 0 divided by zero."""
    make(tmp_path / "a")
    altered(tmp_path / "a", **fields)
    with pytest.raises(ValueError) as raised:
        manifest.read(tmp_path / "a")
    assert said in str(raised.value)
    for command in ("info", "verify", "resume"):
        code, err = refusal(capsys, command, tmp_path / "a")
        assert code == 2 and "cannot be read" in err


def test_a_value_that_was_changed_by_hand_is_noticed(tmp_path):
    """Fails when the digest is not compared: the records would no longer be those of the recipe."""
    make(tmp_path / "a")
    for place in ("a", "a/spare"):
        path = tmp_path / place / FILE
        content = path.read_text()
        assert '"seed": 7' in content
        path.write_text(content.replace('"seed": 7', '"seed": 8'))
    with pytest.raises(ValueError, match="it was altered: its digest does not fit its contents"):
        manifest.read(tmp_path / "a")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"kind": "sssd-ecg corpus"}', b"NaN"],
)
def test_what_is_no_description_at_all(capsys, tmp_path, content):
    """Fails when a parser's own error, or too deep a nesting, ends in a traceback."""
    make(tmp_path / "a")
    for place in ("a", "a/spare"):
        (tmp_path / place / FILE).write_bytes(content)
    code, err = refusal(capsys, "info", tmp_path / "a")
    assert code == 2 and "cannot be read" in err


def test_too_many_shards_are_refused():
    """Fails when a small file can ask for a loop without an end."""
    plan = by_counts("AFIB=2000001")
    with pytest.raises(ValueError, match="choose shards of 3 records or more"):
        corpus_of(plan, shard_size=1)
    assert corpus_of(plan, shard_size=3).shards == 666_667


@pytest.mark.parametrize(
    "fields",
    [
        {"file": "../../secret"},
        {"file": "data/00001.npz"},
        {"bytes": "many"},
        {"bytes": -1},
        {"lead_uv": []},
        {"lead_uv": [[0, 0, 0]] * 12},
        {"lead_uv": [["\x1b", 0, 0, 0]] * 12},
        {"label_counts": [1]},
        {"records": 9},
        {"shard": 1},
        {"more": 1},
    ],
)
def test_a_wrong_note_makes_its_shard_unfinished(tmp_path, fields):
    """Fails when a note is believed: its file, its counts, its statistics."""
    corpus = make(tmp_path / "a")
    path = tmp_path / "a" / notes.note_name(0)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    (problem,) = verify(tmp_path / "a")
    assert problem.shard == 0
    assert not notes.finished(tmp_path / "a", corpus, 0)
    with pytest.raises(ValueError):
        sssd.corpus.open(tmp_path / "a")
    assert run.resume(tmp_path / "a", run.local(stub)) == [0]
    assert verify(tmp_path / "a") == []


# --- the plan -----------------------------------------------------------------------------------------------


def repacked(content, **arrays):
    with np.load(io.BytesIO(content)) as archive:
        file = io.BytesIO()
        np.savez(file, **{**archive, **arrays})
    return file.getvalue()


@pytest.mark.parametrize(
    "arrays",
    [
        {"which": np.array([0, 9], np.int32)},
        {"which": np.array([0, -1], np.int32)},
        {"which": np.array([0, 1], np.float32)},
        {"ends": np.array([20, 18])},
        {"ends": np.array([40, 35])},
        {"ends": np.array([18, 36])},
        {"ends": np.array([18])},
        {"vectors": np.zeros((2, 70), np.uint8)},
        {"vectors": np.full((2, 71), 2, np.uint8)},
        {"requested": np.array(["AFIB"])},
        {"label_names": np.array(CODES[::-1])},
        {"records": np.int64(36)},
        {"age": np.array([1e9, 1], np.float32)},
        {"age": np.array([60], np.float32)},
        {"sex": np.array(["f", "m"])},
        {"sex": np.array(["x" * 5000, ""])},
        {"heart_rate": np.array([20, 60], np.float32)},
        {"heart_rate": np.array([60], np.float32)},
        {"heart_rate": np.array([60, 60])},
    ],
)
def test_a_wrong_plan_is_refused(arrays):
    """Fails when a plan is used as it stands: an index outside its table, or counts of another corpus."""
    content = PLAN.to_bytes()
    assert from_bytes(content, CODES, 35).records == 35
    with pytest.raises(ValueError):
        from_bytes(repacked(content, **arrays), CODES, 35)


def test_a_plan_without_the_columns_of_the_corpus_is_refused(tmp_path):
    """Fails when corpus.json promises an age that no record gets."""
    make(tmp_path / "a")
    altered(tmp_path / "a", extra=["age"])
    with pytest.raises(ValueError, match="requests.npz and corpus.json differ on age, sex or heart rate"):
        run.resume(tmp_path / "a", run.local(stub))


def test_a_drawn_plan_is_read_back():
    assert from_bytes(like_ptbxl(5).to_bytes(), CODES, 5).drawn


class Bomb:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch /tmp/sssd-was-here",)


def test_nothing_is_unpickled(tmp_path):
    """Fails when an array of objects is loaded from a plan or a shard."""
    marker = Path("/tmp/sssd-was-here")
    marker.unlink(missing_ok=True)
    bomb = np.array([Bomb()] * 2, object)
    file = io.BytesIO()
    np.lib.format.write_array(file, bomb, allow_pickle=True)
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(PLAN.to_bytes())) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            new.writestr(name, file.getvalue() if name == "requested.npy" else old.read(name))
    with pytest.raises(ValueError, match="requested has the type object"):
        from_bytes(content.getvalue(), CODES, 35)
    make(tmp_path / "a")
    shard = tmp_path / "a" / "data" / "00000.npz"
    with np.load(shard) as archive:
        arrays = dict(archive)
    np.savez(shard, **{**arrays, "requested": np.array([Bomb()] * 10, object)})
    with pytest.raises(ValueError, match=r"data/00000\.npz is damaged: requested has the type object"):
        ShardReader(tmp_path / "a", manifest.read(tmp_path / "a"), 0)
    assert not marker.exists()


def test_a_small_archive_cannot_ask_for_much_memory(tmp_path):
    """Fails when an array is made before its shape is checked: this one would take 8 PB."""
    corpus = make(tmp_path / "a")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<i2", "fortran_order": False, "shape": (2**50, 4)}
    )
    shard = tmp_path / "a" / "data" / "00000.npz"
    with np.load(shard) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "signal_uv"}
    np.savez(shard, **arrays)
    with zipfile.ZipFile(shard, "a") as archive:
        archive.writestr("signal_uv.npy", header.getvalue())
    with pytest.raises(ValueError, match="signal_uv has the shape"):
        ShardReader(tmp_path / "a", corpus, 0)


# --- shards -------------------------------------------------------------------------------------------------


def test_wfdb_reads_the_files_that_follow_from_the_numbers(tmp_path):
    """Fails when the name of a record is taken from records.csv: it read ../../secret."""
    corpus = make(tmp_path / "a", format="wfdb", plan=PLAN)
    expected = ShardReader(tmp_path / "a", corpus, 0).read(0, 10)
    (tmp_path / "secret.dat").write_bytes(bytes(range(256)) * (2 * 12 * LENGTH // 256 + 1))
    os.truncate(tmp_path / "secret.dat", 2 * 12 * LENGTH)
    table = tmp_path / "a" / "data" / "00000" / "records.csv"
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    for row in rows[1:]:
        row[0] = "../../../secret"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    renoted(tmp_path / "a")
    found = ShardReader(tmp_path / "a", corpus, 0).read(0, 10)
    assert np.array_equal(found["signal_uv"], expected["signal_uv"])


@pytest.mark.parametrize(
    ("column", "value"),
    [(1, "7"), (1, "x"), (4, "01"), (4, "2" * 71), (5, "700"), (5, "old"), (6, "other")],
)
def test_wrong_cells_of_wfdb(tmp_path, column, value):
    corpus = make(tmp_path / "a", format="wfdb", plan=PLAN)
    table = tmp_path / "a" / "data" / "00000" / "records.csv"
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[2][column] = value
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(ValueError, match="data/00000 is damaged"):
        ShardReader(tmp_path / "a", corpus, 0).read(0, 10)


@pytest.mark.parametrize("samples", [0, LENGTH - 1, LENGTH + 1])
def test_wfdb_with_a_record_of_another_length(tmp_path, samples):
    """Fails when a whole file is read before its size is compared with the length of the records."""
    corpus = make(tmp_path / "a", format="wfdb")
    (tmp_path / "a" / "data" / "00000" / "000000003.dat").write_bytes(bytes(2 * 12 * samples))
    with pytest.raises(ValueError, match="000000003.dat does not hold 12 leads of 50 samples"):
        ShardReader(tmp_path / "a", corpus, 0).read(0, 10)


def test_wfdb_with_labels_of_another_width(tmp_path):
    """Fails when the width of the labels is not compared with the corpus: all rows agree on 70."""
    corpus = make(tmp_path / "a", format="wfdb")
    table = tmp_path / "a" / "data" / "00000" / "records.csv"
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *([*row[:4], row[4][:-1]] for row in rows[1:])])
    with pytest.raises(ValueError, match=r"data/00000 is damaged: labels has the shape \(10, 70\)"):
        ShardReader(tmp_path / "a", corpus, 0).read(0, 10)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("format", ["npz", "wfdb"])
def test_links_out_of_the_corpus_are_not_followed(capsys, tmp_path, format):
    """Fails when a shard, a record or a folder may lie elsewhere: reading, verifying, writing and clearing."""
    corpus = make(tmp_path / "a", format=format)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".precious.part").write_bytes(SECRET)
    before = contents(tmp_path / "a")

    shard = tmp_path / "a" / corpus.file(0)
    shard.rename(outside / shard.name)
    shard.symlink_to(outside / shard.name)
    with pytest.raises(ValueError, match="link that leads out of the corpus"):
        ShardReader(tmp_path / "a", corpus, 0)
    (problem,) = verify(tmp_path / "a")
    assert "link that leads out of the corpus" in str(problem)
    assert run.resume(tmp_path / "a", run.local(stub)) == [0]
    assert contents(tmp_path / "a") == before and not shard.is_symlink()
    assert (outside / shard.name).exists()

    if format == "wfdb":
        record = shard / "000000000.dat"
        (outside / record.name).write_bytes(bytes(2 * 12 * LENGTH))
        record.unlink()
        record.symlink_to(outside / record.name)
        with pytest.raises(ValueError, match="'000000000.dat', which is not a plain file"):
            ShardReader(tmp_path / "a", corpus, 0)
        assert [problem.shard for problem in verify(tmp_path / "a")] == [0]
        assert run.resume(tmp_path / "a", run.local(stub), check=True) == [0]

    for name in ("data", "shards", "spare"):
        (tmp_path / "a" / name).rename(tmp_path / "moved")
        (tmp_path / "a" / name).symlink_to(outside)
        with pytest.raises(ValueError, match=f"{name} is a link that leads out of the corpus"):
            run.resume(tmp_path / "a", run.local(stub))
        (tmp_path / "a" / name).unlink()
        (tmp_path / "moved").rename(tmp_path / "a" / name)
    assert (outside / ".precious.part").read_bytes() == SECRET


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_does_not_stop_a_run(tmp_path):
    """Fails when a pipe is opened: the command would wait for ever."""
    corpus = make(tmp_path / "a")
    (tmp_path / "a" / corpus.file(0)).unlink()
    os.mkfifo(tmp_path / "a" / corpus.file(0))
    (problem,) = verify(tmp_path / "a")
    assert "neither a file nor a folder" in str(problem)
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        ShardReader(tmp_path / "a", corpus, 0)


def test_hdf5_cannot_point_at_other_files(tmp_path):
    """Fails when external storage, external links or virtual datasets are followed."""
    h5py = pytest.importorskip("h5py")
    corpus = make(tmp_path / "a", format="hdf5")
    shard = tmp_path / "a" / corpus.file(0)
    whole = shard.read_bytes()
    shape = (10, 12, LENGTH)
    raw, other = tmp_path / "secret.raw", tmp_path / "other.h5"
    raw.write_bytes(bytes(2 * int(np.prod(shape))))
    with h5py.File(other, "w") as file:
        file["signal_uv"] = np.zeros(shape, "<i2")

    def external(file):
        file.create_dataset("signal_uv", shape, "<i2", external=[(str(raw), 0, raw.stat().st_size)])

    def link(file):
        file["signal_uv"] = h5py.ExternalLink(str(other), "signal_uv")

    def virtual(file):
        layout = h5py.VirtualLayout(shape, "<i2")
        layout[:] = h5py.VirtualSource(str(other), "signal_uv", shape)
        file.create_virtual_dataset("signal_uv", layout)

    def larger(file):
        file.create_dataset("signal_uv", (2**40, 12, LENGTH), "<i2", chunks=(1, 12, LENGTH))

    for harm in (external, link, virtual, larger):
        shard.write_bytes(whole)
        with h5py.File(shard, "a") as file:
            del file["signal_uv"]
            harm(file)
        with pytest.raises(ValueError, match=r"data/00000\.h5 is damaged: .*signal_uv"):
            ShardReader(tmp_path / "a", corpus, 0)
    shard.write_bytes(whole)
    assert ShardReader(tmp_path / "a", corpus, 0).read(0, 1)["signal_uv"].any()


def test_parquet_holds_what_the_corpus_says(tmp_path):
    """Fails when columns, groups or sizes are taken as they come."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    corpus = make(tmp_path / "a", format="parquet")
    shard = tmp_path / "a" / corpus.file(0)
    table = pq.read_table(shard)
    labels, long = table.schema.field("labels"), pa.array(["x" * 1_000_000] * 10)
    harms = {
        "labels": table.drop_columns("labels"),
        "groups": pa.concat_tables([table, table]),
        "signal_uv": table.set_column(
            4, "signal_uv", pa.array([b"x" * 8] * 10, pa.binary(8))
        ),
        "bytes each": table.set_column(1, "requested", long),
        "index": table.set_column(0, "index", pa.array(range(1, 11), pa.int64())),
        "labels hold": table.set_column(
            3, labels, pa.FixedSizeListArray.from_arrays(pa.array(np.full(710, 9, np.uint8)), type=labels.type)
        ),
    }  # fmt: skip
    for said, harm in harms.items():
        pq.write_table(harm, shard, compression="none", use_dictionary=False)
        with pytest.raises(ValueError, match=rf"data/00000\.parquet is damaged: .*{said}"):
            ShardReader(tmp_path / "a", corpus, 0).read(0, 10)


@pytest.mark.parametrize("format", ["npz", "parquet", "hdf5", "wfdb"])
def test_any_byte_may_be_wrong(tmp_path, format):
    """Fails when a parser's own error gets out: 40 flipped bytes, and cut off anywhere."""
    pytest.importorskip({"parquet": "pyarrow", "hdf5": "h5py"}.get(format, "numpy"))
    corpus = make(tmp_path / "a", records=10, format=format, plan=by_counts("AFIB=10"))
    path = tmp_path / "a" / corpus.file(0)
    path = path / "records.csv" if path.is_dir() else path
    whole, pick = path.read_bytes(), np.random.default_rng(0)
    for i in range(40):
        content = bytearray(whole)
        if i % 4 == 3:
            del content[int(pick.integers(len(content))) :]
        else:
            content[int(pick.integers(len(content)))] ^= 1 << int(pick.integers(8))
        path.write_bytes(content)
        try:
            ShardReader(tmp_path / "a", corpus, 0).read(0, 10)
        except (ValueError, OSError) as error:
            assert str(error)


# --- the checkpoint -----------------------------------------------------------------------------------------


def test_resume_opens_no_checkpoint_that_only_the_corpus_names(capsys, tmp_path):
    """Fails when the path in corpus.json is opened: it may be any file of this machine."""
    make(tmp_path / "a")
    (tmp_path / "a" / "data" / "00000.npz").unlink()
    target = tmp_path / "it is here.safetensors"
    target.write_bytes(SECRET)
    altered(tmp_path / "a", checkpoint=str(target))
    code, err = refusal(capsys, "resume", tmp_path / "a")
    assert code == 2 and "is not opened unless you give it" in err and f"--checkpoint '{target}'" in err
    code, err = refusal(capsys, "resume", tmp_path / "a", "--checkpoint", "builtin")
    assert code == 2 and "the corpus was begun with" in err, "weights of another hash were taken"


def test_weights_of_an_earlier_version_are_not_looked_for(capsys, tmp_path):
    make(tmp_path / "a")
    (tmp_path / "a" / "data" / "00000.npz").unlink()
    altered(tmp_path / "a", checkpoint="few-step")
    code, err = refusal(capsys, "resume", tmp_path / "a")
    assert code == 2 and "resume it with that version, or give its few-step.safetensors" in err


def test_a_configuration_in_the_description_is_checked(capsys, tmp_path):
    make(tmp_path / "a")
    altered(tmp_path / "a", config={"wavenet_config": {"out_channels": "x"}})
    code, err = refusal(capsys, "resume", tmp_path / "a", "--checkpoint", "builtin")
    assert code == 2 and "the configuration in corpus.json" in err


# --- what reaches a terminal --------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")
def test_names_of_files_are_printed_without_control_characters(capsys, tmp_path):
    make(tmp_path / "a")
    (tmp_path / "a" / "data" / "\x1b[2J.npz").touch()
    code = main(["corpus", "verify", str(tmp_path / "a")])
    out = capsys.readouterr()
    assert code == 1 and "\x1b" not in out.out + out.err and "not of this corpus" in out.out


def test_the_holder_of_a_lock_is_printed_without_control_characters(tmp_path):
    from sssd.corpora.lock import HOLDER, locked

    make(tmp_path / "a")
    with locked(tmp_path / "a"):
        for content in ('{"process": 5, "host": "\\u001b[2J"}', "[" * 100_000, "[]", '{"process": "x"}'):
            (tmp_path / "a" / HOLDER).write_text(content)
            with pytest.raises(BlockingIOError) as raised:
                run.resume(tmp_path / "a", run.local(stub))
            assert str(raised.value).isprintable()


# --- corpora of earlier versions ----------------------------------------------------------------------------


def test_a_corpus_of_an_earlier_version(tmp_path):
    """Fails when the files of version 0.1 are no longer read, or their records are made otherwise."""
    shutil.copytree(GOLDEN / "corpus", tmp_path / "a")
    corpus = manifest.read(tmp_path / "a")
    assert verify(tmp_path / "a") == []
    assert corpus.parts[0].checkpoint == "built-in" and corpus.parts[0].shipped
    before = ShardReader(tmp_path / "a", corpus, 1).read(0, 5)
    (tmp_path / "a" / "data" / "00001.npz").unlink()
    assert run.resume(tmp_path / "a", run.local(lambda columns: stub(columns, 20))) == [1]
    after = ShardReader(tmp_path / "a", corpus, 1).read(0, 5)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert len(sssd.corpus.open(tmp_path / "a")) == 12


def test_requests_packed_by_another_zlib_are_copied_as_they_are(tmp_path):
    """Fails when `convert` packs the plan anew: its bytes then have another SHA-256 than the recipe says."""
    make(tmp_path / "a")
    with np.load(tmp_path / "a" / REQUESTS) as archive:
        np.savez(tmp_path / REQUESTS, **archive)  # without compression
    content = (tmp_path / REQUESTS).read_bytes()
    for place in ("a", "a/spare"):
        (tmp_path / place / REQUESTS).write_bytes(content)
    altered(tmp_path / "a", requests=hashlib.sha256(content).hexdigest())
    renoted(tmp_path / "a")
    conversion.convert(tmp_path / "a", tmp_path / "b", "wfdb")
    assert verify(tmp_path / "b") == []


def test_a_merged_description_of_an_earlier_version(tmp_path):
    """Fails when a configuration, a seed beyond 2^63 or other text changes on the way: the digest sees it."""
    (tmp_path / FILE).write_bytes((GOLDEN / "merged_corpus.json").read_bytes())
    corpus = manifest.read(tmp_path)
    mine, earlier = corpus.parts
    assert (mine.seed, mine.shipped, earlier.shipped) == (2**63, False, False)
    assert mine.config is not None and mine.config["diffusion_config"]["beta_0"] == 0.0001
