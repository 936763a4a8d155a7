"""What the service adds to records on request: length, noise and annotations. The library makes the same."""

import io
import json
import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import wfdb

from sssd import SSSDECG
from sssd.io import npz
from sssd.server.answers import Record
from sssd.server.asked import GenerateRequest
from sssd.server.encode import record_json, to_json
from sssd.server.generator import Generator
from sssd.server.work import Batch
from tests.service import eventually, service
from tests.test_transformer import tiny as tiny_transformer
from tests.test_wrapper import tiny

NOISE = "muscle:20uV, mains:50Hz"
ASKED = {"statements": ["NORM"], "steps": 4, "seed": 7, "exact": True}
HOW = {"steps": 4, "seed": 7, "exact": True, "precision": "float32"}


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def up(model):
    with service(model, records=40) as running:
        yield running


def of(answer, name="signal"):
    return np.array([one[name] for one in answer["records"]])


def test_noise_is_that_of_the_library(up, model):
    """Seed and index decide it, also where a set goes on, and the record without it is that of the same request."""
    answer = up.get("/v1/ecgs", {**ASKED, "count": 3, "noise": NOISE})
    made = model.generate_ecgs("NORM", num_samples=3, noise=NOISE, **HOW)
    np.testing.assert_allclose(of(answer), [one.signal for one in made], atol=1.1e-3)
    np.testing.assert_allclose(of(answer, "clean"), [one.clean.signal for one in made], atol=1.1e-3)
    without = up.get("/v1/ecgs", {**ASKED, "count": 3})
    np.testing.assert_array_equal(of(answer, "clean"), of(without))
    assert [one["noise"] for one in answer["records"]] == [one.provenance["noise"] for one in made]
    assert "noise" not in without["records"][0] and "clean" not in without["records"][0]
    later = up.get("/v1/ecgs", {**ASKED, "index": 2, "noise": NOISE})
    np.testing.assert_allclose(of(later)[0], of(answer)[2], atol=1.1e-3)


def test_annotations_are_those_of_the_library():
    """They belong to the record without noise."""
    builtin = SSSDECG.from_pretrained()
    generator = Generator(builtin, "builtin")
    asked = GenerateRequest(statements=["NORM"], steps=4, seed=7, exact=True, annotate=True, noise=NOISE)
    work = generator.work(asked)
    told = record_json(generator.records(work, generator.run(Batch.of([work]), lambda *_: None))[0], False)
    made = builtin.generate_ecgs("NORM", annotate=True, **HOW)[0]
    assert len(told["annotations"]) > 40
    assert [tuple(one.values()) for one in told["annotations"]] == [
        (one.sample, one.symbol, one.wave, one.note) for one in made.annotations
    ]
    assert told["left_out"] == made.provenance["annotations"]["left_out"]
    assert Record.model_validate_json(to_json(told)).annotations[0].symbol == made.annotations[0].symbol


@pytest.mark.parametrize("seconds", [2.5, 4.0])
def test_strips_are_those_of_the_library(up, model, seconds):
    answer = up.get("/v1/ecgs", {**ASKED, "count": 2, "duration": seconds})
    made = model.generate_ecgs("NORM", num_samples=2, duration=seconds, **HOW)
    assert of(answer).shape == (2, 12, round(100 * seconds))
    np.testing.assert_allclose(of(answer), [one.signal for one in made], atol=1.1e-3)
    assert answer["provenance"]["seconds"] == [seconds]


def test_statements_change_on_the_way(up, model):
    asked = {**ASKED, "statements": ["NORM+SR@0-2.5", "AFIB@2.5-5"]}
    answer = up.get("/v1/ecgs", asked)
    made = model.generate_ecgs(["NORM+SR", "AFIB"], duration=(2.5, 2.5), **HOW)[0]
    np.testing.assert_allclose(of(answer)[0], made.signal, atol=1.1e-3)
    assert answer["records"][0]["parts"] == ["NORM+SR", "AFIB"]
    assert answer["records"][0]["statements"] == list(made.statements)


