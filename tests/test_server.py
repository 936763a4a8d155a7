"""The service over real sockets: what records depend on, formats, streams, jobs, settings and stopping."""

import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from sssd.cli import main
from sssd.converter import STEP_MV
from sssd.io import npz, wfdb
from sssd.io.comments import ASKED
from sssd.labels import CODES
from sssd.leads import CLINICAL
from sssd.model_wrapper import SSSDECG
from sssd.presets import OF_S4, PRESETS
from sssd.samplers import SAMPLERS
from sssd.sampling import Sampling
from sssd.server import encode, serve
from sssd.server.asked import GenerateRequest
from sssd.server.generator import Generator, load_generator
from sssd.server.security import digest
from sssd.server.serve import check_host
from sssd.server.settings import Settings, read_settings
from sssd.server.work import Batch, Plan
from tests.service import Service, eventually, service
from tests.test_onnx import random_model
from tests.test_transformer import tiny as small_transformer
from tests.test_wrapper import LENGTH, tiny

UV = 1e-3 + 1e-6  # mV


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def up(model):
    with service(model) as running:
        yield running


@pytest.fixture(scope="module")
def patients():
    """A service whose model takes age, sex and heart rate."""
    trainset = {"segment_length": LENGTH, "patient": True, "heart_rate": True}
    with service(tiny(network={"label_embed_classes": 77}, trainset_config=trainset)) as running:
        yield running


@pytest.fixture
def builtin():
    """(a service that takes its model, a transformer, for the built-in one, and this model)."""
    transformer = random_model(small_transformer(length=LENGTH))
    with service(transformer, "builtin") as running:
        yield running, transformer


def signals(answer):
    return np.array([record["signal"] for record in answer["records"]])


def together(up, asks):
    """The answers to requests that arrive at the same time."""
    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(lambda ask: up.get("/v1/ecgs", ask), asks))


# --- records ------------------------------------------------------------------------------------------------


def test_a_record_depends_on_its_request_alone(up, model):
    """Fails when a record takes its noise, label, steps or place from a neighbour in the batch."""
    asks = [
        {"statements": ["AFIB"], "seed": 2**64 - 1, "count": 5},
        {"statements": ["atrial fibrillation"], "seed": 1, "steps": 5},
        {"statements": ["CLBBB", "LVH"], "seed": 1, "steps": 5},
        {"statements": ["NORM"], "seed": 2, "steps": 5, "eta": 1.0},
        {"statements": ["NORM"], "seed": 3, "steps": 5, "eta": 1.0, "count": 3},
        {"statements": ["NORM"], "seed": 3, "sampler": "ddpm", "exact": True},
        {"statements": ["IMI"], "seed": 4, "sampler": "ddpm"},
        {"statements": ["IMI"], "seed": 5, "sampler": "unipc", "steps": 6},
        {"statements": ["IMI"], "seed": 5, "sampler": "dpmpp-3m-exact"},
    ]
    answers = together(up, asks + asks[::-1])
    for ask, one, other in zip(asks, answers[: len(asks)], answers[: len(asks) - 1 : -1], strict=True):
        alone = model.generate_ecgs(
            "+".join(ask["statements"]),
            num_samples=ask.get("count", 1),
            seed=ask["seed"],
            sampler=ask.get("sampler"),
            steps=ask.get("steps"),
            ddim_eta=ask.get("eta"),
            exact=ask.get("exact", False),
            precision="float32",
        )
        for answer in (one, other):
            np.testing.assert_allclose(signals(answer), [ecg.signal for ecg in alone], atol=1.5 * UV)
            assert [r["statements"] for r in answer["records"]] == [list(e.statements) for e in alone]


def test_neighbours_leave_no_trace():
    """Fails in bf16, where the order of a sum changes records of the built-in model by about 0.01 mV.

    A rounding error may move a few samples to the converter's next step.
    """
    generator = Generator(SSSDECG.from_pretrained(device="cpu"), "builtin")
    works = [
        generator.work(GenerateRequest(statements=[name], seed=5, sampler="ddim", steps=8))
        for name in ("STACH", "NORM", "LVH", "PVC")
    ]
    alone = generator.run(Batch.of(works[:1]), lambda *_: None)[0]
    for batch in (works, works[::-1]):
        together = generator.run(Batch.of(batch), lambda *_: None)[batch.index(works[0])]
        away = np.abs(together - alone)
        assert np.quantile(away, 0.99) < 5e-5 and away.max() < STEP_MV


def test_a_record_depends_on_its_own_patient(patients):
    """Fails when age, sex or heart rate do not reach the network, are a neighbour's, or are missing from the record."""
    model = patients.app.state.backend.generator.model
    ask = {"statements": ["AFIB"], "seed": 3}
    who = [{"age": 30, "sex": "female"}, {}, {"age": 80}, {"sex": "male"}, {"age": 30.5, "sex": "female"}]
    who += [{"heart_rate": 50}, {"heart_rate": 150, "age": 80}]
    unknown = {"age": None, "sex": None, "heart_rate": None}
    answers = together(patients, [{**ask, **one, "count": 2} for one in who * 3])
    for one, answer in zip(who * 3, answers, strict=True):
        alone = model.generate_ecgs("AFIB", num_samples=2, seed=3, precision="float32", **one)
        np.testing.assert_allclose(signals(answer), [ecg.signal for ecg in alone], atol=1.5 * UV)
        for record in answer["records"]:
            assert {name: record[name] for name in unknown} == {**unknown, **one}
        assert {k: v for k, v in answer["provenance"].items() if k in unknown} == one
    assert len({signals(answer).tobytes() for answer in answers[: len(who)]}) == len(who)


def test_files_hold_age_and_sex(patients, tmp_path):
    """Fails when only the JSON answer has age, sex and heart rate, or a job loses them."""
    told = {"age": 30.0, "sex": "female", "heart_rate": 88.0}
    ask = {"statements": ["AFIB"], "seed": 3, "count": 3, **told}
    job = patients.get("/v1/jobs", ask)
    assert eventually(lambda: patients.get(f"/v1/jobs/{job['id']}")["state"] == "done")
    body = patients.ask(f"/v1/jobs/{job['id']}/result", accept="application/x-npz")[2]
    (tmp_path / "ecgs.npz").write_bytes(body)
    made = npz.read(tmp_path / "ecgs.npz")
    assert [{name: ecg.provenance[name] for name in told} for ecg in made] == [told] * 3
    np.testing.assert_allclose(
        [e.signal for e in made], signals(patients.get("/v1/ecgs", ask)), atol=1.5 * UV
    )


