"""Where a step of the published network spends its time on a CPU, operator by operator. `python benchmarks/cpu_step.py`

Every operator counts with the mean of the faster half of its calls, so that other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import time

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sssd.benchmark import inputs, machine, median_seconds, random_published
from sssd.device import choose_precision
from sssd.engine.bound import bind

REPEATS = 4
SHOWN = 24


class Timed(TorchDispatchMode):
    """Keeps the times of every operator, by its name and the shapes and types of its inputs."""

    def __init__(self, times: dict[str, list[float]]) -> None:
        super().__init__()
        self.times = times

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        result = operator(*args, **(kwargs or {}))
        seconds = time.perf_counter() - start
        tensors = [f"{tuple(a.shape)} {str(a.dtype)[6:]}" for a in args if isinstance(a, torch.Tensor)]
        self.times[f"{operator} {', '.join(tensors)}"].append(seconds)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("auto", "float32", "bf16"), default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device("cpu")
    dtype = choose_precision(options.precision, device)
    print(f"{datetime.date.today()}, {machine(device)}, torch {torch.__version__}, {dtype}")
    model = random_published(device)
    x, cond, _ = inputs(model, 1)
    predict = bind(model.model, cond, [100], length=x.shape[-1], dtype=dtype)
    print(f"a step: {1e3 * median_seconds(lambda: predict(x, 0), device, 30):.1f} ms")
    times: dict[str, list[float]] = collections.defaultdict(list)
    for _ in range(REPEATS):
        with Timed(times):
            predict(x, 0)
    rows = []
    for name, found in times.items():
        faster = sorted(found)[: -(-len(found) // 2)]
        calls = len(found) / REPEATS
        rows.append((calls * sum(faster) / len(faster), calls, name))
    whole = sum(row[0] for row in rows)
    print(f"its operators: {whole * 1e3:.1f} ms")
    for seconds, calls, name in sorted(rows, reverse=True)[:SHOWN]:
        print(
            f"{1e3 * seconds:8.2f} ms {seconds / whole:6.1%}  {calls:4.0f} x {1e3 * seconds / calls:6.3f}  {name}"
        )


if __name__ == "__main__":
    main()