def test_strips_share_batches_with_strips_only(up):
    """Fails where a record of another length, or another strip's statements, gets into the batch."""
    bodies = [
        {**ASKED, "seed": seed, **more}
        for seed in (1, 2)
        for more in ({}, {"duration": 3}, {"statements": ["AFIB"], "duration": 3}, {"duration": 4})
    ]
    alone = [of(up.get("/v1/ecgs", body)) for body in bodies]
    with ThreadPoolExecutor(len(bodies)) as pool:
        together = list(pool.map(lambda body: of(up.get("/v1/ecgs", body)), bodies))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1.1e-3)


@pytest.mark.parametrize("form", ["application/x-npz", "application/zip"])
def test_archives_hold_everything(up, tmp_path, form):
    asked = {**ASKED, "count": 2, "noise": NOISE, "annotate": True, "duration": 3}
    told = up.get("/v1/ecgs", asked)
    status, _, content = up.ask("/v1/ecgs", asked, accept=form)
    assert status == 200
    if form.endswith("npz"):
        (tmp_path / "x.npz").write_bytes(content)
        first = npz.read(tmp_path / "x.npz")[1]
        signal, clean, marks = first.signal, first.clean.signal, [one.sample for one in first.annotations]
    else:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(tmp_path)
        names = (tmp_path / "RECORDS").read_text().split()
        first, second = (f"NORM_steps4_seed_7_{k}" for k in range(2))
        assert names == [first, f"{first}_clean", second, f"{second}_clean"]
        signal, clean = (wfdb.rdrecord(str(tmp_path / name)).p_signal.T for name in names[2:])
        marked = (tmp_path / f"{second}.atr").exists()
        marks = wfdb.rdann(str(tmp_path / second), "atr").sample.tolist() if marked else []
    np.testing.assert_allclose(signal, of(told)[1], atol=1.1e-3)
    np.testing.assert_allclose(clean, of(told, "clean")[1], atol=1.1e-3)
    assert marks == [one["sample"] for one in told["records"][1]["annotations"]]