def test_qualities(builtin):
    """Fails when a quality uses another sampler or other steps than `generate --quality`, or batches mix them."""
    up, model = builtin
    assert [(q["name"], q["sampler"], q["steps"]) for q in up.get("/v1/models")[0]["qualities"]] == [
        (name, of.sampler, of.steps) for name, of in PRESETS.items()
    ]
    answers = together(up, [{"statements": ["AFIB"], "seed": 3, "quality": name} for name in PRESETS] * 3)
    for (name, of), answer in zip(list(PRESETS.items()) * 3, answers, strict=True):
        alone = model.generate_ecgs("AFIB", seed=3, quality=name, precision="float32")
        np.testing.assert_allclose(signals(answer)[0], alone[0].signal, atol=1.5 * UV, err_msg=name)
        how = answer["provenance"]
        assert (how["model"], how["sampler"]) == (model.model_hash, of.sampler)


def test_qualities_of_another_model(builtin, model):
    """Fails when draft is offered for an S4 network, or depends on what the model is called."""
    assert list(Generator(builtin[1], "mine").qualities) == ["draft", "standard", "best"]
    generator = Generator(model, "builtin")
    assert list(generator.qualities) == ["standard", "best"]
    with pytest.raises(ValueError, match="^quality is 'draft': this model has standard and best$"):
        generator.work(GenerateRequest(statements=["NORM"], quality="draft"))


def test_a_file_called_like_the_builtin_model(model, tmp_path):
    """Fails when a checkpoint gets the qualities and the figures of the built-in model because of its name."""
    for name in ("builtin", "built-in", "default", "mine"):
        generator = load_generator(model.save_checkpoint(tmp_path / f"{name}.safetensors"), device="cpu")
        assert generator.name == ("mine" if name == "mine" else f"{name}.safetensors")
        assert list(generator.qualities) == ["standard", "best"]
        assert generator.labels[0].training_records is None


def test_another_distilled_model():
    """Fails when a distilled model refuses the sampler consistency, or does not use it by default."""
    few = tiny(ddim_config={"sampler": "consistency", "ddim_timesteps": 4})
    generator = Generator(few, "mine")
    assert "consistency" in generator.samplers and "consistency" not in Generator(tiny(), "mine").samplers
    assert generator.default == Plan(Sampling("consistency", 4, None, "trailing"))
    assert (
        generator.work(GenerateRequest(statements=["NORM"], sampler="consistency", steps=2)).plan.steps == 2
    )
    assert generator.qualities == {"standard": generator.default}


def test_few_steps_mean_ddim():
    """Fails when a model whose own sampler is DDPM refuses a request that gives steps or eta only."""
    model = tiny(ddim_config={"use_ddim": False, "ddim_timesteps": 5})
    generator = Generator(model, "tiny")
    assert generator.default == Plan(Sampling("ddpm", 20))
    few = generator.work(GenerateRequest(statements=["NORM"], steps=4)).plan
    assert few == Plan(Sampling("ddim", 4, 0.0, "uniform"))
    with service(model) as running:
        default = running.get("/v1/models")[0]["default"]
    assert default == {"sampler": "ddpm", "steps": 20, "eta": 1.0}
    with pytest.raises(ValueError, match="leave it out with unipc"):
        generator.work(GenerateRequest(statements=["NORM"], sampler="unipc", eta=0.0))


def test_the_tenth_record_alone(up):
    """Fails when a record that is asked for by its index differs from the one in a larger request."""
    ask = {"statements": ["NORM"], "seed": 5}
    many = up.get("/v1/ecgs", {**ask, "count": 10})
    one = up.get("/v1/ecgs", {**ask, "index": 9})
    assert one["records"][0]["statements"] == many["records"][9]["statements"]
    assert one["records"][0]["index"] == 9
    np.testing.assert_allclose(signals(one)[0], signals(many)[9], atol=UV)


def test_without_a_seed(up):
    """Fails when two such requests give the same record, or the answer does not say how to generate it again."""
    first, second = (up.get("/v1/ecgs", {"statements": ["NORM"]}) for _ in range(2))
    assert first["records"][0]["seed"] != second["records"][0]["seed"]
    again = up.get("/v1/ecgs", {"statements": ["NORM"], "seed": first["records"][0]["seed"]})
    np.testing.assert_allclose(signals(again), signals(first), atol=UV)


def test_every_format_holds_the_same(up, tmp_path):
    """Fails when a format loses the signal, the leads, the statements or the provenance."""
    ask = {"statements": ["AFIB"], "seed": 7}
    expected = up.get("/v1/ecgs", ask)["records"][0]
    got = {form.media_type: up.ask("/v1/ecgs", ask, accept=form.media_type) for form in encode.FORMATS}
    for media_type, (status, headers, body) in got.items():
        assert status == 200 and headers.get_content_type() == media_type and body
        form = next(form for form in encode.FORMATS if form.media_type == media_type)
        assert headers.get_filename() == (None if form is encode.JSON else f"AFIB_seed_7_0.{form.suffix}")
    (tmp_path / "ecgs.npz").write_bytes(got["application/x-npz"][2])
    with zipfile.ZipFile(io.BytesIO(got["application/zip"][2])) as archive:
        archive.extractall(tmp_path)
    name = (tmp_path / "RECORDS").read_text().strip()
    assert name == "AFIB_seed_7_0"
    for ecg in (npz.read(tmp_path / "ecgs.npz")[0], wfdb.read(tmp_path / name)):
        np.testing.assert_allclose(ecg.signal, expected["signal"], atol=UV)
        assert sorted(ecg.statements) == sorted(expected["statements"]) and ecg.leads == CLINICAL
        assert (ecg.provenance["seed"], ecg.provenance["index"], ecg.synthetic) == (7, 0, True)
    table = np.genfromtxt(io.BytesIO(got["text/csv"][2]), delimiter=",", names=True)
    np.testing.assert_allclose(table["V6"], expected["signal"][-1], atol=UV)
    starts = {"image/png": b"\x89PNG", "application/pdf": b"%PDF", "image/svg+xml": b"<?xml"}
    assert all(got[media_type][2].startswith(start) for media_type, start in starts.items())


