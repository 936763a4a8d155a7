"""Corpora: plans, shards in all formats, readers. Damage is found, and shards are made again with the same bits."""

import dataclasses
import errno
import importlib.metadata
import io
import json
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sssd import circumstances, mix
from sssd.corpora import conversion, manifest, notes, recipe, run
from sssd.corpora.files import SPARE, file_hash
from sssd.corpora.formats import ShardReader
from sssd.corpora.lock import HOLDER, locked
from sssd.corpora.manifest import FILE, REQUESTS
from sssd.corpora.plan import by_counts, from_bytes, from_csv, like_ptbxl, with_patients
from sssd.corpora.verify import repair, verify
from sssd.labels import CODES, encode
from sssd.noise import origin
from tests.corpora import LENGTH, contents, corpus_of, make, stub

torch = pytest.importorskip("torch")
SAMPLERS = pytest.importorskip("sssd.samplers").SAMPLERS
LOCAL = run.local(stub)
FORMATS = [
    pytest.param(name, marks=pytest.mark.skipif(absent, reason=f"without {package}"))
    for name, package in (("npz", "numpy"), ("wfdb", "wfdb"), ("parquet", "pyarrow"), ("hdf5", "h5py"))
    for absent in [
        subprocess.call([sys.executable, "-c", f"import {package}"], stderr=subprocess.DEVNULL) != 0
    ]
]


def everything(folder):
    """All records of a corpus, column by column."""
    corpus = manifest.read(folder)
    blocks = []
    for shard in range(corpus.shards):
        reader = ShardReader(folder, corpus, shard)
        blocks.append(reader.read(0, len(corpus.span(shard))))
        reader.close()
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[n], other[n], equal_nan=one[n].dtype.kind == "f") for n in one
    )


# --- plans --------------------------------------------------------------------------------------------------


def test_counts_say_what_each_record_is():
    plan = by_counts("AFIB=3, CLBBB+LVH=2", exact=True)
    rows = plan.rows(np.arange(5), seed=1)
    assert rows["requested"].tolist() == ["AFIB"] * 3 + ["CLBBB+LVH"] * 2
    assert np.array_equal(rows["labels"], encode(["AFIB"] * 3 + ["CLBBB+LVH"] * 2))
    assert plan.records == 5


@pytest.mark.parametrize("kind", ["counts", "ptbxl"])
def test_the_labels_of_a_record_depend_on_its_number_alone(kind):
    """Fails when labels depend on the records before, or on the row in the batch."""
    plan = by_counts("AFIB=30,NORM=30") if kind == "counts" else like_ptbxl(60)
    whole = plan.rows(np.arange(60), seed=3)["labels"]
    assert np.array_equal(whole[[41, 7, 59]], plan.rows(np.array([41, 7, 59]), seed=3)["labels"])
    assert not np.array_equal(whole, plan.rows(np.arange(60), seed=4)["labels"])
    assert whole.sum() > 60, "nothing stands beside the statement asked for"
    again = from_bytes(plan.to_bytes(), CODES, 60)
    assert np.array_equal(whole, again.rows(np.arange(60), seed=3)["labels"])


def test_the_mix_of_ptbxl():
    """Fails when the draw is not in proportion to the counts: tolerance 4 standard errors."""
    with np.load(mix.FILE) as table:
        vectors, counts = np.unpackbits(table["bits"], axis=1, count=71), table["counts"]
    share = counts @ vectors / counts.sum()
    labels = like_ptbxl(20_000).rows(np.arange(20_000), seed=0)["labels"]
    assert np.all(abs(labels.mean(0) - share) < 4 * np.sqrt(share * (1 - share) / 20_000) + 1e-4)
    assert abs(labels.sum(1).mean() - 2.8) < 0.1
    assert mix.FILE.stat().st_size < 150_000


def test_the_labels_that_are_drawn_say_nothing_of_the_circumstances():
    """Fails when both come from the same random bits: the rms of the jitter was 1.3, 0.7 and 0.4 then (seen)."""
    index, table = np.arange(9000), torch.zeros(1, 16)
    labels = like_ptbxl(len(index)).rows(index, seed=5)["labels"]
    state = origin(5, torch.from_numpy(index))
    rows = torch.zeros(len(index), dtype=torch.long)
    jitter = circumstances.draw(table, rows, state).numpy() / circumstances.BANDWIDTH
    _, which, counts = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    often = counts[which.reshape(-1)]
    for third in np.array_split(np.argsort(often, kind="stable"), 3):
        assert np.sqrt(np.mean(jitter[third, :4] ** 2, axis=0)) == pytest.approx(1.0, abs=0.06)


def test_a_drawn_plan_of_an_earlier_version_is_refused():
    """Fails when a corpus that was begun with other labels is completed with those of this version."""
    with np.load(io.BytesIO(like_ptbxl(5).to_bytes())) as archive:
        arrays = dict(archive)
    del arrays["step"]
    file = io.BytesIO()
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match="begun with an earlier version, which draws other labels"):
        from_bytes(file.getvalue(), CODES, 5)


def test_a_table_of_names_ages_sexes_and_heart_rates(tmp_path):
    file = tmp_path / "wanted.csv"
    file.write_text("labels,age,sex,heart_rate\nAFIB,71,0,\nCLBBB+LVH,,female,60 bpm\nAFIB,33.5,,\n")
    plan = from_csv(file, per_row=2, exact=True)
    rows = plan.rows(np.arange(6), seed=1)
    assert rows["requested"].tolist() == ["AFIB"] * 2 + ["CLBBB+LVH"] * 2 + ["AFIB"] * 2
    assert np.array_equal(rows["age"], np.float32([71, 71, np.nan, np.nan, 33.5, 33.5]), equal_nan=True)
    assert rows["sex"].tolist() == ["male"] * 2 + ["female"] * 2 + [""] * 2
    nan = np.nan
    assert np.array_equal(rows["heart_rate"], np.float32([nan, nan, 60, 60, nan, nan]), equal_nan=True)
    assert len(plan.vectors) == 2


