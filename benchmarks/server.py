"""Compare the service under load with the same model that generates the same number of records offline.

    python benchmarks/server.py                                     # 64 clients for 60 s, 10 steps
    python benchmarks/server.py --clients 8 --seconds 20 --steps 20

Each client asks for one record with a seed of its own, and asks again when it has the answer. The service runs in its
own process on the loopback interface, with default settings. Offline generation is measured before and after it, in
float32 like the service, in one batch and in batches of 8, which the service uses on a CPU. Throughput is the number of
records of all requests that began within the given time, divided by the time until the last of them was answered.
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


def offline(records: int, steps: int, precision: str = "float32") -> tuple[float, float, float]:
    """Records per second in one batch and in batches of 8, and per second of a core in one batch; in a new process."""
    code = (
        "import sys, time; from sssd.cli.process import configure_process; configure_process();"
        "from sssd import SSSDECG;"
        "n, s = map(int, sys.argv[1:3]); m = SSSDECG.from_pretrained();"
        "go = lambda k, b: m.generate('AFIB', num_samples=k, use_ddim=True, ddim_timesteps=s, seed=1, batch_size=b, "
        "precision=sys.argv[3]);"
        "go(2, 2); c = time.process_time(); t = time.perf_counter(); go(n, n); u = time.perf_counter();"
        "c = time.process_time() - c; go(n, 8); v = time.perf_counter(); print(n / (u - t), n / (v - u), n / c)"
    )
    command = [sys.executable, "-c", code, str(records), str(steps), precision]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    whole, eights, by_core = map(float, done.stdout.split())
    return whole, eights, by_core


def memory_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def core_s(pid: int) -> float:
    """CPU time of a process in seconds."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def client(
    port: int, number: int, steps: int, until: float, answers: list[tuple[int, float, int, int]]
) -> None:
    """Ask again and again until the time is over, and append (client, seconds, status, bytes) for each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    i = 0
    while time.perf_counter() < until:
        body = json.dumps({"statements": ["AFIB"], "steps": steps, "seed": number * 10**6 + i})
        began = time.perf_counter()
        connection.request("POST", "/v1/ecgs", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        answers.append((number, time.perf_counter() - began, answer.status, len(content)))
        if answer.status == 429:
            time.sleep(float(answer.headers["Retry-After"]))
        i += 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    before = offline(given.clients, given.steps)
    command = "import sys; from sssd.cli import main; sys.exit(main())"
    server = subprocess.Popen(
        [sys.executable, "-c", command, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        found = re.search(r":(\d+)", server.stdout.readline())
        assert found
        port = int(found[1])
        answers: list[tuple[int, float, int, int]] = []
        client(port, 10**6, given.steps, time.perf_counter() + 2.0, [])
        began, cores_before = time.perf_counter(), core_s(server.pid)
        threads = [
            threading.Thread(target=client, args=(port, i, given.steps, began + given.seconds, answers))
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
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    after = offline(given.clients, given.steps)
    fastest = offline(given.clients, given.steps, "auto")

    values = {m[1]: float(m[2]) for m in re.finditer(r"^(sssd_\w+) ([\d.e+]+)$", metrics, re.MULTILINE)}
    seconds = sorted(s for _, s, status, _ in answers if status == 200)
    counts = [sum(1 for n, _, status, _ in answers if n == i and status == 200) for i in range(given.clients)]
    means = [statistics.mean([s for n, s, _, _ in answers if n == i] or [0.0]) for i in range(given.clients)]
    statuses = {
        status: sum(1 for a in answers if a[2] == status) for status in sorted({a[2] for a in answers})
    }
    early = statistics.median(m for t, m in memory if took / 4 <= t < took / 2)
    late = statistics.median(m for t, m in memory if t >= 3 * took / 4)
    served = len(seconds) / took
    whole, eights, by_core = (statistics.mean(pair) for pair in zip(before, after, strict=True))
    print(f"{given.clients} clients, {given.seconds:g} s, DDIM of {given.steps} steps, one record a request")
    print(f"{os.cpu_count()} CPU cores, {datetime.date.today()}: {' '.join(['python', *sys.argv])}")
    print(
        f"offline, one batch of {given.clients}: {before[0]:.2f} and {after[0]:.2f} records/s (before, after)"
    )
    print(f"offline, batches of 8: {before[1]:.2f} and {after[1]:.2f} records/s")
    print(
        f"offline, precision auto (bf16 if available): {fastest[0]:.2f} and {fastest[1]:.2f} records/s (one batch, 8)"
    )
    print(
        f"service: {served:.2f} records/s, {100 * served / whole:.0f} % of offline in one batch, "
        f"{100 * served / eights:.0f} % of batches of 8; answers by status {statuses}"
    )
    print(
        f"per second of a core: {len(seconds) / cores:.2f} records, {100 * len(seconds) / cores / by_core:.0f} % "
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
    print(f"exit code on SIGTERM: {code}")
    goals = {
        "no 5xx": all(status < 500 for status in statuses),
        "throughput at least 85 % of offline in one batch": served >= 0.85 * whole,
        "clients' answers differ by one at most": max(counts) - min(counts) <= 1,
        "memory within 5 %": late <= 1.05 * early,
    }
    for goal, met in goals.items():
        print(f"goal, {goal}: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
