"""Recordings sent to the service: what is made of them, and what is refused."""

import copy
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sssd import Ecg
from sssd.config.names import EDIT_STRENGTH
from sssd.server.recordings import CompleteRequest, EditRequest, Recording, VaryRequest
from tests.service import no_disk, recording, service
from tests.test_wrapper import tiny

ROUTES = ("/v1/vary", "/v1/edit", "/v1/complete")
ASKED = {
    "/v1/vary": {"recording": recording(), "steps": 4, "seed": 7},
    "/v1/edit": {"recording": recording(), "steps": 4, "seed": 7, "statements": ["AFIB"]},
    "/v1/complete": {"recording": recording(), "steps": 4, "seed": 7, "known": ["I", "II"]},
}


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def up(model):
    with service(model, records=4) as running:
        yield running


def ecg_of(sent):
    return Ecg(np.array(sent["signal"]), sent["fs_hz"], statements=tuple(sent["statements"]))


def signals(answer):
    return np.array([one["signal"] for one in answer["records"]])


def library(model, path, asked):
    """What the library makes of the same."""
    ecg, how = (
        ecg_of(asked["recording"]),
        {"seed": asked["seed"], "steps": asked["steps"], "precision": "float32"},
    )
    if path == "/v1/vary":
        return model.vary(ecg, asked.get("count", 1), asked.get("strength", 0.4), **how)
    if path == "/v1/edit":
        return model.edit(ecg, asked["statements"], asked.get("strength", EDIT_STRENGTH), **how)
    return model.complete(ecg, asked.get("count", 1), known=asked["known"], **how)


@pytest.mark.parametrize("path", ROUTES)
def test_the_service_makes_what_the_library_makes(up, model, path):
    asked = ASKED[path] if path == "/v1/edit" else {**ASKED[path], "count": 3}
    answer, made = up.get(path, asked), library(model, path, asked)
    np.testing.assert_allclose(signals(answer), [one.signal for one in made], atol=1.1e-3)
    for name in ("operation", "source_sha256", "source_statements"):
        assert answer["provenance"][name] == made[0].provenance[name]
    assert answer["records"][0]["statements"] == list(made[0].statements)


@pytest.mark.parametrize("path", ROUTES)
def test_index_goes_on_where_a_set_ended(up, path):
    whole = up.get(path, ASKED[path] if path == "/v1/edit" else {**ASKED[path], "count": 3})
    later = up.get(path, {**ASKED[path], "index": 2})
    assert later["records"][0]["index"] == 2
    same = np.abs(signals(later)[0] - signals(whole)[-1]).max()
    assert same <= 1.1e-3 if path != "/v1/edit" else same > 1e-3


def test_requests_that_share_a_batch_do_not_change_each_other(up):
    """Fails where a record is made of the recording of a neighbour, or held to what that one knows."""
    asked = []
    for seed in range(1, 5):
        sent = recording(seed=seed)
        asked += [(path, {**ASKED[path], "recording": sent, "seed": seed}) for path in ROUTES]
        asked.append(("/v1/ecgs", {"statements": ["NORM"], "steps": 4, "seed": seed}))
    alone = [signals(up.get(path, body)) for path, body in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda one: signals(up.get(*one)), asked))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1.1e-3)


def test_missing_samples_are_null(up):
    sent = recording()
    for row in sent["signal"]:
        row[20:40] = [None] * 20
    answer = up.get("/v1/complete", {"recording": sent, "steps": 4, "seed": 1})
    there = np.array([[value is not None for value in row] for row in sent["signal"]])
    expected = np.array(sent["signal"], dtype=float)
    np.testing.assert_allclose(signals(answer)[0][there], expected[there], atol=1.1e-3)
    status, said = up.refusal("/v1/vary", {"recording": sent})
    assert status == 422 and "missing samples" in said


def test_other_rates_leads_and_formats(up):
    sent = recording(seconds=0.7, fs_hz=500.0)
    sent["leads"], sent["signal"] = (
        sent["leads"][:2] + sent["leads"][6:],
        sent["signal"][:2] + sent["signal"][6:],
    )
    answer = up.get("/v1/vary", {"recording": sent, "steps": 2, "measure": True})
    assert signals(answer).shape == (1, 12, 64) and answer["records"][0]["measured"]
    status, headers, content = up.ask("/v1/vary", ASKED["/v1/vary"], accept="text/csv")
    assert status == 200 and headers["content-type"].startswith("text/csv") and content.startswith(b"time_s,")
    assert headers.get_filename() == "vary_seed_7_0.csv"