@pytest.mark.parametrize(
    "content",
    [
        "labels,age,sex\nAFIB,71,0\nCLBBB+LVH,,female\n\nAFIB,0,\n",
        "row,AFIB,LVH,age\na,1,0,300\nb,1.0,1,\n",
        "labels,Heart Rate\nAFIB,71\nLVH,72 bpm\nAFIB,unknown\nLVH,60/min\n",
        "AFIB,bpm\n1,71.5\n1,\n",
        "\ufeffatrial fibrillation,sex\n1, Male \n1,nan\n",
    ],
)
def test_generate_and_corpora_read_the_same_table(tmp_path, content):
    """Fails when one of them reads a row differently."""
    from sssd.cli.requests import read_requests

    file = tmp_path / "wanted.csv"
    file.write_text(content, encoding="utf-8")
    asked = read_requests(None, file, CODES)
    plan = from_csv(file, exact=True)
    rows = plan.rows(np.arange(plan.records), seed=0)
    assert np.array_equal(rows["labels"], asked.vectors)
    for name in ("age", "heart_rate"):
        own = rows.get(name, np.full(len(asked), np.nan))
        assert np.array_equal(own, getattr(asked, name), equal_nan=True)
    sex = [{"male": 0.0, "female": 1.0}.get(name, np.nan) for name in rows.get("sex", [""] * len(asked))]
    assert np.array_equal(sex, asked.sex, equal_nan=True)
    assert len(asked) == content.strip().count("\n") - content.count("\n\n")


def test_age_and_sex_for_rows_that_have_none(tmp_path):
    """Fails when rows that have a value are overruled, or a plan without a table gets no patients."""
    file = tmp_path / "wanted.csv"
    file.write_text("labels,age,sex,heart_rate\nAFIB,71,0,60\nLVH,,female,\nAFIB,0,,\n")
    rows = with_patients(from_csv(file), 50, "male", 90).rows(np.arange(3), seed=1)
    assert rows["age"].tolist() == [71, 50, 0] and rows["sex"].tolist() == ["male", "female", "male"]
    assert rows["heart_rate"].tolist() == [60, 90, 90]
    for plan in (by_counts("AFIB=1,LVH=2"), like_ptbxl(3)):
        rows = with_patients(plan, 50, "female", 72).rows(np.arange(3), seed=1)
        assert rows["age"].tolist() == [50] * 3 and rows["sex"].tolist() == ["female"] * 3
        assert rows["heart_rate"].tolist() == [72] * 3
        assert with_patients(plan, None, None) is plan
        assert from_bytes(with_patients(plan, 50, None).to_bytes(), CODES, 3).sex is None


def test_a_table_of_vectors(tmp_path):
    file = tmp_path / "wanted.csv"
    file.write_text("row,AFIB,LVH,age\na,1,0,50\nb,1,1,60\n")
    plan = from_csv(file)
    assert np.array_equal(plan.rows(np.arange(2), seed=0)["labels"], encode(["AFIB", "AFIB+LVH"]))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["AFIB"] * 7000 + ["AFIBB"], "row 7001: unknown statement 'AFIBB'"),
        (["AFIB,5"], "row 1: 2 cells"),
        ([], "asks for nothing"),
    ],
)
def test_an_error_in_a_table_names_the_row(tmp_path, rows, said):
    file = tmp_path / "wanted.csv"
    file.write_text("\n".join(["labels", *rows]) + "\n")
    with pytest.raises(ValueError, match=said):
        from_csv(file)


@pytest.mark.parametrize(
    ("patient", "said"),
    [
        ("121,", "row 3: age is 121: expected years, 0 to 120"),
        ("old,", "row 3: age is 'old'"),
        (",w", "row 3: sex is 'w': expected 'female' or 'male'"),
        (",2", "row 3: sex is '2'"),
        (",,24", "row 3: heart_rate is 24: expected beats per minute, 25 to 250"),
        (",,fast", "row 3: heart_rate is 'fast'"),
    ],
)
def test_a_wrong_patient_names_the_row(tmp_path, patient, said):
    file = tmp_path / "wanted.csv"
    patient += "," * (2 - patient.count(","))
    file.write_text(f"labels,age,sex,heart_rate\nAFIB,120,Female,25\nAFIB,0,1.0,250\nAFIB,{patient}\n")
    with pytest.raises(ValueError, match=said):
        from_csv(file)


@pytest.mark.parametrize("counts", ["AFIB", "AFIB=0", "AFIB=x", "=3", "AFIBB=3", "AFIB=3,,LVH=2"])
def test_wrong_counts(counts):
    with pytest.raises(ValueError):
        by_counts(counts)


# --- the same bits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_lost_shards_are_made_again_byte_for_byte(tmp_path, format):
    """Fails when a file holds a time, or depends on where the run was resumed."""
    make(tmp_path / "a", format=format)
    before = contents(tmp_path / "a")
    corpus = manifest.read(tmp_path / "a")
    for shard in (1, 3):
        (tmp_path / "a" / notes.note_name(shard)).unlink()
    (tmp_path / "a" / "data" / f".{Path(corpus.file(1)).name}.part").mkdir()
    (tmp_path / "a" / "shards" / ".00001.json.part").write_text("{")
    assert run.resume(tmp_path / "a", LOCAL) == [1, 3]
    assert not list((tmp_path / "a").rglob("*.part"))
    assert contents(tmp_path / "a") == before
    assert run.resume(tmp_path / "a", LOCAL, check=True) == []


def test_records_do_not_depend_on_the_shards(tmp_path):
    """Fails when batches begin where shards do."""
    calls = []

    def counted(columns):
        calls.append((len(columns["index"]), int(columns["index"][0])))
        return stub(columns)

    make(tmp_path / "a", generate=counted, shard_size=10)
    assert calls == [(8, 0), (8, 8), (8, 16), (8, 24), (8, 32)], "a batch was generated twice, or not whole"
    make(tmp_path / "b", shard_size=16)
    make(tmp_path / "c", shard_size=1000)
    a = everything(tmp_path / "a")
    assert same(a, everything(tmp_path / "b")) and same(a, everything(tmp_path / "c"))
    assert a["index"].tolist() == list(range(35))


