"""Compare the service under load with the same model that generates the same number of records offline.

    python benchmarks/server.py                                     # 64 clients for 60 s, 10 steps
    python benchmarks/server.py --clients 8 --seconds 20 --steps 20
    python benchmarks/server.py --qualities standard best           # mixed, so batches of two kinds in one process
    python benchmarks/server.py --qualities standard --jobs 3       # and then drafts, while three large jobs run

Each client asks for one record with a seed of its own, and asks again when it has the answer. The service runs in its
own process on the loopback interface, with default settings. Offline generation is measured before and after it, in
the same precision, in one batch and in batches of 8 for each thread, which the service uses on a CPU. Of several
qualities, as many records of each. Throughput is the number of records of all requests that began within the given
time, divided by the time until the last of them was answered.
Waiting times are those of requests that began when each client had been answered once, as the queue is short before.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from sssd.device import choose_device

OFFLINE = """
import sys, time
from sssd.cli.process import configure_process
configure_process()
import torch
from sssd import SSSDECG
from sssd.benchmark import of_quality
from sssd.presets import PRESETS, Preset
records, steps, precision, device, *qualities = sys.argv[1:]
presets = [PRESETS[name] for name in qualities] or [Preset("ddim", int(steps), 0.0)]
model = SSSDECG.from_pretrained(device=device or None)
share = max(1, int(records) // len(presets))
def go(n, size):
    start = time.perf_counter(), time.process_time()
    for preset in presets:
        for i in range(0, n, size):
            of_quality(model, preset, min(size, n - i), precision)
    return time.perf_counter() - start[0], time.process_time() - start[1]
go(share, share)
size = 8 * torch.get_num_threads()
(whole, cores), (parts, _) = go(share, share), go(share, size)
made = share * len(presets)
print(made / whole, made / parts, made / cores, size)
"""


def offline(
    records: int, steps: int, precision: str, device: str = "", qualities: Sequence[str] = ()
) -> tuple[float, float, float, int]:
    """Records per second in one batch and in smaller ones, and per second of a core in one batch; in a new process.

    The last number is the size of the smaller batches.
    """
    command = [sys.executable, "-c", OFFLINE, str(records), str(steps), precision, device, *qualities]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"generating offline failed: {done.stderr.strip()}")
    whole, parts, by_core, size = done.stdout.split()
    return float(whole), float(parts), float(by_core), int(size)


def memory_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def core_s(pid: int) -> float:
    """CPU time of a process in seconds."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def client(
    port: int,
    number: int,
    asked: Sequence[dict[str, object]],
    until: float,
    answers: list[tuple[int, float, int, int]],
) -> None:
    """Ask again and again until the time is over, and append (client, seconds, status, bytes) for each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    i = 0
    while time.perf_counter() < until:
        how = asked[(number + i) % len(asked)]
        body = json.dumps({"statements": ["AFIB"], **how, "seed": number * 10**6 + i})
        began = time.perf_counter()
        connection.request("POST", "/v1/ecgs", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        answers.append((number, time.perf_counter() - began, answer.status, len(content)))
        if answer.status == 429:
            time.sleep(float(answer.headers["Retry-After"]))
        i += 1


def drafts_beside_jobs(port: int, jobs: int, seconds: float) -> list[float]:
    """Start jobs of 1024 records of the best quality; return the seconds that drafts take then, one after another."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def ask(method: str, path: str, body: dict[str, object] | None = None) -> bytes:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        return content

    large = {"statements": ["AFIB"], "quality": "best", "count": 1024}
    names = [json.loads(ask("POST", "/v1/jobs", {**large, "seed": i}))["id"] for i in range(jobs)]
    time.sleep(3.0)
    found, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        ask("POST", "/v1/ecgs", {"statements": ["NORM"], "quality": "draft", "seed": len(found)})
        found.append(time.perf_counter() - began)
    states = [json.loads(ask("GET", f"/v1/jobs/{name}")) for name in names]
    assert all(state["state"] in ("waiting", "running") for state in states), states
    for name in names:
        ask("DELETE", f"/v1/jobs/{name}")
    return sorted(found)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--qualities", nargs="*", default=[], help="in place of steps of DDIM")
    parser.add_argument("--device", default="", help="cuda or cpu; by default the fastest one")
    parser.add_argument(
        "--jobs", type=int, default=0, help="how many large jobs run beside drafts, at the end"
    )
    given = parser.parse_args(arguments)
    gpu = choose_device(given.device or None).type == "cuda"
    precision = "auto" if gpu else "float32"
    how = (given.clients, given.steps, precision, given.device, given.qualities)
    before = offline(*how)
    asked = [{"quality": name} for name in given.qualities] or [{"steps": given.steps}]
    command = "import sys; from sssd.cli import main; sys.exit(main())"
    device = ["--device", given.device] if given.device else []
    server = subprocess.Popen(
        [sys.executable, "-c", command, "serve", "--port", "0", *device], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        found = re.search(r":(\d+)", server.stdout.readline())
        assert found
        port = int(found[1])
        answers: list[tuple[int, float, int, int]] = []
        client(port, 10**6, asked, time.perf_counter() + 2.0, [])
        began, cores_before = time.perf_counter(), core_s(server.pid)
        threads = [
            threading.Thread(target=client, args=(port, i, asked, began + given.seconds, answers))
            for i in range(given.clients)
        ]
        for thread in threads:
            thread.start()
        memory = []
        while any(thread.is_alive() for thread in threads):
            memory.append((time.perf_counter() - began, memory_mb(server.pid)))
            time.sleep(0.5)
        took, cores = time.perf_counter() - began, core_s(server.pid) - cores_before
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read().decode()
        drafts = drafts_beside_jobs(port, given.jobs, given.seconds / 3) if given.jobs else []
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    after = offline(*how)

    by_client = [[one for one in answers if one[0] == i and one[2] == 200] for i in range(given.clients)]
    waits = [[s for _, s, _, _ in mine[1:] or mine] for mine in by_client]
    values = {m[1]: float(m[2]) for m in re.finditer(r"^(sssd_\w+) ([\d.e+]+)$", metrics, re.MULTILINE)}
    seconds, records = sorted(s for mine in waits for s in mine), sum(map(len, by_client))
    counts, means = [len(mine) for mine in by_client], [statistics.mean(mine or [0.0]) for mine in waits]
    statuses = {
        status: sum(1 for a in answers if a[2] == status) for status in sorted({a[2] for a in answers})
    }
    everything = [m for _, m in memory]  # in place of a quarter in which nothing was read
    early = statistics.median([m for t, m in memory if took / 4 <= t < took / 2] or everything)
    late = statistics.median([m for t, m in memory if t >= 3 * took / 4] or everything)
    served = records / took
    whole, parts, by_core, size = (statistics.mean(pair) for pair in zip(before, after, strict=True))
    what = " and ".join(given.qualities) or f"DDIM of {given.steps} steps"
    print(
        f"{given.clients} clients, {given.seconds:g} s, {what}, one record a request, {'GPU' if gpu else 'CPU'}"
    )
    print(f"{os.cpu_count()} CPU cores, {datetime.date.today()}: {' '.join(['python', *sys.argv])}")
    print(
        f"offline, one batch of {given.clients}: {before[0]:.2f} and {after[0]:.2f} records/s (before, after)"
    )
    print(f"offline, batches of {size:.0f}: {before[1]:.2f} and {after[1]:.2f} records/s")
    print(
        f"service: {served:.2f} records/s, {100 * served / whole:.0f} % of offline in one batch, "
        f"{100 * served / parts:.0f} % of batches of {size:.0f}; answers by status {statuses}"
    )
    print(
        f"per second of a core: {records / cores:.2f} records, {100 * records / cores / by_core:.0f} % "
        "of offline in one batch"
    )
    print(
        f"records in a batch: {values['sssd_batch_records_sum'] / values['sssd_batch_records_count']:.1f} on average"
    )
    middle = seconds[len(seconds) // 2], seconds[int(0.95 * len(seconds))]
    print(
        f"waiting time: shortest {seconds[0]:.2f} s, median {middle[0]:.2f}, 95th percentile {middle[1]:.2f}, "
        f"longest {seconds[-1]:.2f}"
    )
    print(
        f"by client: {min(counts)} to {max(counts)} answers, mean waiting time {min(means):.2f} to {max(means):.2f} s"
    )
    print(
        f"memory: {early:.0f} MB in the second quarter, {late:.0f} MB in the last, "
        f"at most {max(m for _, m in memory):.0f} MB"
    )
    if drafts:
        print(
            f"{len(drafts)} drafts beside {given.jobs} jobs of 1024 best records: median "
            f"{statistics.median(drafts):.2f} s, longest {drafts[-1]:.2f}"
        )
    print(f"exit code on SIGTERM: {code}")
    goals = {
        "no 5xx": all(status < 500 for status in statuses),
        "throughput at least 92 % of offline in one batch": served >= 0.92 * whole,
        "95th percentile at most 1.3 times the median": middle[1] <= 1.3 * middle[0],
        "mean waiting times of clients within 20 %": max(means) <= 1.2 * min(means),
        "memory within 5 %": late <= 1.05 * early,
        **({"drafts within 1 s beside jobs": drafts[-1] <= 1.0} if drafts else {}),
    }
    for goal, met in goals.items():
        print(f"goal, {goal}: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