@pytest.mark.parametrize(
    ("accept", "suffix"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("text/html, application/json;q=0.2, text/csv;q=0.1", "json"),
        ("image/*", "png"),
        ("image/*;q=0.5, image/png;q=0, application/pdf;q=0.4", "svg"),
        ("application/octet-stream", "npz"),
        ("TEXT/CSV ; q=1.0", "csv"),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;q=nan", None),
        (";;,q=1,\x00", None),
    ],
)
def test_the_format_that_a_client_prefers(accept, suffix):
    """Fails when quality values, wildcards or zeros in an Accept header are ignored."""
    form = encode.choose(accept)
    assert (form and form.suffix) == suffix


def test_files_tell_what_was_asked_for_from_what_was_drawn(builtin, tmp_path):
    """Fails when a file does not say that it is synthetic, or hides what was drawn or hardly learnt."""
    up, _ = builtin
    ask = {"statements": ["AFIB", "2AVB"], "seed": 4}
    record = up.get("/v1/ecgs", ask)["records"][0]
    assert record["drawn"] and set(record["drawn"]) == set(record["statements"]) - {"AFIB", "2AVB"}
    header, first, *_ = up.ask("/v1/ecgs", ask, accept="text/csv")[2].decode().splitlines()
    cells = dict(zip(header.split(","), first.split(","), strict=True))
    assert (cells["synthetic"], set(cells["requested"].split())) == ("1", {"AFIB", "2AVB"})
    assert cells["statements"].split() == record["statements"]
    with zipfile.ZipFile(io.BytesIO(up.ask("/v1/ecgs", ask, accept="application/zip")[2])) as archive:
        text = archive.read("AFIB_2AVB_seed_4_0.hea").decode()
    assert f"\n# {ASKED}\n" in text
    (codes,) = re.findall(r"^#Dx: (.+)$", text, re.MULTILINE)
    assert {"164889003", "195042002"} <= set(codes.split(","))  # the challenges' codes of AFIB and 2AVB
    assert "# provenance.training_records: " in text and '"2AVB": 1' in text


def test_the_drawing_of_pictures(up):
    """Fails when a picture is drawn in another way than was asked for, by a request, an address or a job's result."""
    ask = {"statements": ["AFIB"], "seed": 7}
    usual, tall = {}, {"layout": "12x1", "speed": 50, "gain": 20, "rhythm": "V1"}
    strip = {"layout": "6x2", "rhythm": "V5"}
    pictures = {}
    (record,) = up.get("/v1/ecgs", ask)["records"]
    for how in (usual, tall, strip):
        svg = up.ask("/v1/ecgs", {**ask, **how}, accept="image/svg+xml")[2]
        words = urllib.parse.urlencode({"seed": 7, **how})
        assert up.ask(f"/v1/ecgs/AFIB.svg?{words}")[2] == svg
        pictures[svg] = len(re.findall(rb'<g id="V5-\d+">', svg))
        job = up.get("/v1/jobs", ask)
        assert eventually(lambda job=job: up.get(f"/v1/jobs/{job['id']}")["state"] == "done")
        result = f"/v1/jobs/{job['id']}/result?{urllib.parse.urlencode(how)}"
        _, headers, drawn = up.ask(result, accept="image/svg+xml")
        assert drawn == svg and headers.get_filename() == "AFIB_seed_7_0.svg"
    assert list(pictures.values()) == [1, 1, 2] and len(record["signal"]) == 12
    for name, wrong in (("layout", "4x3"), ("speed", 30), ("gain", 1), ("rhythm", "V9")):
        assert up.refusal("/v1/ecgs", {**ask, name: wrong})[0] == 422
        assert up.refusal(f"/v1/ecgs/AFIB.svg?seed=7&{name}={wrong}")[0] == 422
        assert up.refusal(f"/v1/jobs/{job['id']}/result?{name}={wrong}")[0] == 422
        status, said = up.refusal("/v1/jobs", {**ask, **tall})
        assert status == 422 and "/result?layout=12x1" in said


def test_measurements_are_refused_where_they_have_no_place(up):
    """Fails when measure is dropped without a word."""
    ask = {"statements": ["AFIB"], "measure": True}
    for status, text in (
        up.refusal("/v1/ecgs", ask, accept="text/csv"),
        up.refusal("/v1/ecgs", ask, accept="image/png"),
        up.refusal("/v1/jobs", ask),
    ):
        assert status == 422 and "measure is true" in text


def test_hints(builtin, up):
    """Fails when contradictions pass, or something is said of training data that are not known."""
    said = builtin[0].get("/v1/labels/hints?statements=sinus%20bradycardia,STACH,STACH")
    assert said == {"hints": ["None of 17418 recordings of PTB-XL carries both SBRAD and STACH"]}
    assert up.get("/v1/labels/hints?statements=SBRAD,STACH") == {"hints": []}
    slow = builtin[0].get("/v1/labels/hints?statements=STACH&heart_rate=50")
    assert slow == {"hints": ["STACH is a rate of more than 100 /min, and 50 /min is asked for"]}
    assert builtin[0].refusal("/v1/labels/hints?statements=STACH&heart_rate=5")[0] == 422
    assert builtin[0].refusal("/v1/labels/hints?statements=AFIBB")[0] == 422


def test_formats_of_one_record_refuse_several(up):
    ask = {"statements": ["NORM"], "count": 2}
    assert up.refusal("/v1/ecgs", ask, accept="image/png") == (
        406,
        "image/png holds one record, not 2: accept JSON, NPZ or ZIP",
    )
    assert up.refusal("/v1/ecgs", ask, accept="text/html")[0] == 406


# --- streams ------------------------------------------------------------------------------------------------