def test_a_record_depends_on_its_number_not_on_its_row(model):
    """Fails when `generate` counts from 0 whatever the request says."""
    from sssd.model_wrapper import Request

    vectors = encode(["AFIB", "NORM", "LVH", "AFIB"])
    how = {"seed": 3, "return_numpy": True, "ddim_eta": 1.0, "precision": "float32"}
    whole = model.generate(vectors, **how)
    part = model.generate(Request(vectors[2:], ("", ""), (2, 3)), **how)
    assert abs(whole[2:] - part).max() < 1e-3
    (ecg,) = model.generate_ecgs(Request(vectors[3:], ("AFIB",), (3,)), seed=3)
    assert ecg.provenance["index"] == 3


def test_a_description_that_cannot_be_read_back_leaves_nothing(tmp_path):
    """Fails when the folder is made before the description is looked at."""
    from tests.test_wrapper import tiny

    model = tiny(ddim_config={"ddim_timesteps": 3})
    plan = by_counts("AFIB=2", exact=True)
    corpus = recipe.describe(
        model, plan, model.step_table(), seed=5, precision="float32", source="", checkpoint="x",
        batch_size=2, threads=10**6, format="npz", shard_size=2,
    )  # fmt: skip
    with pytest.raises(ValueError, match="parts.0.threads is 1000000: Input should be less"):
        run.create(tmp_path / "a" / "c", corpus, plan, run.local(recipe.generator(corpus.parts[0], model)))
    assert not list(tmp_path.iterdir())


def by_recipe(folder, model, plan, sampler, *, batch_size=3, shard_size=4):
    """All records of a corpus of `plan`, four steps of `sampler` or all of DDPM."""
    eta = 0.5 if sampler == "ddim" else None
    table = model.step_table(sampler=sampler, steps=None if sampler == "ddpm" else 4, ddim_eta=eta)
    corpus = recipe.describe(
        model, plan, table, seed=5, precision="float32", source="", checkpoint="x",
        batch_size=batch_size, threads=1, format="npz", shard_size=shard_size,
    )  # fmt: skip
    run.create(folder, corpus, plan, run.local(recipe.generator(corpus.parts[0], model)))
    return everything(folder)


@pytest.mark.parametrize("how", [{}, {"ddim_eta": 0.3, "spacing": "trailing", "steps": 4}])
def test_a_recipe_knows_the_table(how, tmp_path):
    """Fails when it records another eta or spacing than the table's, so that `resume` makes other records."""
    from sssd.leads import to_twelve
    from tests.test_wrapper import tiny

    model = tiny(ddim_config={"ddim_timesteps": 3, "ddim_eta": 1.0})
    plan, table = by_counts("AFIB=4", exact=True), model.step_table(**how)
    corpus = recipe.describe(
        model, plan, table, seed=5, precision="float32", source="", checkpoint="x",
        batch_size=2, threads=1, format="npz", shard_size=2,
    )  # fmt: skip
    (part,) = corpus.parts
    assert (part.eta, part.spacing) == ((0.3, "trailing") if how else (1.0, "uniform"))
    run.create(tmp_path / "c", corpus, plan, run.local(recipe.generator(part, model)))
    whole = everything(tmp_path / "c")["signal_uv"]
    float32 = {"precision": "float32", "return_numpy": True, "batch_size": 2}
    expected = model.generate(["AFIB"] * 4, exact=True, seed=5, **float32, **how)
    assert np.abs(whole - 1000 * to_twelve(expected)).max() <= 0.51
    (tmp_path / "c" / "data" / "00001.npz").unlink()
    run.resume(tmp_path / "c", run.local(recipe.generator(manifest.read(tmp_path / "c").parts[0], model)))
    assert np.array_equal(everything(tmp_path / "c")["signal_uv"], whole)


CALIBRATED = {
    "ddim_timesteps": 3,
    "fits": [{"steps": [19, 10, 3], "eta": [0.5, 0.2, 0.0], "slope": [0.0, 0.1, 0.2], "before": [0.0, 0.0, 0.1]}],
    "gains": {"unipc3": [1.1, 0.9, 1.2, 0.8, 1.3, 0.7, 1.05, 0.95], "fitted3": [1.5] * 8},
}  # fmt: skip


@pytest.mark.parametrize("sampler", ["unipc", "fitted", "ddim"])
@pytest.mark.parametrize("format", ["npz", "wfdb"])
def test_a_recipe_knows_the_gain_and_the_fitted_solver(sampler, format, tmp_path):
    """Fails when a corpus goes on with those of another file, whose weights, and so its hash, are the same."""
    from sssd.corpora.formats import metadata
    from tests.test_wrapper import tiny

    model = tiny(ddim_config=CALIBRATED)
    fit = {**CALIBRATED["fits"][0], "slope": [0.0, 0.5, 0.5]}
    other = tiny(ddim_config={"ddim_timesteps": 3, "fits": [fit], "gains": {"ddim3": [2.0] * 8}})
    assert other.model_hash == model.model_hash
    plan, table = by_counts("AFIB=4", exact=True), model.step_table(sampler=sampler, steps=3)
    corpus = recipe.describe(
        model, plan, table, seed=5, precision="float32", source="", checkpoint="x",
        batch_size=2, threads=1, format=format, shard_size=2,
    )  # fmt: skip
    run.create(tmp_path / "c", corpus, plan, run.local(recipe.generator(corpus.parts[0], model)))
    before = contents(tmp_path / "c")
    (part,) = manifest.read(tmp_path / "c").parts
    (tmp_path / "c" / notes.note_name(1)).unlink()
    assert run.resume(tmp_path / "c", run.local(recipe.generator(part, other))) == [1]
    assert contents(tmp_path / "c") == before
    told, how = metadata.provenance(corpus), model.provenance(table, seed=5, precision="float32")
    assert {name: told.get(name) for name in how} == how  # what records of `generate` say


