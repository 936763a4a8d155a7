"""The memory of a service stays as it is, whatever is asked of it."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from tests.page import Service
from tests.test_wrapper import tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

WARM, REQUESTS = 2000, 5000
MOST_MB = 12.0  # 2.5 kB for each request; a record that is kept takes 32 kB


def memory_mb(process) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def test_memory_is_flat_after_5000_requests(tmp_path):
    """Fails when a record, a session, a request or a message is kept (seen: the answers of requests in a list)."""
    service = Service("--checkpoint", str(tiny().save_checkpoint(tmp_path / "tiny.safetensors")))

    def ask(number: int) -> int:
        """Most requests are for a record, in each form; some are wrong, for a job, or for other addresses."""
        path, kind = "v1/ecgs", number % 40
        body = {"statements": ["AFIB"], "sampler": "ddim", "steps": 2, "seed": number}
        accept = "application/json"
        if kind == 0:
            accept = "image/svg+xml"
        elif kind < 4:
            accept = ("application/zip", "application/x-npz", "text/csv")[kind - 1]
        elif kind < 8:
            path, accept = "v1/ecgs/stream?signal=delta", "text/event-stream"
        elif kind < 10:
            body["statements"] = [f"NONSENSE {number}"]
        elif kind == 10:
            path = "v1/jobs"
        elif kind < 14:
            path, body = (
                (f"nowhere/{number}", "metrics", f"v1/ecgs/AFIB.json?seed={number}&steps=2")[kind - 11],
                None,
            )
        request = urllib.request.Request(
            service.url + path,
            json.dumps(body).encode() if body else None,
            {"Content-Type": "application/json", "Accept": accept},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content, status = answer.read(), answer.status
        except urllib.error.HTTPError as error:
            return error.code
        if kind == 10:  # a job whose records are dropped
            address = service.url + f"v1/jobs/{json.loads(content)['id']}"
            urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=60).close()
        return status

    try:
        with ThreadPoolExecutor(4) as clients:
            answers = Counter(clients.map(ask, range(WARM)))
            time.sleep(1)
            before = memory_mb(service.process.pid)
            answers += Counter(clients.map(ask, range(WARM, WARM + REQUESTS)))
            time.sleep(1)
            after = memory_mb(service.process.pid)
    finally:
        service.stop()
    assert set(answers) == {200, 202, 404, 422} and answers[200] > 0.8 * (WARM + REQUESTS), answers
    assert after - before < MOST_MB, (before, after)