def events(url, ask):
    request = urllib.request.Request(
        f"{url}/v1/ecgs/stream", json.dumps(ask).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers.get_content_type() == "text/event-stream"
        text = answer.read().decode()
    found = re.findall(r"^event: (\w+)\ndata: (.*)$", text, re.MULTILINE)
    return [(name, json.loads(data)) for name, data in found]


def test_a_stream_ends_with_the_record(up):
    """Fails when steps are out of order or in another unit, or the record differs from that of a plain request."""
    ask = {"statements": ["AFIB"], "seed": 7, "steps": 6, "measure": True}
    *steps, (last, record) = events(up.url, ask)
    assert last == "record" and {name for name, _ in steps} <= {"step"}
    numbers = [step["step"] for _, step in steps]
    assert numbers == sorted(set(numbers)) and numbers[-1] == 6 == steps[-1][1]["steps"]
    plain = up.get("/v1/ecgs", ask)["records"][0]
    np.testing.assert_allclose(record["signal"], plain["signal"], atol=UV)
    np.testing.assert_allclose(
        steps[-1][1]["signal"], plain["signal"], atol=UV
    )  # the last x0 of DDIM is the record
    assert record["measured"] == plain["measured"] and set(record["measured"]) >= {"heart_rate_bpm", "qtc_ms"}
    assert record["checks"] == plain["checks"] and {c["statement"] for c in record["checks"]} >= {"AFIB"}
    assert up.get("/v1/ecgs", {**ask, "measure": False})["records"][0]["checks"] is None
    assert record["provenance"]["sampler"] == "ddim"


def test_a_stream_shows_one_record(up):
    assert up.refusal("/v1/ecgs/stream", {"statements": ["NORM"], "count": 2})[0] == 422


# --- waiting and leaving ------------------------------------------------------------------------------------


class Held:
    """Holds the batches of a service at the end of their first step until `go` is set."""

    def __init__(self, running):
        self.go, self.running, self.begun = threading.Event(), running, threading.Event()
        generator = running.app.state.backend.generator
        original = generator.run

        def run(batch, on_step):
            def stop(i, x0):
                self.begun.set()
                assert self.go.wait(30)
                on_step(i, x0)

            return original(batch, stop)

        running.app.state.backend.batcher._run = run

    def post(self, ask, path="/v1/ecgs"):
        """Send a request and return its socket without waiting for the answer."""
        body = json.dumps(ask).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        sock = socket.create_connection(("127.0.0.1", self.running.port))
        sock.sendall(head.encode() + b"\r\n\r\n" + body)
        return sock


@pytest.fixture
def held(model):
    with service(model, waiting_records=4, batch_records=2, gather_s=0.001) as running:
        h = Held(running)
        yield h
        h.go.set()


@pytest.mark.parametrize("path", ["/v1/ecgs", "/v1/ecgs/stream"])
def test_full_and_free_again(held, path):
    """Fails when the queue has no bound, or a client that leaves keeps its place in the queue or in the batch."""
    batcher = held.running.app.state.backend.batcher
    running = held.post({"statements": ["NORM"]}, path)
    assert held.begun.wait(10)
    waiting = [held.post({"statements": ["NORM"], "seed": i}, path) for i in range(4)]
    assert eventually(lambda: batcher.waiting == 4)
    status, headers, body = held.running.ask(path, {"statements": ["NORM"]})
    assert status == 429 and int(headers["retry-after"]) >= 1 and b"come again" in body
    waiting[0].close()
    assert eventually(lambda: batcher.waiting == 3)
    running.close()
    held.go.set()
    assert eventually(lambda: batcher.idle)
    for sock in waiting[1:]:
        assert sock.recv(12) == b"HTTP/1.1 200"
        sock.close()


def test_a_large_job_locks_nobody_out(model):
    """Fails when the work of a job that a small request overtakes counts as work before it."""
    with service(model, batch_records=2, waiting_records=8) as running:
        held, batcher = Held(running), running.app.state.backend.batcher
        batcher._spent_s = batcher._did = 1.0  # one second for each record and step: the job takes hours
        jobs = [
            running.get("/v1/jobs", {"statements": ["NORM"], "count": 500, "sampler": "ddpm"})
            for _ in range(3)
        ]
        assert held.begun.wait(10)
        with ThreadPoolExecutor(1) as pool:
            draft = pool.submit(running.ask, "/v1/ecgs", {"statements": ["AFIB"], "steps": 1})
            assert eventually(lambda: batcher.waiting)
            held.go.set()
            assert draft.result(30)[0] == 200
        seen = [running.get(f"/v1/jobs/{job['id']}") for job in jobs]
        assert any(job["state"] == "running" and 0 < job["progress"] < 1 for job in seen)
        assert [job["id"] for job in running.get("/v1/jobs")] == [job["id"] for job in jobs]
        for job in jobs:
            running.get(f"/v1/jobs/{job['id']}", method="DELETE")


def test_an_idempotency_key_starts_one_job(up):
    """Fails when a client that asks again, because it got no answer, starts a second job."""
    ask = {"statements": ["NORM"], "steps": 1, "seed": 1}
    first, again = (up.get("/v1/jobs", ask, idempotency_key="abc") for _ in range(2))
    assert first["id"] == again["id"] != up.get("/v1/jobs", ask)["id"]
    status, text = up.refusal("/v1/jobs", {**ask, "seed": 2}, idempotency_key="abc")
    assert status == 422 and "Idempotency-Key" in text


def test_requests_that_would_take_too_long(model):
    """Fails when a request that cannot be done in time is begun, or is answered 429 although waiting does not help."""
    with service(model, request_s=60.0) as running:
        batcher = running.app.state.backend.batcher
        batcher._spent_s = batcher._did = 1.0  # one second for each record and step
        status, message = running.refusal("/v1/ecgs", {"statements": ["NORM"], "count": 13, "steps": 5})
        assert status == 422 and "65 s" in message and "/v1/jobs" in message
        batcher._running = 56  # seconds until the device is free
        status, headers, body = running.ask("/v1/ecgs", {"statements": ["NORM"], "steps": 5})
        assert status == 429 and headers["retry-after"] and b"come again later" in body
        batcher._running = 0
        batcher._spent_s = 1e-6
        assert running.ask("/v1/ecgs", {"statements": ["NORM"], "steps": 5})[0] == 200


def test_a_request_may_take_longer_than_its_body(model):
    """Fails when the limit on the time of a body ends requests whose body has arrived."""
    with service(model, body_s=0.2) as running:
        held = Held(running)
        with ThreadPoolExecutor(2) as pool:
            asked = {"statements": ["NORM"], "seed": 1}
            paths = ("/v1/ecgs", "/v1/ecgs/stream")
            answers = [pool.submit(running.ask, path, asked) for path in paths]
            assert held.begun.wait(10)
            threading.Event().wait(0.5)
            held.go.set()
            (status, _, _), (_, _, events) = (answer.result() for answer in answers)
        assert status == 200 and b"event: record" in events


def test_requests_that_take_too_long(model):
    """Fails when a request or a stream goes on after its time is over, or keeps its place in the queue."""
    with service(model, request_s=0.3) as running:
        held, batcher = Held(running), running.app.state.backend.batcher
        status, headers, body = running.ask("/v1/ecgs", {"statements": ["NORM"]})
        assert status == 503 and headers["retry-after"] and b"not done within 0.3 s" in body
        _, _, body = running.ask("/v1/ecgs/stream", {"statements": ["NORM"]})
        assert b"event: error" in body and b"not done within 0.3 s" in body
        held.go.set()
        assert eventually(lambda: batcher.idle)


def test_an_error_of_the_server(model, capfd):
    """Fails when an unexpected error is not answered as JSON, tells clients its details, or is not logged."""
    with service(model) as running:
        batcher = running.app.state.backend.batcher
        original = batcher._run

        def fail(batch, on_step):
            raise RuntimeError("a secret detail")

        batcher._run = fail
        status, message = running.refusal("/v1/ecgs", {"statements": ["NORM"]})
        assert status == 500 and "error in the server" in message and "secret" not in message
        batcher._run = original
        assert running.get("/v1/ecgs", {"statements": ["NORM"]})["records"]
        assert 'route="/v1/ecgs",status="500"} 1.0' in running.ask("/metrics")[2].decode()
    assert "a secret detail" in capfd.readouterr().err


# --- jobs ---------------------------------------------------------------------------------------------------


def test_a_job(up, tmp_path):
    """Fails when a job loses records or mixes them up, or its records differ from those of a plain request."""
    ask = {"statements": ["AFIB"], "count": 70, "seed": 3}
    assert up.refusal("/v1/ecgs", ask)[0] == 422
    status, headers, body = up.ask("/v1/jobs", ask)
    job = json.loads(body)
    assert status == 202 and headers["location"] == f"/v1/jobs/{job['id']}"
    seen = []
    assert eventually(lambda: seen.append(up.get(headers["location"])) or seen[-1]["state"] == "done")
    assert [s["done"] for s in seen] == sorted(s["done"] for s in seen) and seen[-1]["done"] == 70
    result = headers["location"] + "/result"
    unfetched = up.app.state.jobs.counts["unfetched"]
    assert up.refusal(result)[0] == 406  # too many for JSON
    assert up.app.state.jobs.counts["unfetched"] == unfetched > 0  # nobody has the records yet
    status, _, content = up.ask(result, accept="application/x-npz")
    (tmp_path / "a.npz").write_bytes(content)
    ecgs = npz.read(tmp_path / "a.npz")
    assert [ecg.provenance["index"] for ecg in ecgs] == list(range(70))
    one = up.get("/v1/ecgs", {**ask, "count": 1, "index": 69})
    np.testing.assert_allclose(ecgs[69].signal, signals(one)[0], atol=UV)
    assert up.refusal(result)[0] == 406  # too many for JSON
    up.get(headers["location"], method="DELETE")
    assert up.refusal(headers["location"])[0] == 404


def test_a_cancelled_job(held):
    """Fails when the rest of a cancelled job still runs, or its result can be fetched."""
    job = held.running.get("/v1/jobs", {"statements": ["NORM"], "count": 40})
    assert held.begun.wait(10)
    assert held.running.refusal(f"/v1/jobs/{job['id']}/result")[0] == 409
    assert held.running.get(f"/v1/jobs/{job['id']}", method="DELETE")["state"] == "cancelled"
    held.go.set()
    assert eventually(lambda: held.running.app.state.backend.batcher.idle)
    assert held.running.refusal(f"/v1/jobs/{job['id']}/result")[0] == 404


def test_jobs_share_their_memory(model):
    """Fails when jobs may hold more records than the settings allow, or never free them."""
    with service(model, stored_records=100, job_kept_s=0.2) as running:
        ask = {"statements": ["NORM"], "count": 60, "steps": 1}
        running.get("/v1/jobs", ask)
        status, headers, _ = running.ask("/v1/jobs", ask)
        assert status == 429 and int(headers["retry-after"]) >= 1
        assert eventually(lambda: running.ask("/v1/jobs", ask)[0] == 202)


# --- labels, models, pages, metrics -------------------------------------------------------------------------


def test_labels_and_models(up, model):
    labels, (about,) = up.get("/v1/labels"), up.get("/v1/models")
    assert (
        tuple(label["name"] for label in labels) == CODES
        and labels[4]["description"] == "atrial fibrillation"
    )
    assert about["hash"] == model.model_hash and about["steps_max"] == 20
    assert not about["age"] and not about["sex"] and not about["heart_rate"]
    assert [(q["name"], q["sampler"], q["steps"]) for q in about["qualities"]] == [
        (name, of.sampler, min(of.steps, 20)) for name, of in OF_S4.items()
    ]
    assert about["default"] == {"sampler": "ddim", "steps": 5, "eta": 0.0}
    assert (
        about["precision"]
        == up.get("/v1/ecgs", {"statements": ["NORM"]})["provenance"]["precision"]
        == "float32"
    )
    assert about["samplers"] == [name for name in SAMPLERS if name not in ("consistency", "fitted")]
    for sampler in about["samplers"]:
        assert (
            up.get("/v1/ecgs", {"statements": ["NORM"], "sampler": sampler})["provenance"]["sampler"]
            == sampler
        )


def test_only_swagger_may_have_a_script_in_its_page(up):
    """Fails when a browser would block the description at /docs, or run a script that is put into the page."""
    policies = {
        path: up.ask(path)[1]["content-security-policy"] for path in ("/docs", "/", "/v1/labels", "/none")
    }
    assert [path for path, policy in policies.items() if "script-src 'self' 'unsafe-inline'" in policy] == [
        "/docs"
    ]


def test_nothing_comes_from_elsewhere(up):
    """Fails when a page loads something from another host, or its content policy would allow it."""
    for path in ("/docs", "/openapi.json"):
        status, headers, body = up.ask(path)
        assert status == 200 and "default-src 'self'" in headers["content-security-policy"]
        if path == "/docs":
            assert not re.search(rb"""(?:src|href)=["']https?://(?!127\.0\.0\.1)""", body)
            for link in re.findall(rb"""(?:src|href)=["']([^"']+\.(?:js|css|png))""", body):
                assert up.ask(link.decode().removeprefix(up.url))[0] == 200


def test_metrics(up):
    """Fails when requests are not counted by route and status."""
    before = up.ask("/metrics")[2].decode()
    up.ask("/v1/jobs/nothing")
    after = up.ask("/metrics")[2].decode()
    count = 'sssd_requests_total{method="GET",route="/v1/jobs/{name}",status="404"} '
    values = [
        float(text.partition(count)[2].split()[0]) if count in text else 0.0 for text in (before, after)
    ]
    assert values[1] == values[0] + 1
    assert "sssd_records_total" in after and "sssd_waiting_records 0.0" in after


def test_metrics_of_process_build_jobs_and_quality(builtin):
    """Fails when one of the four cannot be watched."""
    up, model = builtin
    up.get("/v1/ecgs", {"statements": ["NORM"], "quality": "draft", "count": 3})
    up.get("/v1/jobs", {"statements": ["NORM"], "steps": 1})
    assert eventually(lambda: 'sssd_jobs{state="unfetched"} 1.0' in up.ask("/metrics")[2].decode())
    text = up.ask("/metrics")[2].decode()
    assert 'sssd_quality_records_total{quality="draft"} 3.0' in text
    assert f'hash="{model.model_hash}"' in text and "sssd_build_info{" in text
    assert "process_resident_memory_bytes" in text and "python_info" in text


# --- how answers travel -------------------------------------------------------------------------------------


def test_a_record_has_an_address_that_can_be_kept(up):
    """Fails when an address gives another record than its request, or a cache cannot know whether it is still right."""
    ask = {"statements": ["AFIB", "LAO/LAE"], "seed": 7, "steps": 3, "measure": True}
    address = "/v1/ecgs/AFIB+LAO%2FLAE.json?seed=7&steps=3"
    status, headers, body = up.ask(address)
    assert status == 200 and json.loads(body) == up.get("/v1/ecgs", ask)
    assert headers["cache-control"] == "public, max-age=86400" and headers["etag"].startswith('"')
    ran = up.app.state.backend.metrics.text().split(b"sssd_records_total ")[1].split()[0]
    for tag in (headers["etag"], f"W/{headers['etag']}", f'"other", {headers["etag"]}'):
        again = up.ask(address, if_none_match=tag)
        assert (again[0], again[1]["etag"], again[2]) == (304, headers["etag"], b"")
    assert (
        up.app.state.backend.metrics.text().split(b"sssd_records_total ")[1].split()[0] == ran
    )  # nothing was made
    others = ["/v1/ecgs/AFIB+LAO%2FLAE.json?seed=8&steps=3", "/v1/ecgs/AFIB+LAO%2FLAE.png?seed=7&steps=3"]
    assert len({headers["etag"], *(up.ask(other)[1]["etag"] for other in others)}) == 3
    png = up.ask(others[1])
    assert png[1].get_content_type() == "image/png" and png[1]["content-disposition"] == "inline"
    for wrong, code in (
        ("AFIB.png", 422),
        ("AFIB.gif?seed=1", 404),
        ("AFIBB.png?seed=1", 422),
        ("AFIB.png?seed=-1", 422),
        ("AFIB.png?seed=1&sede=2", 422),
        ("AFIB.png?seed=1&age=900", 422),
    ):
        status, text = up.refusal(f"/v1/ecgs/{wrong}")
        assert status == code and text, wrong


def test_other_weights_are_another_record(builtin):
    """Fails when a cache keeps a record although the weights behind its address have changed."""
    up, model = builtin
    address = "/v1/ecgs/NORM.csv?seed=1&quality=draft"
    tag = up.ask(address)[1]["etag"]
    changed = random_model(model.config)
    with torch.no_grad():
        next(changed.model.parameters()).add_(0.1)
    with service(changed, "builtin") as other:
        assert other.ask(address)[1]["etag"] != tag


def test_another_version_is_another_record(up, monkeypatch):
    """Fails when a cache keeps a record of the version before, which may have made it otherwise."""
    address = "/v1/ecgs/NORM.csv?seed=1&steps=1"
    tag = up.ask(address)[1]["etag"]
    monkeypatch.setattr("sssd.server.routes.ecgs.__version__", "0.0.0")
    assert up.ask(address, if_none_match=tag)[0] == 200 and up.ask(address)[1]["etag"] != tag


def test_gzip(up):
    """Fails when texts travel uncompressed, pictures are compressed again, or a client gets gzip unasked."""
    plain = up.ask("/v1/labels")
    status, headers, body = up.ask("/v1/labels", accept_encoding="gzip, br")
    assert status == 200 and headers["content-encoding"] == "gzip" and gzip.decompress(body) == plain[2]
    assert "content-encoding" not in plain[1] and "Accept-Encoding" in headers["vary"]
    assert "content-encoding" not in up.ask("/v1/labels", accept_encoding="gzip;q=0, br")[1]
    assert "content-encoding" not in up.ask("/healthz", accept_encoding="gzip")[1]  # too short
    ask = {"statements": ["NORM"], "steps": 1}
    png = up.ask("/v1/ecgs", ask, accept="image/png", accept_encoding="gzip")
    assert "content-encoding" not in png[1] and png[2].startswith(b"\x89PNG")
    script = up.ask("/js/main.js", accept_encoding="gzip")
    assert gzip.decompress(script[2]) == up.ask("/js/main.js")[2] and script[1]["etag"].startswith("W/")
    assert up.ask("/js/main.js", accept_encoding="gzip", if_none_match=script[1]["etag"])[0] == 304


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/v1/models", "/v1/ecgs/NORM.png?seed=1", "/openapi.json", "/no"]
)
def test_head(up, path):
    """Fails when HEAD is refused, has a body, or other headers than GET."""
    got, head = up.ask(path), up.ask(path, method="HEAD")
    assert head[0] == got[0] and head[2] == b""
    skipped = {"x-request-id", "date"}
    assert [(k.lower(), v) for k, v in head[1].items() if k.lower() not in skipped] == [
        (k.lower(), v) for k, v in got[1].items() if k.lower() not in skipped
    ]