def test_the_number_of_threads_is_the_recipe_s_while_a_batch_is_made(model, monkeypatch):
    """Fails when a corpus is made with another number of threads, or leaves its own set for the whole process."""
    before, seen = torch.get_num_threads(), []
    part = dataclasses.replace(corpus_of(by_counts("AFIB=3")).parts[0], threads=before + 2)
    generate = recipe.generator(part, model)

    def fake(vectors, *_, **__):
        seen.append(torch.get_num_threads())
        return torch.zeros(len(vectors), *model.shape)

    monkeypatch.setattr(model, "batch_on_device", fake)
    generate({"index": np.arange(3), "labels": np.zeros((3, 71), np.uint8)})
    assert seen == [before + 2] and torch.get_num_threads() == before


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "consistency"])
def test_a_corpus_holds_what_generate_gives(model, tmp_path, sampler):
    """Fails when the corpus rounds, orders or numbers otherwise than `generate`, or a recipe forgets its sampler."""
    from sssd.io.units import microvolts
    from sssd.leads import to_twelve

    plan = by_counts("AFIB=5,LVH=4", exact=True)
    got = by_recipe(tmp_path / "c", model, plan, sampler)
    ecgs = model.generate(
        plan.rows(np.arange(9), 5)["labels"].astype(np.float32),
        sampler=sampler, steps=None if sampler == "ddpm" else 4, ddim_eta=0.5 if sampler == "ddim" else None,
        seed=5, batch_size=3, return_numpy=True, precision="float32",
    )  # fmt: skip
    assert np.array_equal(got["signal_uv"], microvolts(to_twelve(ecgs)))
    from sssd.data.recordings import read

    assert len(read(tmp_path / "c" / "data" / "00000.npz")) == 4  # what `train` takes


@pytest.mark.parametrize("sampler", ["ddim", "sde-dpmpp-2m", "unipc"])
def test_batches_differ_by_rounding_and_shards_by_nothing(model, tmp_path, sampler):
    """Fails when noise, labels or statements beside them follow the row of the batch: at most 1 uV apart, 1 in 100."""
    plan = by_counts("AFIB=11,LVH=9")
    found = [by_recipe(tmp_path / str(n), model, plan, sampler, batch_size=n) for n in (3, 8, 20)]
    for other in found[1:]:
        assert np.array_equal(found[0]["labels"], other["labels"])
        apart = abs(found[0]["signal_uv"].astype(int) - other["signal_uv"])
        assert apart.max() <= 1 and (apart > 0).mean() < 0.01
    assert abs(found[0]["signal_uv"]).max() > 100, "there is nothing to differ"
    assert same(found[0], by_recipe(tmp_path / "a", model, plan, sampler, shard_size=7))


def test_age_sex_and_heart_rate_reach_the_network(tmp_path):
    """Fails when a patient is lost or swapped, follows the row of the batch, or is not there after a resume."""
    from sssd.io.units import microvolts
    from sssd.leads import to_twelve
    from tests.test_wrapper import LENGTH, tiny

    trainset = {"segment_length": LENGTH, "patient": True, "heart_rate": True}
    model = tiny(network={"label_embed_classes": 77}, trainset_config=trainset)
    plan = with_people(tmp_path)
    got = by_recipe(tmp_path / "a", model, plan, "unipc")
    rows = plan.rows(np.arange(27), 5)

    def made(**patients):
        ecgs = model.generate(rows["labels"].astype(np.float32), sampler="unipc", steps=4, seed=5, batch_size=3,
                              return_numpy=True, precision="float32", **patients)  # fmt: skip
        return microvolts(to_twelve(ecgs))

    told = {"age": [71, None, 5] * 9, "sex": ["male", "female", None] * 9, "heart_rate": [None, 140, 60] * 9}
    assert np.array_equal(got["signal_uv"], made(**told))
    for without in ({}, told | {"heart_rate": [140, 60, None] * 9}):
        apart = (got["signal_uv"] != made(**without)).any(axis=(1, 2))
        assert apart.all(), "the network does not look at them"
    assert same(got, by_recipe(tmp_path / "b", model, plan, "unipc", shard_size=7))
    before, corpus = contents(tmp_path / "a"), manifest.read(tmp_path / "a")
    (tmp_path / "a" / notes.note_name(3)).unlink()
    run.resume(tmp_path / "a", run.local(recipe.generator(corpus.parts[0], model)))
    assert contents(tmp_path / "a") == before


def test_a_model_that_takes_no_patient(model, tmp_path):
    """Fails when a column of a table is left out without a word."""
    for name, value in (("age", 50), ("sex", "male"), ("heart_rate", 72)):
        plan = with_patients(by_counts("AFIB=3"), **{"age": None, "sex": None, name: value})
        with pytest.raises(ValueError, match=f"{name} is given, but this model does not take it"):
            by_recipe(tmp_path / "a", model, plan, "ddim")
    assert not (tmp_path / "a").exists()


def test_batches_that_fit_the_shards():
    """Fails when two workers would generate one batch although another size avoids it."""
    whole = recipe.whole_batches
    assert whole(32, 4096, 10**6) == 32 and whole(10_000, 4096, 10**6) == 4096
    assert whole(1700, 4096, 10**6) == 1024 and whole(1000, 4099, 10**6) == 1000
    assert whole(32, 4096, 4) == 4 and whole(32, 10, 100) == 10


@pytest.fixture(scope="module")
def model():
    from sssd.config.schema import Config
    from tests.test_wrapper import tiny

    model = tiny()
    content = model.config.model_dump()
    content["ddim_config"]["fits"] = [
        {
            "steps": [19, 11, 6, 1],
            "eta": [0.5, 0.2, 0, 0],
            "slope": [0, 0.5, 0.3, 0.1],
            "before": [0, 0, 0.2, -0.1],
        }
    ]
    model.config = Config.model_validate(content)
    return model


