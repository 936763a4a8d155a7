"""The service at 500 Hz: records, files, jobs and changed recordings are those of the library."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
import wfdb

from sssd.detail import trained
from sssd.io import npz
from sssd.record import Ecg
from sssd.server.asked import GenerateRequest
from sssd.server.generator import Generator
from tests.service import eventually, recording, service
from tests.test_wrapper import velocity

SECONDS, FINE = 4, 500
ASKED = {"statements": ["NORM"], "steps": 4, "seed": 7, "exact": True}
HOW = {"steps": 4, "seed": 7, "exact": True, "precision": "float32"}
HASH = trained(torch.device("cpu")).hash


@pytest.fixture(scope="module")
def model():
    return velocity(segment_length=100 * SECONDS)


@pytest.fixture(scope="module")
def up(model):
    with service(model, records=12, job_records=20) as running:
        yield running


def of(answer, name="signal"):
    return np.array([one[name] for one in answer["records"]])


def test_records_are_those_of_the_library(up, model):
    answer = up.get("/v1/ecgs", {**ASKED, "count": 2, "fs": FINE})
    made = model.generate_ecgs("NORM", num_samples=2, fs=FINE, **HOW)
    assert of(answer).shape == (2, 12, FINE * SECONDS)
    np.testing.assert_allclose(of(answer), [one.signal for one in made], atol=1.1e-3)
    assert {one["fs_hz"] for one in answer["records"]} == {FINE} and answer["provenance"]["detail"] == HASH
    later = up.get("/v1/ecgs", {**ASKED, "index": 1, "fs": FINE})
    np.testing.assert_allclose(of(later)[0], of(answer)[1], atol=1.1e-3)
    same = up.get("/v1/ecgs", {**ASKED, "fs": 100})
    assert same == up.get("/v1/ecgs", ASKED) and "detail" not in same["provenance"]


def test_noise_annotations_measurements_and_length(up, model):
    asked = {**ASKED, "fs": FINE, "noise": "mains:60Hz", "annotate": True, "duration": 5, "measure": True}
    answer = up.get("/v1/ecgs", asked)
    made = model.generate_ecgs("NORM", fs=FINE, noise="mains:60Hz", annotate=True, duration=5, **HOW)[0]
    np.testing.assert_allclose(of(answer)[0], made.signal, atol=1.1e-3)
    np.testing.assert_allclose(of(answer, "clean")[0], made.clean.signal, atol=1.1e-3)
    (one,) = answer["records"]
    assert [mark["sample"] for mark in one["annotations"]] == [mark.sample for mark in made.annotations]
    assert one["measured"].keys() >= {"heart_rate_bpm", "qrs_ms"}


@pytest.mark.parametrize("suffix", ["zip", "npz", "csv", "edf", "dcm", "png", "json"])
def test_files_have_the_rate(up, model, suffix, tmp_path):
    status, headers, content = up.ask(f"/v1/ecgs/NORM.{suffix}?seed=7&steps=4&exact=true&fs=500")
    assert status == 200, content
    coarse = up.ask(f"/v1/ecgs/NORM.{suffix}?seed=7&steps=4&exact=true")
    assert coarse[1]["ETag"] != headers["ETag"] and coarse[2] != content
    made = model.generate_ecgs("NORM", fs=FINE, **HOW)[0]
    if suffix == "zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(tmp_path)
        found = wfdb.rdrecord(str(tmp_path / "NORM_steps4_seed_7_0"))
        assert found.fs == FINE
        np.testing.assert_allclose(found.p_signal.T, made.signal, atol=1.1e-3)
    elif suffix == "npz":
        (tmp_path / "a.npz").write_bytes(content)
        (found,) = npz.read(tmp_path / "a.npz")
        assert found.fs_hz == FINE and found.signal.shape == (12, FINE * SECONDS)
    elif suffix == "csv":
        assert content.count(b"\n") >= FINE * SECONDS
    elif suffix == "edf":
        edfio = pytest.importorskip("edfio")
        assert edfio.read_edf(io.BytesIO(content)).signals[0].sampling_frequency == FINE
    elif suffix == "dcm":
        pydicom = pytest.importorskip("pydicom")
        waveform = pydicom.dcmread(io.BytesIO(content)).WaveformSequence[0]
        assert waveform.SamplingFrequency == FINE and waveform.NumberOfWaveformSamples == FINE * SECONDS
        assert b"others are interpolated" in coarse[2] and b"others are interpolated" not in content


def test_dicom_holds_fewer_seconds_of_more_samples(up):
    status, told = up.refusal("/v1/ecgs/NORM.dcm?seed=7&steps=4&duration=40&fs=500")
    assert status == 406 and "16384" in told


def test_a_stream_ends_with_the_record(up, model):
    """The steps on the way have the rate of the network."""
    status, _, content = up.ask("/v1/ecgs/stream", {**ASKED, "fs": FINE}, accept="text/event-stream")
    assert status == 200
    events = [block.split("\ndata: ") for block in content.decode().split("\n\n") if "\ndata: " in block]
    kinds = [kind.removeprefix("event: ") for kind, _ in events]
    assert kinds == ["step"] * 4 + ["record"]
    step, record = json.loads(events[0][1]), json.loads(events[-1][1])
    assert len(step["signal"][0]) == 100 * SECONDS and len(record["signal"][0]) == FINE * SECONDS
    made = model.generate_ecgs("NORM", fs=FINE, **HOW)[0]
    np.testing.assert_allclose(record["signal"], made.signal, atol=1.1e-3)


def test_jobs(up, model, tmp_path):
    job = up.get("/v1/jobs", {**ASKED, "count": 3, "fs": FINE})
    assert eventually(lambda: up.get(f"/v1/jobs/{job['id']}")["state"] == "done")
    status, message = up.refusal(f"/v1/jobs/{job['id']}/result", accept="application/json")
    assert status == 406 and "12 records" in message  # three at 500 Hz are as large as fifteen
    (tmp_path / "a.npz").write_bytes(up.ask(f"/v1/jobs/{job['id']}/result", accept="application/x-npz")[2])
    found, made = npz.read(tmp_path / "a.npz"), model.generate_ecgs("NORM", num_samples=3, fs=FINE, **HOW)
    np.testing.assert_allclose([e.signal for e in found], [e.signal for e in made], atol=1.1e-3)


@pytest.mark.parametrize(
    ("path", "changed", "message"),
    [
        ("/v1/ecgs", {"fs": 250}, "fs is 250: this model makes records at 100 or 500 Hz"),
        ("/v1/ecgs", {"fs": -1}, None),
        ("/v1/ecgs", {"fs": 500, "count": 3}, "a record at 500 Hz counts as 5: a request holds at most 12"),
        (
            "/v1/ecgs",
            {"fs": 500, "duration": 12},
            "a strip of 12 s counts as its 4 windows and a record at 500 Hz counts as 5",
        ),
        ("/v1/jobs", {"fs": 500, "count": 5}, "a job holds at most 20"),
        ("/v1/jobs", {"fs": 250}, "100 or 500 Hz"),
    ],
)
def test_what_is_refused(up, path, changed, message):
    status, told = up.refusal(path, {**ASKED, **changed})
    assert status == 422
    assert message is None or message in told


def test_changed_recordings_are_those_of_the_library(up, model):
    sent = recording(SECONDS)
    ecg = Ecg(np.array(sent["signal"]), statements=tuple(sent["statements"]))
    how = {"seed": 7, "steps": 4, "precision": "float32", "fs": FINE}
    ways = (
        ("vary", {"count": 2}, model.vary(ecg, 2, **how)),
        ("edit", {"statements": ["AFIB"]}, model.edit(ecg, "AFIB", **how)),
        ("complete", {"known": ["I", "II"]}, model.complete(ecg, known=["I", "II"], **how)),
    )
    for task, more, made in ways:
        answer = up.get(f"/v1/{task}", {"recording": sent, "seed": 7, "steps": 4, "fs": FINE, **more})
        assert of(answer).shape == (len(made), 12, FINE * SECONDS) and answer["provenance"]["detail"] == HASH
        np.testing.assert_allclose(of(answer), [one.signal for one in made], atol=1.1e-3, err_msg=task)
    status, told = up.refusal("/v1/vary", {"recording": sent, "count": 3, "fs": FINE})
    assert status == 422 and "counts as 5" in told
    status, told = up.refusal("/v1/complete", {"recording": sent, "known": ["I"], "fs": 250})
    assert status == 422 and "100 or 500 Hz" in told


def test_detail_is_made_on_the_cpu(model, monkeypatch):
    """Fails when answers, which have threads of their own, compute on the GPU while its thread records steps."""
    generator = Generator(model, "tiny")
    work = generator.work(GenerateRequest(**ASKED, fs=FINE))
    monkeypatch.setattr(type(model), "device", torch.device("meta"))
    records = generator.records(work, np.zeros((1, 8, 100 * SECONDS), np.float32))
    assert records.detail.leads.device == torch.device("cpu")


def test_what_can_be_asked_for_is_told(up):
    (model,) = up.get("/v1/models")
    assert model["rates_hz"] == [100.0, 500.0] and model["samples"] == 100 * SECONDS