def test_the_page_never_mixes_two_versions(up):
    """Fails when a browser may keep a file whose content can change, or an old page gets new scripts."""
    status, headers, body = up.ask("/")
    assert status == 200 and headers["cache-control"] == "no-cache"
    files = re.findall(r'(?:href|src)="(assets/[^"]+)"', body.decode())
    assert {name.rsplit("/", 1)[1] for name in files} >= {"style.css", "main.js", "theme.js", "icon.svg"}
    for name in files:
        status, headers, _ = up.ask(f"/{name}")
        assert status == 200 and "immutable" in headers["cache-control"]
        version = name.split("/")[1]
        assert up.ask("/" + name.replace(version, version[::-1]))[0] == 404
    for address in ("/js/main.js", "/docs", "/openapi.json", "/v1/labels"):
        assert up.ask(address)[1]["cache-control"] == "no-cache", address
    for name in (
        "assets",
        "assets/",
        f"assets/{version}",
        f"assets/{version}/../../app.py",
        f"assets/{version}/index.html",
    ):
        assert up.ask(f"/{name}")[0] == 404, name


def test_request_ids_and_the_access_log(model, capfd):
    """Fails when a line of the log cannot be found by the id of its answer, or a client can forge lines."""
    with service(model, access_log=True) as running:
        given = running.ask("/v1/labels?secret=1", x_request_id="proxy-17")[1]["x-request-id"]
        forged = running.ask("/healthz", x_request_id='a" b')[1]["x-request-id"]
        running.ask("/no", method="HEAD")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert given == "proxy-17" and re.fullmatch(r"[0-9a-f]{16}", forged)
    assert [
        (one["id"], one["method"], one["path"], one["status"]) for one in lines if one["path"] != "/readyz"
    ] == [
        (given, "GET", "/v1/labels", 200),
        (forged, "GET", "/healthz", 200),
        (lines[-1]["id"], "HEAD", "/no", 404),
    ]
    assert (
        lines[0]["route"] == "/v1/labels" and lines[0]["bytes"] > 1000 and lines[0]["client"] == "127.0.0.1"
    )


