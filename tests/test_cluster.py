"""Corpora on a Ray cluster of several nodes: the bits of the local run, whatever dies on the way."""

import functools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sssd.cli import main
from sssd.corpora import cluster, manifest, run
from sssd.corpora import workers as ray_workers
from sssd.corpora.plan import like_ptbxl
from sssd.corpora.verify import verify
from tests.corpora import contents, corpus_of, make, slow_stub
from tests.test_cli import checkpoint  # noqa: F401  (a fixture)
from tests.test_corpus_cli import COMMAND, patients  # noqa: F401  (a fixture)

pytest.importorskip("torch")
ray_only = pytest.mark.ray
RECORDS, HOW = 600, {"batch_size": 8, "shard_size": 20}  # 30 shards, every second one begins inside a batch


@pytest.fixture(scope="module")
def nodes():
    """A cluster of three nodes of two cores each, and how to add one."""
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=2)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    yield made
    ray.shutdown()
    made.shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every file of the undisturbed local run."""
    folder = tmp_path_factory.mktemp("whole") / "c"
    make(folder, plan=like_ptbxl(RECORDS), **HOW)
    return contents(folder)


@pytest.fixture
def pids(tmp_path):
    (tmp_path / "pids").mkdir()
    return tmp_path / "pids"


def create(folder, begin, **options):
    plan = like_ptbxl(RECORDS)
    run.create(
        folder,
        corpus_of(plan, **HOW),
        plan,
        ray_workers.engine(begin, cpus=1, notify=lambda _: None, **options),
    )


@ray_only
@pytest.mark.parametrize("workers", [1, 4])
def test_workers_make_what_one_process_makes(nodes, whole, tmp_path, pids, workers):
    """Fails when a worker begins batches where its shards begin, or the last one is not filled up."""
    create(tmp_path / "a", functools.partial(slow_stub, pids, 0), workers=workers)
    assert contents(tmp_path / "a") == whole
    assert len(list(pids.iterdir())) == workers


@ray_only
def test_workers_that_are_killed(nodes, whole, tmp_path, pids):
    """Fails when the shard of a worker that died is lost, given out twice, or left half-written: 20 SIGKILLs."""
    kills, pick, over = [], random.Random(1), threading.Event()

    def kill():
        while len(kills) < 20 and not over.wait(pick.uniform(0.1, 0.6)):
            alive = [int(path.name) for path in pids.iterdir() if int(path.name) not in kills]
            if alive:
                kills.append(pick.choice(alive))
                os.kill(kills[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        create(tmp_path / "a", functools.partial(slow_stub, pids, 0.3), workers=4)
    finally:
        over.set()
        killer.join()
    assert len(kills) == 20, "the run was over first"
    run.clear(tmp_path / "a")
    assert contents(tmp_path / "a") == whole and verify(tmp_path / "a") == []


@ray_only
def test_a_node_that_is_killed(nodes, whole, tmp_path, pids):
    """Fails when the run waits for a node that is gone. Another one that comes is used."""
    import ray

    doomed = nodes.add_node(num_cpus=2)
    nodes.wait_for_nodes()
    with ThreadPoolExecutor(1) as thread:
        making = thread.submit(create, tmp_path / "a", functools.partial(slow_stub, pids, 0.5, workers=8))
        while len(list(pids.iterdir())) < 7:
            assert not making.done(), making.result()
            time.sleep(0.1)
        time.sleep(1)
        nodes.remove_node(doomed, allow_graceful=False)
        nodes.add_node(num_cpus=2)
        making.result()
    run.clear(tmp_path / "a")
    assert contents(tmp_path / "a") == whole
    assert len(list(pids.iterdir())) > 7, "nobody took the place of those that died"
    given_up = time.monotonic() + 60
    while sum(node["Alive"] for node in ray.nodes()) != 4 and time.monotonic() < given_up:
        time.sleep(0.1)  # Ray notices a node that is gone by its silence
    assert sum(node["Alive"] for node in ray.nodes()) == 4


@ray_only
def test_errors_on_a_worker_are_reported(nodes, tmp_path, pids):
    """Fails when a disk that is full on a worker, or a wrong model, ends in a traceback or in endless repetition."""

    def full(corpus):
        def generate(columns):
            raise OSError(28, "No space left on device")

        return generate, []

    with pytest.raises(OSError, match="no space left .*corpus resume"):
        create(tmp_path / "a", full)

    def dies(corpus):
        os._exit(1)

    with pytest.raises(RuntimeError, match="workers died 11 times without finishing a shard"):
        run.resume(tmp_path / "a", ray_workers.engine(dies, cpus=1, workers=1, notify=lambda _: None))
    run.resume(
        tmp_path / "a",
        ray_workers.engine(functools.partial(slow_stub, pids, 0), cpus=1, notify=lambda _: None),
    )
    assert verify(tmp_path / "a") == []
    with pytest.raises(ValueError, match="no machine of the cluster has the 9 cores"):
        ray_workers.room(9, 0)
    with pytest.raises(ValueError, match="no machine of the cluster has the 1 cores and 1 GPUs"):
        ray_workers.room(1, 1)


@ray_only
@pytest.mark.parametrize("killed", [False, True])
def test_the_command_line(nodes, patients, tmp_path, killed):  # noqa: F811
    """Fails when a corpus made by a cluster is not that of one process, file by file, or its driver was killed."""
    table = tmp_path / "wanted.csv"
    table.write_text("labels,age,sex\nAFIB,60,1\nNORM+SR,,0\nLVH,30,\n")
    how = ["create", "--labels-from", table, "-n", "100", "--checkpoint", patients, "--seed", "7",
           "--sampler", "sde-dpmpp-2m", "--steps", "10", "--shard-size", "20", "--batch-size", "16", "--threads", "1",
           "--device", "cpu"]  # fmt: skip
    on_ray = ["--engine", "ray", "--address", nodes.address, "--workers", "3"]

    def start(*arguments):
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait(process):
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0 and err == "", err
        return out

    wait(start(*how, "--out", tmp_path / "whole"))
    driver = start(*how, *on_ray, "--out", tmp_path / "a")
    if killed:
        while not list((tmp_path / "a" / "shards").glob("00*.json")):
            assert driver.poll() is None
            time.sleep(0.05)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
        out = wait(start("resume", tmp_path / "a", "--checkpoint", patients, *on_ray))
        assert "shards" in out and "made 15 of" not in out, out
    else:
        wait(driver)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_cluster_that_is_not_there(checkpoint, tmp_path):  # noqa: F811
    pytest.importorskip("ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    done = subprocess.run(
        [*COMMAND, "create", "--like-ptbxl", "3", "--checkpoint", checkpoint, "--engine", "ray", "--address", address,
         "--out", tmp_path / "a"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "no Ray cluster answers" in done.stderr and not (tmp_path / "a").exists()


def test_a_folder_that_is_not_shared(tmp_path):
    """Fails when a worker writes into a folder of its own machine."""
    corpus = make(tmp_path / "a")
    ray_workers.check_shared(tmp_path / "a", corpus)
    with pytest.raises(
        FileNotFoundError, match="does not see the corpus in .* all machines of the cluster share"
    ):
        ray_workers.check_shared(tmp_path / "b", corpus)
    (tmp_path / "a" / manifest.FILE).unlink()
    ray_workers.check_shared(tmp_path / "a", corpus)
    other = make(tmp_path / "c", seed=8)
    with pytest.raises(FileNotFoundError, match="does not see"):
        ray_workers.check_shared(tmp_path / "a", other)


def test_without_ray(capsys, monkeypatch, tmp_path):
    how = ["corpus", "create", "--like-ptbxl", "3", "--out", str(tmp_path / "a")]
    assert main([*how, "--workers", "2"]) == 2
    assert "--workers is for --engine ray" in capsys.readouterr().err
    monkeypatch.setattr(cluster, "find_spec", lambda name: name)
    assert main([*how, "--engine", "ray", "--address", "ray://host:10001"]) == 2
    assert "has to run on a machine of the cluster" in capsys.readouterr().err
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    assert main([*how, "--engine", "ray"]) == 2
    assert "pip install 'sssd-ecg[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_the_model_goes_to_the_workers(checkpoint):  # noqa: F811
    """Fails when weights, configuration or convention are lost on the way."""
    from sssd import SSSDECG

    model = SSSDECG.from_pretrained(checkpoint, cauchy="half_spectrum")
    there = cluster.unpacked(cluster.packed(model), "cpu")
    assert there.model_hash == model.model_hash and there.config == model.config
    assert there.model.cauchy == "half_spectrum"