# --- copies -------------------------------------------------------------------------------------------------


def with_people(tmp_path):
    file = tmp_path / "wanted.csv"
    file.write_text("labels,age,sex,heart_rate\n" + "AFIB,71,0,\nNORM+SR,,1,140\nLVH,5,,60\n" * 9)
    return from_csv(file)


@pytest.mark.parametrize("format", FORMATS)
def test_formats_hold_the_same(tmp_path, format):
    """Fails when a writer or reader loses, reorders or rounds anything."""
    plan = with_people(tmp_path)
    make(tmp_path / "a", plan=plan, format=format)
    conversion.convert(tmp_path / "a", tmp_path / "b", "npz", shard_size=7)
    conversion.convert(tmp_path / "b", tmp_path / "c", format, shard_size=10)
    assert same(everything(tmp_path / "a"), everything(tmp_path / "b"))
    assert contents(tmp_path / "a") == contents(tmp_path / "c")
    assert verify(tmp_path / "b") == []
    (tmp_path / "b" / notes.note_name(2)).unlink()
    assert run.resume(tmp_path / "b", LOCAL) == [2], "what was converted can be made again, too"
    assert same(everything(tmp_path / "a"), everything(tmp_path / "b"))


def test_another_implementation_reads_hdf5(tmp_path):
    """Fails when a shard has to be read by the HDF5 library, and in the version that wrote it."""
    pyfive = pytest.importorskip("pyfive")
    plan = with_patients(with_people(tmp_path), None, "male")  # pyfive 1.3 cannot read empty text
    corpus = make(tmp_path / "a", plan=plan, format="hdf5")
    columns = everything(tmp_path / "a")
    for shard in range(corpus.shards):
        with pyfive.File(tmp_path / "a" / corpus.file(shard)) as file:
            assert set(file) == set(columns)
            for name, column in columns.items():
                found, span = file[name][:], corpus.span(shard)
                if column.dtype.kind == "U":
                    found = np.array([text if isinstance(text, str) else text.decode() for text in found])
                assert np.array_equal(
                    found, column[span.start : span.stop], equal_nan=column.dtype.kind == "f"
                )
            assert json.loads(file.attrs["label_names"]) == list(CODES)
            assert json.loads(file.attrs["provenance"])["seed"] == 7


def test_a_stopped_conversion_goes_on(tmp_path, monkeypatch):
    make(tmp_path / "a")
    conversion.convert(tmp_path / "a", tmp_path / "whole", "wfdb")
    finish, finished = conversion.Shard.finish, []

    def failing(shard):
        if len(finished) == 2:
            raise KeyboardInterrupt
        finished.append(shard.number)
        return finish(shard)

    monkeypatch.setattr(conversion.Shard, "finish", failing)
    with pytest.raises(KeyboardInterrupt):
        conversion.convert(tmp_path / "a", tmp_path / "b", "wfdb")
    monkeypatch.undo()
    conversion.convert(tmp_path / "a", tmp_path / "b", "wfdb")
    assert contents(tmp_path / "b") == contents(tmp_path / "whole")


def test_merging_numbers_anew_and_keeps_both_recipes(tmp_path):
    make(tmp_path / "a", records=25)
    make(tmp_path / "b", plan=with_people(tmp_path), seed=8, format="wfdb")
    conversion.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c", format="wfdb")
    a, b, c = (everything(tmp_path / name) for name in "abc")
    assert c["index"].tolist() == list(range(52))
    for name in ("signal_uv", "labels", "requested"):
        assert np.array_equal(c[name], np.concatenate([a[name], b[name]]))
    assert c["sex"].tolist() == [""] * 25 + b["sex"].tolist() and np.isnan(c["age"][:25]).all()
    assert [part.seed for part in manifest.read(tmp_path / "c").parts] == [7, 8]
    header = (tmp_path / "c" / "data" / "00004" / "000000045.hea").read_text()
    assert "provenance.seed: 8" in header and "provenance.index: 20\n" in header
    with pytest.raises(ValueError, match="merged from 2 corpora; .* the same `sssd-ecg corpus merge` again"):
        run.resume(tmp_path / "c", LOCAL)


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        ("flip", "data/00001.npz"),
        ("unlink", "shards/00001.json"),
        ("truncate", FILE),
        ("flip", f"{SPARE}/{FILE}"),
    ],
)
def test_what_was_merged_is_repaired_by_merging_again(tmp_path, damage, file):
    """Fails when an altered file is accepted because its size is right."""
    make(tmp_path / "a", records=25)
    make(tmp_path / "b", seed=8)
    sources = [tmp_path / "a", tmp_path / "b"]
    corpus = conversion.merge(sources, tmp_path / "c")
    before = contents(tmp_path / "c")
    {"flip": flip, "truncate": truncate, "unlink": Path.unlink}[damage](tmp_path / "c" / file)
    problems = verify(tmp_path / "c")
    assert repair(tmp_path / "c", corpus, problems) == "the same `sssd-ecg corpus merge` again"
    conversion.merge(sources, tmp_path / "c")
    assert verify(tmp_path / "c") == [] and contents(tmp_path / "c") == before


