"""The service on a local Ray cluster, below a route prefix and with an API key."""

import io
import json
import os
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi")

from sssd.presets import OF_S4
from sssd.server.security import digest
from tests.service import Service, eventually
from tests.test_wrapper import LENGTH, tiny

KEY, PREFIX = "a key", "/ecg"
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    ray = pytest.importorskip("ray")
    from ray import serve

    from sssd.server.cluster import NAME, Options, build

    folder = tmp_path_factory.mktemp("ray")
    trainset = {"segment_length": LENGTH, "patient": True}
    model = tiny(network={"label_embed_classes": 75}, trainset_config=trainset)
    checkpoint = model.save_checkpoint(folder / "tiny.safetensors")
    settings = folder / "server.json"
    settings.write_text("{}")
    with pytest.raises(ValueError, match="no API key"):
        build(Options(settings=str(settings)))
    settings.write_text(json.dumps({"batch_records": 2, "job_records": 100, "key_sha256": [digest(KEY)]}))
    path = os.pathsep.join(os.path.abspath(p) for p in ["src", *sys.path])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": 8765})
        options = Options(
            settings=str(settings), checkpoint=str(checkpoint), replicas_max=2, requests=2, scale_up_s=0.5
        )  # fmt: skip
        serve.run(build(options), name=NAME, route_prefix=PREFIX)
        running = Service(None, 8765, PREFIX, authorization=f"Bearer {KEY}")
        assert eventually(lambda: running.ask("/readyz")[0] == 200, 120)
        yield running, model, lambda: serve.status().applications[NAME].deployments["Service"].replica_states
    finally:
        serve.shutdown()
        ray.shutdown()


def test_the_key_is_asked_for(cluster):
    """Fails when a route below the prefix answers without the key, or with a wrong one."""
    up, _, _ = cluster
    for authorization in ("", "Bearer another key"):
        for path, body in (("/v1/labels", None), ("/metrics", None), ("/v1/ecgs", {"statements": ["NORM"]})):
            assert up.ask(path, body, authorization=authorization)[0] == 401
    assert up.ask("/healthz", authorization="")[0] == up.ask("/", authorization="")[0] == 200
    assert b"sssd_requests" in up.ask("/metrics")[2]


def test_the_same_records(cluster):
    """Fails when a replica gives other records, or other errors, than a server on one machine."""
    up, model, _ = cluster
    asks = [{"statements": ["AFIB"], "seed": i, "steps": 5 + i % 2, "age": 30.0 + i} for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda ask: up.get("/v1/ecgs", ask), asks))
    for ask, answer in zip(asks, answers, strict=True):
        alone = model.generate_ecgs(
            "AFIB", seed=ask["seed"], steps=ask["steps"], age=ask["age"], precision="float32"
        )
        np.testing.assert_allclose(answer["records"][0]["signal"], alone[0].signal, atol=2e-3)
    assert up.refusal("/v1/ecgs", {"statements": ["NORMALISH"]})[0] == 422
    assert up.refusal("/v1/ecgs", {"statements": ["NORM"], "quality": "draft"})[0] == 422


def test_a_stream(cluster):
    """Fails when a stream does not pass through the cluster's proxy."""
    up, _, _ = cluster
    body = json.dumps({"statements": ["AFIB"], "seed": 1, "steps": 5}).encode()
    headers = {"content-type": "application/json", **up.headers}
    request = urllib.request.Request(up.url + "/v1/ecgs/stream", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    assert text.count("event: step") == 5 and text.count("event: record") == 1


def test_a_job_from_any_replica(cluster):
    """Fails when only the replica that started a job knows it, or the job's pieces come back in another order."""
    up, model, replicas = cluster
    ask = {"statements": ["NORM"], "seed": 3, "count": 30, "quality": "standard", "sex": "female"}

    def load(_):
        until = time.monotonic() + 60
        while time.monotonic() < until and replicas().get("RUNNING", 0) < 2:
            up.ask("/v1/ecgs", {"statements": ["NORM"], "count": 8, "sampler": "ddpm"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load, range(8)))
    assert replicas().get("RUNNING", 0) == 2  # a replica was added under the load
    job = up.get("/v1/jobs", ask)
    assert eventually(lambda: up.get(f"/v1/jobs/{job['id']}")["state"] == "done", 60)
    _, _, content = up.ask(f"/v1/jobs/{job['id']}/result", accept="application/x-npz")
    with np.load(io.BytesIO(content)) as file:
        made = file["signal_uv"]
    how = {"sampler": OF_S4["standard"].sampler, "steps": min(20, OF_S4["standard"].steps)}
    alone = model.generate_ecgs("NORM", num_samples=30, seed=3, sex="female", precision="float32", **how)
    np.testing.assert_allclose(made, np.stack([ecg.signal for ecg in alone]) * 1000, atol=2)
    status, headers, _ = up.ask("/v1/jobs", {**ask, "count": 100})
    assert status == 202 and headers["location"].startswith(f"{PREFIX}/v1/jobs/")
    path = headers["location"].removeprefix(PREFIX)
    assert up.get(path, method="DELETE")["state"] == "cancelled"
    assert up.refusal(path)[0] == 404