@pytest.mark.parametrize(
    ("more", "accept", "status", "message"),
    [
        ({"noise": "snow"}, "application/json", 422, "noise is 'snow'"),
        ({"noise": "mains:60Hz"}, "application/json", 422, "frequencies up to 50 Hz"),
        ({"noise": NOISE}, "text/csv", 406, "noise is given, and text/csv has no place"),
        ({"noise": NOISE, "annotate": True}, "text/csv", 406, "noise and annotate are given"),
        ({"duration": 2}, "application/json", 422, "duration is 2"),
        ({"duration": 601}, "application/json", 422, "duration is 601"),
        ({"duration": 121}, "image/png", 406, "no pictures"),
        ({"duration": 60}, "application/json", 422, "a strip of 60 s counts as its"),
        ({"duration": 3, "count": 9}, "application/json", 422, "a request holds at most 40"),
        ({"statements": ["NORM@0-3", "AFIB@4-8"]}, "application/json", 422, "parts that follow each other"),
        ({"statements": ["NORM@0-3"], "duration": 3}, "application/json", 422, "not both"),
        ({"statements": ["NORM@0-3", "AFIB@3-6"], "measure": True}, "application/json", 422, "stay the same"),
        ({"statements": ["NORM@0-3", "AFIB@3-900"]}, "application/json", 422, "at most 600 s"),
        ({"statements": ["NORM@0-3", "NOBODY@3-6"]}, "application/json", 422, "unknown statement"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(up, more, accept, status, message):
    found, said = up.refusal("/v1/ecgs", {**ASKED, **more}, accept=accept)
    assert found == status and message in said and "\n" not in said, said


def test_pictures_and_streams_and_addresses(up):
    body = {**ASKED, "noise": NOISE, "annotate": True, "duration": 3}
    status, _, content = up.ask("/v1/ecgs", body, accept="image/png")
    assert status == 200 and content.startswith(b"\x89PNG")
    told = up.get("/v1/ecgs", body)["records"][0]
    events = up.ask("/v1/ecgs/stream", body)[2].decode().split("\n\n")
    data = {
        event.split("\n")[0]: json.loads(event.split("\ndata: ")[1]) for event in events if "data: " in event
    }
    assert np.shape(data["event: step"]["signal"]) == (12, 300) and data["event: step"]["steps"] == 4
    shown = {name: data["event: record"][name] for name in ("signal", "clean", "noise", "annotations")}
    assert shown == {name: told[name] for name in shown}
    query = "seed=7&steps=4&exact=1&duration=3&annotate=1&noise=muscle%3A20uV,%20mains%3A50Hz"
    assert up.get(f"/v1/ecgs/NORM.json?{query}")["records"][0]["signal"] == told["signal"]
    assert up.refusal(f"/v1/ecgs/NORM.csv?{query}")[0] == 406


def test_jobs_make_the_same_and_keep_to_their_room(model):
    """A strip counts as its windows in every limit, and a job says how far it is by the work that is done."""
    body = {**ASKED, "count": 4, "noise": NOISE, "annotate": True, "duration": 3}
    with service(model, records=40, job_records=40, stored_records=40, batch_records=8) as up:
        job = up.get("/v1/jobs", body)
        assert eventually(lambda: up.get(f"/v1/jobs/{job['id']}")["state"] == "done")
        assert up.get(f"/v1/jobs/{job['id']}")["progress"] == 1.0
        found, told = up.get(f"/v1/jobs/{job['id']}/result"), up.get("/v1/ecgs", body)
        for one, other in zip(found["records"], told["records"], strict=True):
            np.testing.assert_allclose(one["signal"], other["signal"], atol=1.1e-3)
            assert one["noise"]["added"] == other["noise"]["added"] and "annotations" in one
        assert up.refusal(f"/v1/jobs/{job['id']}/result", accept="image/png")[0] == 406
        status, said = up.refusal("/v1/jobs", {**body, "count": 8})
        assert status == 422 and "a job holds at most 40" in said
        status, said = up.refusal("/v1/jobs", body)  # the first one has the room
        assert status == 429
        one = up.get("/v1/jobs", {**ASKED, "count": 1})["id"]
        assert eventually(lambda: up.get(f"/v1/jobs/{one}")["state"] == "done")


def test_the_result_of_a_job_is_refused_where_it_has_no_place(model):
    with service(model) as up:
        job = up.get("/v1/jobs", {**ASKED, "noise": NOISE})["id"]
        assert eventually(lambda: up.get(f"/v1/jobs/{job}")["state"] == "done")
        status, said = up.refusal(f"/v1/jobs/{job}/result", accept="text/csv")
        assert status == 406 and "noise is given" in said


def test_work_is_counted_by_evaluations(model):
    """Fails where a strip, or an edit, counts as one evaluation a step: the queue would admit too much."""
    generator = Generator(model, "tiny")
    strip = generator.work(GenerateRequest(statements=["NORM"], steps=4, count=2, duration=3.0))
    windows = generator.windows((3.0,))
    assert windows > 4 and strip.room == 2 * windows and strip.cost == 2 * 4 * windows


def test_no_file_is_written(up):
    """Fails where annotations are written to the disk for a moment, as wfdb does it."""
    body = {**ASKED, "noise": NOISE, "annotate": True, "duration": 3}
    up.ask("/v1/ecgs", body, accept="application/zip")  # modules that are imported late
    opened, watching = [], [True]

    def hook(event, arguments):
        if watching[0] and event in ("open", "os.mkdir", "tempfile.mkstemp", "tempfile.mkdtemp"):
            opened.append((event, *map(str, arguments[:1])))

    sys.addaudithook(hook)
    try:
        up.ask("/v1/ecgs", body, accept="application/zip")
        assert not [name for event, name in opened if os.sep in name and not name.startswith(sys.prefix)]
    finally:
        watching[0] = False


def test_a_batch_on_a_cpu_has_records_for_each_thread_of_a_transformer(monkeypatch):
    """Broken by a batch of a transformer in which threads have nothing to do, or by large ones of an S4 network."""
    transformer, s4 = (
        Generator(SSSDECG(tiny_transformer(length=1000), device="cpu"), "a"),
        Generator(tiny(), "b"),
    )
    found = []
    for threads in (1, 2, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append((transformer.batch_records, s4.batch_records))
    assert found == [(8, 8), (16, 8), (32, 8)]