def test_a_copy_that_failed_is_completed_by_its_command(tmp_path, monkeypatch):
    """Fails when the message says `resume` after a conversion or a merge ran out of space."""
    make(tmp_path / "a")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(conversion.Shard, "append", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(
        OSError, match="no space left .* finished shards are safe; then give the same command again"
    ):
        conversion.convert(tmp_path / "a", tmp_path / "b", "wfdb")
    monkeypatch.undo()
    conversion.convert(tmp_path / "a", tmp_path / "b", "wfdb")
    assert verify(tmp_path / "b") == []


def test_what_cannot_be_merged(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b", format="wfdb", shard_size=3)
    with pytest.raises(ValueError, match="hold the same records"):
        conversion.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    make(tmp_path / "d", seed=9, length=60, generate=lambda columns: stub(columns, 60))
    with pytest.raises(ValueError, match="length of .* is not that of"):
        conversion.merge([tmp_path / "a", tmp_path / "d"], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_damaged_source_is_not_copied(tmp_path):
    make(tmp_path / "a")
    flip(tmp_path / "a" / "data" / "00001.npz")
    with pytest.raises(ValueError, match="shard 1 is missing or altered"):
        conversion.convert(tmp_path / "a", tmp_path / "b", "wfdb")
    assert run.resume(tmp_path / "a", LOCAL, check=True) == [1]
    conversion.convert(tmp_path / "a", tmp_path / "b", "wfdb")
    assert verify(tmp_path / "b") == []


# --- faults -------------------------------------------------------------------------------------------------


def flip(path, at=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("damage", "file", "said"),
    [
        (flip, "data/00001.npz", "data/00001.npz: altered"),
        (truncate, "data/00001.npz", "data/00001.npz: truncated"),
        (Path.unlink, "data/00001.npz", "data/00001.npz: missing"),
        (Path.unlink, "shards/00001.json", "data/00001.npz: without its note"),
        (truncate, "shards/00001.json", "shards/00001.json is cut off"),
        (truncate, FILE, f"{FILE}: missing or altered"),
        (flip, f"{SPARE}/{FILE}", f"{SPARE}/{FILE}: missing or altered"),
        (Path.unlink, FILE, f"{FILE}: missing or altered"),
        (truncate, REQUESTS, f"{REQUESTS}: missing or altered"),
    ],
)
def test_damage_is_found_and_repaired(tmp_path, damage, file, said):
    make(tmp_path / "a")
    before = contents(tmp_path / "a")
    assert verify(tmp_path / "a") == []
    damage(tmp_path / "a" / file)
    (problem,) = verify(tmp_path / "a")
    assert said in str(problem)
    run.resume(tmp_path / "a", LOCAL, check=True)
    assert verify(tmp_path / "a") == [] and contents(tmp_path / "a") == before


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_damage_to_a_folder_of_records(tmp_path, damage):
    make(tmp_path / "a", format="wfdb")
    before = contents(tmp_path / "a")
    damage(tmp_path / "a" / "data" / "00001" / "000000012.dat")
    assert [problem.shard for problem in verify(tmp_path / "a")] == [1]
    assert run.resume(tmp_path / "a", LOCAL, check=True) == [1]
    assert contents(tmp_path / "a") == before


@pytest.mark.parametrize("format", FORMATS)
def test_a_shard_that_was_written_wrongly(tmp_path, format):
    """Fails when `verify` trusts the SHA-256 of a shard, which was computed from what was written, right or wrong."""
    corpus = make(tmp_path / "a", format=format)
    before = contents(tmp_path / "a")
    shard = tmp_path / "a" / corpus.file(1)
    truncate(shard / "000000019.dat" if shard.is_dir() else shard)
    note = notes.read_note(tmp_path / "a", corpus, 1)
    size, sha256 = file_hash(shard)
    notes.write_note(tmp_path / "a", dataclasses.replace(note, bytes=size, sha256=sha256))
    (problem,) = verify(tmp_path / "a")
    assert problem.shard == 1 and "is damaged" in problem.what
    assert run.resume(tmp_path / "a", LOCAL, check=True) == [1]
    assert verify(tmp_path / "a") == [] and contents(tmp_path / "a") == before


def test_a_manifest_that_is_lost_for_good(tmp_path):
    make(tmp_path / "a")
    for place in ("", SPARE):
        truncate(tmp_path / "a" / place / FILE)
    with pytest.raises(ValueError, match=r"cannot be read .*cut off.*backup"):
        run.resume(tmp_path / "a", LOCAL)


def test_requests_that_are_lost_for_good(tmp_path):
    make(tmp_path / "a")
    truncate(tmp_path / "a" / REQUESTS)
    (tmp_path / "a" / SPARE / REQUESTS).unlink()
    with pytest.raises(ValueError, match="are both missing or altered: put one back from a backup"):
        run.resume(tmp_path / "a", LOCAL)


def test_a_file_of_somebody_else(tmp_path):
    make(tmp_path / "a")
    (tmp_path / "a" / "data" / "copy.npz").write_bytes(b"x")
    (problem,) = verify(tmp_path / "a")
    assert "data/copy.npz: not of this corpus" in str(problem)
    assert (
        repair(tmp_path / "a", manifest.read(tmp_path / "a"), [problem])
        == "remove what is not of this corpus"
    )
    with pytest.raises(FileExistsError, match="holds a corpus already"):
        make(tmp_path / "a")
    with pytest.raises(FileExistsError, match="not empty"):
        make(tmp_path)


def test_a_note_of_another_corpus(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b", seed=8)
    for name in ("data/00001.npz", "shards/00001.json"):
        (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    (problem,) = verify(tmp_path / "a")
    assert "belongs to another corpus" in str(problem)
    assert run.resume(tmp_path / "a", LOCAL) == [1]


@pytest.mark.parametrize(
    ("failure", "said"),
    [(errno.ENOSPC, "no space left"), (errno.EROFS, "make it writable")],
)
@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_refuses(tmp_path, monkeypatch, failure, said, format):
    """Fails when the error of the writing thread is lost, or a part of a shard stays."""
    make(tmp_path / "whole", format=format)
    from sssd.corpora.shard import Shard

    append = Shard._write

    def failing(shard, block):
        append(shard, block)
        if shard.number == 2:
            raise OSError(failure, os.strerror(failure))

    monkeypatch.setattr(Shard, "_write", failing)
    with pytest.raises(OSError, match=f"{said}.*corpus resume"):
        make(tmp_path / "a", format=format)
    monkeypatch.undo()
    assert not list((tmp_path / "a" / "data").glob(".*"))
    finished = [notes.finished(tmp_path / "a", manifest.read(tmp_path / "a"), n) for n in range(4)]
    assert finished[:3] == [True, True, False]  # the fourth may be written while the third one fails
    assert run.resume(tmp_path / "a", LOCAL) == [n for n in range(4) if not finished[n]]
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_folder_that_goes_away(tmp_path):
    make(tmp_path / "whole")

    def moving(columns):
        if columns["index"][0] == 16:
            (tmp_path / "a").rename(tmp_path / "elsewhere")
        return stub(columns)

    with pytest.raises(OSError, match="removed or moved during the run: put it back; then .*corpus resume"):
        make(tmp_path / "a", generate=moving)
    assert not (tmp_path / "a").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "a")
    run.resume(tmp_path / "a", LOCAL)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_nan_names_its_record(tmp_path):
    def broken(columns):
        at = (columns["index"] == 13)[:, None, None]
        return np.where(at, np.nan, stub(columns)).astype(np.float32)

    with pytest.raises(ValueError, match="record 13 holds NaN"):
        make(tmp_path / "a", generate=broken)


def test_values_beyond_16_bits_are_cut_off_and_counted(tmp_path):
    make(tmp_path / "a", generate=lambda columns: 40 * np.sign(stub(columns)))
    assert abs(everything(tmp_path / "a")["signal_uv"].astype(int)).max() == 32767
    assert notes.read_note(tmp_path / "a", manifest.read(tmp_path / "a"), 0).clipped > 0
    assert "were cut off" in (tmp_path / "a" / "README.md").read_text()


HOLD = "import sys, time; from sssd.corpora.lock import HOLDER, locked; from pathlib import Path\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_two_runs_on_one_folder(tmp_path):
    """Fails when the second run goes ahead, or when a run that was killed locks the folder for good."""
    make(tmp_path / "a")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a")], stdout=subprocess.PIPE, env=environment
    )
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError, match=f"another run writes to .*process {other.pid}"):
            run.resume(tmp_path / "a", LOCAL)
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    assert run.resume(tmp_path / "a", LOCAL) == []
    with locked(tmp_path / "a"), pytest.raises(BlockingIOError):
        run.resume(tmp_path / "a", LOCAL)
    assert not (tmp_path / "a" / HOLDER).exists(), "the folder still names a process"


def test_memory_does_not_grow_with_the_records(tmp_path, monkeypatch):
    """Fails when memory is kept for each record or shard: peaks of 1,600 and 6,400 records in 8 and 32 shards."""
    monkeypatch.setattr(run, "FINISHING", 0)  # how many shards overlap in memory is a matter of time
    peaks = []
    for records in (1600, 6400):
        tracemalloc.start()
        make(tmp_path / str(records), records=records, batch_size=32, shard_size=200, length=200,
             generate=lambda columns: stub(columns, 200), plan=like_ptbxl(records))  # fmt: skip
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 200_000, peaks


# --- reading ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_records_by_number(tmp_path, format):
    import sssd.corpus

    make(tmp_path / "a", format=format)
    expected = everything(tmp_path / "a")
    records = sssd.corpus.open(tmp_path / "a")
    assert len(records) == 35 and records.label_names == CODES and records.leads[1] == "II"
    stream = sssd.corpus.open(tmp_path / "a", streaming=True)
    assert (stream.label_names, stream.leads, stream.fs_hz) == (CODES, records.leads, records.fs_hz)
    for i in (0, 34, 10, 9, -1):
        record = records[i]
        assert record["index"] == range(35)[i]
        assert torch.equal(record["signal"], torch.from_numpy(expected["signal_uv"][i] / np.float32(1000)))
        assert torch.equal(record["labels"], torch.from_numpy(expected["labels"][i]).float())
    assert record["signal"].shape == (12, LENGTH) and record["signal"].dtype == torch.float32
    with pytest.raises(IndexError):
        records[35]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [None, 5])
def test_a_stream_gives_each_record_once(tmp_path, workers, shuffle):
    """Fails when workers or ranks read the same, blocks of a short last shard are missed, or the length is wrong."""
    import sssd.corpus

    records = 1000 if workers else 1300
    make(tmp_path / "a", records=records, batch_size=50, shard_size=300)
    seen = Counter()
    for rank in range(2):
        stream = sssd.corpus.open(tmp_path / "a", streaming=True, shuffle=shuffle, rank=rank, world_size=2)
        order = [i for batch in torch.utils.data.DataLoader(stream, batch_size=64, num_workers=workers)
                 for i in batch["index"].tolist()]  # fmt: skip
        assert (order == sorted(order)) == (shuffle is None) or workers
        assert len(stream) == len(order) and sorted(order) == sorted(record["index"] for record in stream)
        seen.update(order)
    assert seen == Counter(range(records))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"shuffle": False}, "shuffle is False: expected a seed"),
        ({"shuffle": True}, "shuffle is True: expected a seed"),
        ({"shuffle": -1}, "shuffle is -1: expected a seed"),
        ({"shuffle": "1"}, "shuffle is '1': expected a seed"),
        ({"rank": "0", "world_size": 2}, "rank is '0': expected a whole number of at least 0"),
        ({"rank": 0, "world_size": 1.5}, "world_size is 1.5: expected a whole number of at least 1"),
        ({"rank": 2, "world_size": 2}, "rank is 2 of 2"),
    ],
)
def test_how_a_stream_is_shared_and_shuffled_is_checked(tmp_path, how, message):
    """Fails when False is taken for the seed 0, and shuffles."""
    import sssd.corpus

    make(tmp_path / "a")
    with pytest.raises(ValueError, match=message):
        sssd.corpus.open(tmp_path / "a", streaming=True, **how)