def test_the_description_has_names_and_headers(up):
    """Fails when generated clients get names such as start_v1_jobs_post, or do not learn of headers."""
    description = up.get("/openapi.json")
    paths = description["paths"]
    operations = [one for methods in paths.values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-z]+[A-Za-z]*", name) for name in names)
    assert "Retry-After" in paths["/v1/ecgs"]["post"]["responses"]["429"]["headers"]
    assert {"generateEcgs", "streamEcg", "startJob", "listJobs", "getEcg"} <= set(names)
    told = {
        (name, status): set(one.get("headers", {}))
        for name, operation in zip(names, operations, strict=True)
        for status, one in operation["responses"].items()
    }
    assert told["getEcg", "200"] == {"Content-Disposition", "ETag", "Cache-Control", "X-Request-ID"}
    assert {"ETag", "Cache-Control"} <= told["getEcg", "304"] and "Location" in told["startJob", "202"]
    assert "Content-Disposition" in told["generateEcgs", "200"] & told["getJobResult", "200"]
    status, headers, _ = up.ask("/v1/ecgs/NORM.csv?seed=7&steps=2")
    assert status == 200 and all(name in headers for name in told["getEcg", "200"])


def test_the_example_of_a_request_is_valid(up):
    """Fails when the body that /docs proposes is refused, as one with every setting is."""
    schemas = up.get("/openapi.json")["components"]["schemas"]
    [asked] = schemas["GenerateRequest"]["examples"]
    assert set(asked) < set(schemas["GenerateRequest"]["properties"])
    GenerateRequest.model_validate(asked)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"statements": ["AFIB", "LVH"], "quality": "draft"}, "AFIB_LVH_draft_seed"),
        (
            {"statements": ["atrial fibrillation"], "sampler": "ddim", "steps": 4},
            "atrial_fibrillation_ddim4_seed",
        ),
        ({"statements": ["NORM"], "steps": 4}, "NORM_steps4_seed"),
        ({"statements": ["NORM"] * 71}, ("_NORM" * 15 + "_seed").lstrip("_")),
    ],
)
def test_files_are_called_after_what_was_asked_for(asked, name):
    """Fails when two qualities have files of one name, or a name has a blank or no end."""
    assert GenerateRequest(**asked).called == name