def without(name):
    return {key: value for key, value in recording().items() if key != name}


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("/v1/vary", {"recording": recording(seconds=0.3)}, "expected at least 0.64 s"),
        ("/v1/vary", {"recording": recording(leads=["I"] * 12)}, "has lead I twice"),
        ("/v1/vary", {"recording": recording(leads=["I", "II"])}, "signal has 12 rows and leads 2 names"),
        ("/v1/vary", {"recording": recording(signal=[[0.1] * 64] * 12)}, "flat"),
        ("/v1/vary", {"recording": recording(signal=[[0.1] * 64] * 11 + [[0.1] * 63])}, "63 to 64 samples"),
        ("/v1/vary", {"recording": recording(signal=[[1e9] * 64] * 12)}, "less than or equal to 1000"),
        ("/v1/vary", {"recording": recording(signal=[["x"] * 64] * 12)}, "valid number"),
        ("/v1/vary", {"recording": recording(signal=[[[]] * 64] * 12)}, "valid number"),
        (
            "/v1/vary",
            {"recording": recording(signal=[[0.1, 0.2] * 10_001], leads=["II"])},
            "at most 20000 items",
        ),
        ("/v1/vary", {"recording": {**recording(), "fs_hz": 1.0}}, "expected 50 Hz"),
        ("/v1/vary", {"recording": {**recording(), "fs_hz": -1.0}}, "greater than 0"),
        ("/v1/vary", {"recording": recording(unit="V")}, "recording.unit"),
        (
            "/v1/vary",
            {"recording": recording(file="/etc/passwd")},
            "unknown key 'recording.file'; the known keys are",
        ),
        ("/v1/vary", {"recording": without("fs_hz")}, "recording.fs_hz: Field required"),
        ("/v1/vary", {"strength": 0}, "strength is 0"),
        ("/v1/vary", {"count": 5}, "a request holds at most 4"),
        ("/v1/vary", {"known": ["I"]}, "unknown key 'known'; the known keys are"),
        ("/v1/vary", {"age": 50}, "does not take it"),
        ("/v1/vary", {"sampler": "fitted"}, "fitted"),
        ("/v1/edit", {"statements": ["NOBODY"]}, "unknown statement"),
        ("/v1/edit", {"statements": None}, "there is nothing to edit"),
        ("/v1/edit", {"count": 2}, "unknown key 'count'"),
        ("/v1/complete", {"known": ["X"]}, "known is X"),
        ("/v1/complete", {"known": None}, "nothing is missing"),
        ("/v1/complete", {"gaps": [[0.5, 0.2]]}, "a gap from 0.5 to 0.2 s"),
        ("/v1/complete", {"gaps": [[0.5]]}, "gaps.0"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(up, path, change, message):
    status, said = up.refusal(path, {**ASKED[path], **change})
    assert status == 422 and message in said and "\n" not in said and len(said) < 500, said


@pytest.mark.parametrize("path", ROUTES)
def test_numbers_that_are_none_are_refused(up, path):
    body = json.dumps(ASKED[path]).replace("0.1", "NaN", 1).encode()
    assert up.ask(path, body)[0] in (400, 422)
    assert up.ask(path, json.dumps(ASKED[path]).replace("0.1", "1e999", 1).encode())[0] in (400, 422)


def test_a_recording_may_be_larger_than_other_bodies_but_not_by_much(model):
    with service(model, recording_bytes=100_000, body_bytes=2000) as running:
        assert running.ask("/v1/vary", ASKED["/v1/vary"])[0] == 200
        assert len(json.dumps(ASKED["/v1/vary"])) > 2000
        assert running.refusal("/v1/ecgs", {"statements": ["N" * 3000]})[0] == 413
        large = {**ASKED["/v1/vary"], "recording": recording(seconds=20)}
        status, said = running.refusal("/v1/vary", large)
        assert status == 413 and "larger than 100000 bytes" in said
        head = "POST /v1/vary HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999999\r\n\r\n"
        assert b" 413 " in running.raw(head.encode())


def test_bodies_of_all_requests_together_are_limited(model):
    """Fails where the bodies of many clients are held at once, or where what was answered still counts."""
    size = len(json.dumps(ASKED["/v1/vary"]))
    with service(model, bodies_bytes=int(1.5 * size)) as running:
        for _ in range(3):
            assert running.ask("/v1/vary", ASKED["/v1/vary"])[0] == 200
        head = f"POST /v1/vary HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(running.raw, head.encode() + b" " * (size - 1), wait=3.0)
            time.sleep(0.3)  # until it is held
            seen = []
            while not held.done():
                seen.append(running.ask("/v1/vary", ASKED["/v1/vary"])[0])
        assert 429 in seen
        assert running.ask("/v1/vary", ASKED["/v1/vary"])[0] == 200


def test_no_file_is_written_or_read(up):
    """Fails where an upload is kept on the disk for a moment, or a name in it is opened."""
    for path in ROUTES:
        up.get(path, ASKED[path])  # modules that are imported late
    with no_disk():
        for path in ROUTES:
            up.get(path, {**ASKED[path], "measure": True})


@pytest.mark.parametrize("path", ROUTES)
def test_a_service_that_stops_takes_no_recordings(up, path):
    up.app.state.gate.draining = True
    try:
        assert up.refusal(path, ASKED[path])[0] == 503
    finally:
        up.app.state.gate.draining = False


def test_what_the_service_answers_it_takes(up):
    """A record in JSON, without what only this service says of it, is a recording."""
    made = up.get("/v1/ecgs", {"statements": ["NORM"], "steps": 4, "seed": 1})["records"][0]
    sent = {name: made[name] for name in Recording.model_fields}
    assert up.ask("/v1/vary", {"recording": sent, "steps": 4})[0] == 200


def test_examples_are_described(up):
    """The examples of each key are values that the key takes."""
    schemas = up.get("/openapi.json")["components"]["schemas"]
    for model in (VaryRequest, EditRequest, CompleteRequest):
        described = schemas[model.__name__]["properties"]
        given = {name: one["examples"][0] for name, one in described.items() if "examples" in one}
        assert {"strength", "known"} & set(given) and "seed" in given
        body = copy.deepcopy({**given, "recording": recording(), "files": None})
        model.model_validate(body)
    shown = {
        name: one["examples"][0]
        for name, one in schemas["Recording"]["properties"].items()
        if "examples" in one
    }
    assert set(shown) == {"fs_hz", "leads", "signal", "statements"}
    Recording.model_validate({**shown, "leads": shown["leads"][: len(shown["signal"])]})