def test_epochs_differ(tmp_path):
    import sssd.corpus

    make(tmp_path / "a", records=300, batch_size=50, shard_size=300)
    stream = sssd.corpus.open(tmp_path / "a", streaming=True, shuffle=1)
    first = [record["index"] for record in stream]
    assert [record["index"] for record in stream] == first
    stream.set_epoch(1)
    assert [record["index"] for record in stream] != first


def test_workers_read_by_number(tmp_path):
    import sssd.corpus

    pytest.importorskip("pyarrow")
    make(tmp_path / "a", format="parquet")
    records = sssd.corpus.open(tmp_path / "a")
    records[3]  # opens a shard before the workers are forked
    loader = torch.utils.data.DataLoader(records, batch_size=4, num_workers=2, shuffle=True)
    assert sorted(i for batch in loader for i in batch["index"].tolist()) == list(range(35))


def test_an_incomplete_corpus_is_not_opened(tmp_path):
    import sssd.corpus

    make(tmp_path / "a")
    (tmp_path / "a" / notes.note_name(2)).unlink()
    with pytest.raises(ValueError, match="not complete: shard 2 of 4 .*corpus resume"):
        sssd.corpus.open(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="holds no corpus"):
        sssd.corpus.open(tmp_path)


def test_parquet_without_this_package(tmp_path):
    """What the data card promises: types, bytes and the metadata of the schema."""
    pq = pytest.importorskip("pyarrow.parquet")
    make(tmp_path / "a", format="parquet", plan=with_people(tmp_path))
    expected = everything(tmp_path / "a")
    table = pq.read_table(tmp_path / "a" / "data" / "00000.parquet")
    signal = np.frombuffer(table["signal_uv"][3].as_py(), "<i2").reshape(12, LENGTH)
    assert np.array_equal(signal, expected["signal_uv"][3])
    assert table["statements"][1].as_py() == "+".join(np.array(CODES)[expected["labels"][1] > 0])
    told = {
        key.decode(): value
        for key, value in pq.read_metadata(tmp_path / "a/data/00001.parquet").metadata.items()
    }
    assert json.loads(told["provenance"])["seed"] == 7 and json.loads(told["first"]) == 10
    lead = np.array(json.loads(told["lead_uv"]))
    second = expected["signal_uv"][10:20].swapaxes(0, 1).reshape(12, -1)
    assert np.allclose(
        lead, np.stack([f(second, axis=1) for f in (np.min, np.max, np.mean, np.std)], 1), atol=1e-3
    )