def test_records_in_an_archive_are_called_as_files_are(up):
    """Fails when they hide what was asked for, or have names that are too long for the WFDB library (50 characters)."""

    def names(statements, seed, **more):
        ask = {"statements": statements, "seed": seed, "count": 2, "steps": 2, **more}
        _, headers, content = up.ask("/v1/ecgs", ask, accept="application/zip")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return headers.get_filename().removesuffix(".zip"), archive.read("RECORDS").decode().split()

    assert names(["AFIB"], 7) == ("AFIB_steps2_seed_7_0", ["AFIB_steps2_seed_7_0", "AFIB_steps2_seed_7_1"])
    of_file, long = names(["NORM", "AFIB"] * 9, 2**64 - 1, index=2**53 - 8, noise="muscle:20uV")
    assert len(of_file) > 80 and len(set(long)) == 4
    assert all(len(name) <= 50 and of_file[:-1].endswith(name.removesuffix("_clean")[:-1]) for name in long)


# --- settings, the command ----------------------------------------------------------------------------------


def test_hosts():
    """Fails when other machines can be served without a key although nobody has allowed it."""
    keyless, keyed = Settings(), Settings(key_sha256=["0" * 64])
    for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost"):
        check_host(host, keyless, False)
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", ""):
        with pytest.raises(ValueError, match="--allow-anyone-without-a-key"):
            check_host(host, keyless, False)
        check_host(host, keyless, True)
        check_host(host, keyed, False)


def test_settings(tmp_path):
    """Fails when a misspelt name or a value of the wrong kind is accepted."""
    file = tmp_path / "server.json"
    for text, message in [
        ('{"record": 3}', "record: .*known keys are key_sha256"),
        ('{"records": "3"}', "records: .*integer"),
        ('{"key_sha256": ["abc"]}', "key_sha256.0"),
        ("{", "Invalid JSON"),
    ]:
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_settings(file)
    file.write_text('{"records": 3}')
    assert read_settings(file).records == 3
    with pytest.raises(FileNotFoundError, match="to read settings from"):
        read_settings(tmp_path / "none.json")