def test_parquet_by_datasets(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    make(tmp_path / "a", format="parquet")
    files = str(tmp_path / "a" / "data" / "*.parquet")
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded["index"][:] == list(range(35))
    expected = everything(tmp_path / "a")
    assert np.array_equal(
        np.frombuffer(loaded[20]["signal_uv"], "<i2").reshape(12, LENGTH), expected["signal_uv"][20]
    )
    assert loaded[20]["labels"] == expected["labels"][20].tolist()

    page = (Path(__file__).parents[1] / "docs" / "corpora.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python no-run\n(import datasets.*?)^```", page, re.MULTILINE | re.DOTALL)
    names = {}
    monkeypatch.chdir(tmp_path)
    exec(code.replace("corpus/data", "a/data"), names)
    rows = names["rows"].with_transform(names["decoded"])
    for batch in (rows[:35], next(iter(torch.utils.data.DataLoader(rows, batch_size=35)))):
        mv = torch.from_numpy(expected["signal_uv"] / np.float32(1000))
        assert torch.equal(batch["signal"], mv) and batch["signal"].dtype == torch.float32
        assert torch.equal(batch["labels"], torch.from_numpy(expected["labels"]))


def test_wfdb_by_the_wfdb_package(tmp_path):
    wfdb = pytest.importorskip("wfdb")
    make(tmp_path / "a", format="wfdb")
    names = (tmp_path / "a" / "RECORDS").read_text().split()
    assert len(names) == 35
    record = wfdb.rdrecord(str(tmp_path / "a" / names[20]), physical=False)
    assert np.array_equal(record.d_signal.T, everything(tmp_path / "a")["signal_uv"][20])


def test_the_digest_covers_everything():
    """Fails when a field could change without changing the digest."""
    from tests.corpora import with_seed

    corpus = corpus_of(by_counts("AFIB=3"))
    assert corpus.digest != with_seed(corpus, 8).digest


def test_what_could_not_be_read_back_is_not_begun(tmp_path):
    """Fails when a corpus is begun that no later command could open."""
    plan = by_counts("AFIB=3")
    corpus = corpus_of(plan)
    odd = dataclasses.replace(corpus, parts=(dataclasses.replace(corpus.parts[0], source="a\nb"),))
    other = by_counts("LVH=3")
    for wrong, requests in ((odd, plan), (corpus, other)):
        with pytest.raises(ValueError, match="printed|read back"):
            manifest.begin(tmp_path, wrong, requests.to_bytes())
    assert not list(tmp_path.iterdir())


def test_packages_that_are_too_old(monkeypatch):
    """Fails when an old package ends in a traceback later, or the versions are not those that pip is told."""
    from sssd.corpora import formats

    needed = Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
    (io,) = re.findall(r"^io = (\[.*?\])", needed, re.MULTILINE)
    assert json.loads(io) == [f"{package}>={lowest}" for package, lowest in formats.NEEDS.values()]
    for name, found, right in (("parquet", "16.1.0", False), ("parquet", "17.0.0", True), ("hdf5", "3.14.0", False),
                               ("hdf5", "3.15.0.dev1", True), ("hdf5", "4.0", True)):  # fmt: skip
        monkeypatch.setattr(formats, "version", lambda _, found=found: found)
        if right:
            assert formats.check_format(name) == name
        else:
            with pytest.raises(
                ValueError, match=f"or newer, and {re.escape(found)} is installed: pip install --upgr"
            ):
                formats.check_format(name)
    monkeypatch.setattr(formats, "version", lambda _: importlib.metadata.version("not-there"))
    with pytest.raises(
        ModuleNotFoundError, match="hdf5 needs the module not-there, .*pip install 'sssd-ecg.io.'"
    ):
        formats.check_format("hdf5")