def test_the_command_refuses(capsys, tmp_path):
    """Fails when a wrong command gives a traceback, or starts the service."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments, code, message in [
            (["--host", "0.0.0.0"], 2, "there is no API key"),
            (["--settings", str(tmp_path / "none.json")], 2, "no file"),
            (["--config", str(tmp_path / "none.json")], 2, "give both, or neither"),
            (["--port", "0", "--checkpoint", str(tmp_path / "none.pkl")], 2, "none.pkl"),
            (["--port", str(taken.getsockname()[1])], 1, "choose another port with --port"),
            (["--port", "65536"], 2, "--port is 65536; expected 0 to 65535"),
        ]:
            assert main(["serve", *arguments]) == code
            assert message in capsys.readouterr().err


def test_a_new_key(capsys):
    assert main(["serve", "--new-key"]) == 0
    key, settings = (line.partition(": ")[2] for line in capsys.readouterr().out.splitlines())
    assert json.loads(settings) == {"key_sha256": [digest(key)]} and len(key) >= 43


def test_the_message_names_the_missing_extra(monkeypatch, capsys):
    """Fails when the command gives a traceback although only the extra is missing."""
    for name in [n for n in sys.modules if n.startswith("sssd.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve"]) == 2
    assert "pip install 'sssd-ecg[server]'" in capsys.readouterr().err


# --- stopping -----------------------------------------------------------------------------------------------


def test_stopping_drains(model):
    """Fails when running work is dropped, new work is accepted, or results cannot be fetched."""
    with service(model) as running:
        held = Held(running)
        job = running.get("/v1/jobs", {"statements": ["NORM"]})
        assert held.begun.wait(10)
        running.server.handle_exit(signal.SIGTERM, None)
        status, headers, body = running.ask("/v1/ecgs", {"statements": ["NORM"]})
        assert status == 503 and b"stopping" in body and headers["retry-after"]
        assert running.refusal("/v1/ecgs/stream", {"statements": ["NORM"]})[0] == 503
        assert running.refusal("/v1/jobs", {"statements": ["NORM"]})[0] == 503
        assert running.refusal("/readyz")[0] == 503
        held.go.set()
        assert eventually(lambda: running.get(f"/v1/jobs/{job['id']}")["state"] == "done")
        assert running.thread.is_alive() and len(running.get(f"/v1/jobs/{job['id']}/result")["records"]) == 1
        running.thread.join(10)
        assert not running.thread.is_alive()
        assert not running.app.state.backend.batcher._thread.is_alive()


def test_the_second_signal_ends_at_once(model, capfd):
    """Fails when stopping seems to hang on a result that nobody fetches, or the second signal waits for anything."""
    with service(model) as running:
        done = running.get("/v1/jobs", {"statements": ["NORM"]})["id"]
        assert eventually(lambda: running.get(f"/v1/jobs/{done}")["state"] == "done")
        held = Held(running)
        running.get("/v1/jobs", {"statements": ["NORM"], "count": 100, "sampler": "ddpm"})
        assert held.begun.wait(10)
        running.server.handle_exit(signal.SIGINT, None)
        said = capfd.readouterr().err
        assert "1 job not done, 1 job done, whose records nobody has fetched or deleted" in said
        assert "second Ctrl-C" in said
        began = time.monotonic()
        running.server.handle_exit(signal.SIGINT, None)
        held.go.set()
        running.thread.join(10)
        assert not running.thread.is_alive() and time.monotonic() - began < 8
        assert not running.app.state.backend.batcher._thread.is_alive()


def test_threads_that_compute_wait_little_for_answers(monkeypatch):
    """Fails when they wait for Python's lock for its default of 5 ms, with which fewer records are made."""
    before, seen = sys.getswitchinterval(), []
    monkeypatch.setattr(serve.Server, "__init__", lambda self, *_: setattr(self, "interrupted", False))
    monkeypatch.setattr(serve.Server, "run", lambda *_, **__: seen.append(sys.getswitchinterval()))
    try:
        serve.serve(None, None, None)
    finally:
        sys.setswitchinterval(before)
    assert seen and seen[0] < 0.001


@contextmanager
def process_of_its_own():
    """(the service of the command line in a process, the process) once it takes requests."""
    command = [
        sys.executable,
        "-c",
        "import sys; from sssd.cli import main; sys.exit(main())",
        "serve",
        "--port",
        "0",
    ]
    path = os.pathsep.join(["src", *sys.path])
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        try:
            port = int(re.search(r":(\d+)", process.stdout.readline())[1])
            running = Service(None, port)
            assert eventually(lambda: running.ask("/readyz")[0] == 200, 60)
            yield running, process
        finally:
            process.kill()


def wait_for_work(running):
    """Wait until a request runs."""
    assert eventually(lambda: b"sssd_waiting_seconds" in running.ask("/metrics")[2])
    threading.Event().wait(0.3)


STOPPING = r"stopping, .* running requests\. A second Ctrl-C ends it now\.\n"


@pytest.mark.slow
def test_sigterm_drains():
    """Fails when running work is dropped, new work is accepted, or the process does not end."""
    ask = {"statements": ["NORM"], "steps": 40, "seed": 1}
    with process_of_its_own() as (running, process), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(running.ask, "/v1/ecgs", ask)
        wait_for_work(running)
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: running.ask("/readyz")[0] == 503)
        assert running.refusal("/v1/ecgs", ask)[0] == 503
        assert answer.result()[0] == 200
        assert process.wait(20) == 0
        said = process.stderr.read()
        assert re.fullmatch(STOPPING, said), said


@pytest.mark.slow
def test_a_second_interrupt_says_no_more_than_that():
    """Fails with a traceback, an abort while a thread computes, or a client that hears of an error of the server."""
    ask = {"statements": ["NORM"], "quality": "best", "count": 64, "seed": 1}
    with process_of_its_own() as (running, process), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(running.ask, "/v1/ecgs", ask)
        wait_for_work(running)
        process.send_signal(signal.SIGINT)
        assert eventually(lambda: running.ask("/readyz")[0] == 503)
        process.send_signal(signal.SIGINT)
        status, headers, body = answer.result()
        assert status == 503 and b"the server has stopped" in body and headers["retry-after"]
        assert process.wait(20) == 130
        said = process.stderr.read()
        assert re.fullmatch(STOPPING + "sssd-ecg: interrupted\n", said), said


def test_a_sentence_is_understood_as_on_the_command_line(up):
    """The parser is that of --text. Fails where the route has another, or names what the model does not take."""
    from urllib.parse import quote

    from sssd.words import read

    text = "70-year-old woman, atrial fibrillation with LBBB, no flutter, rate about 120, wibble"
    told, found = up.get(f"/v1/understand?text={quote(text)}"), read(text)
    assert told["statements"] == list(found.statements) == ["AFIB", "CLBBB"]
    assert told["denied"] == ["AFLT"] and told["left"] == ["wibble"]
    assert told["said"][: len(found.lines())] == found.lines()
    takes = up.get("/v1/models")[0]
    for name, value in (("age", 70), ("sex", "female"), ("heart_rate", 120)):
        assert told[name] == (value if takes[name] else None)
        assert takes[name] or any(f"takes no {name.replace('_', ' ')}" in line for line in told["said"])
    nothing = up.get("/v1/understand?text=hello")
    assert (nothing["statements"], nothing["left"]) == ([], ["hello"])
    status, said = up.refusal(f"/v1/understand?text={quote('a 70-year-old, 60 years old')}")
    assert status == 422 and "several ages" in said
    assert up.refusal(f"/v1/understand?text={'x' * 401}")[0] == 422
    assert up.get("/v1/understand")["said"] == []
