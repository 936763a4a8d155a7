"""One network evaluation at batch 1: the published size with its S4 kernels cached against computed in each step, and
the built-in model. Prints one table; `python benchmarks/step.py --help`.

"Computed in each step" is the same network with nothing kept between calls, which is what SSSD-ECG does; the public
SSSD-ECG code itself can be measured beside it with --upstream PATH (a clone of AI4HealthUOL/SSSD-ECG).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch

from sssd.config.schema import PUBLISHED, read_config
from sssd.engine.bound import bind
from sssd.factory import build_network
from sssd.model_wrapper import SSSDECG
from sssd.models.denoiser import Denoiser, biases, denoise, effective_weights


def median_seconds(function: Callable[[], object], repeats: int) -> float:
    """Median wall time after one warm-up call."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@torch.no_grad()
def uncached(net: Denoiser, x: torch.Tensor, cond: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    return denoise(effective_weights(net, x.shape[-1]), x, biases(net, cond, steps))


def upstream_network(clone: Path, config: dict[str, object]) -> torch.nn.Module:
    """SSSD-ECG's own network, imported from a clone; what it imports beside PyTorch must be installed."""
    sys.path.insert(0, str(clone / "src" / "sssd"))
    torch.Tensor.cuda = lambda self, *a, **k: self  # type: ignore[method-assign, assignment]  # it knows CUDA only
    rank = types.ModuleType("pytorch_lightning.utilities")
    rank.rank_zero_only = lambda f: f  # type: ignore[attr-defined]
    sys.modules.setdefault("pytorch_lightning", types.ModuleType("pytorch_lightning"))
    sys.modules.setdefault("pytorch_lightning.utilities", rank)
    from models.SSSD_ECG import SSSD_ECG  # type: ignore[import-not-found]

    return SSSD_ECG(**config).eval()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--upstream", type=Path, help="a clone of AI4HealthUOL/SSSD-ECG, measured in the same run"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = read_config(PUBLISHED)
    torch.manual_seed(0)
    x, cond, steps = torch.randn(1, 8, 1000), (torch.rand(1, 71) < 0.04).float(), torch.full((1, 1), 100.0)
    rows: list[tuple[str, float]] = []
    if options.upstream:
        values = config.wavenet_config.model_dump(exclude={"patch"})
        theirs = upstream_network(options.upstream, values)
        with torch.no_grad():
            rows.append(("SSSD-ECG as published", median_seconds(lambda: theirs((x, cond, steps)), 1)))
        del theirs
    net = build_network(config).eval()
    rows.append(
        ("published size, kernels in each step", median_seconds(lambda: uncached(net, x, cond, steps), 2))
    )
    bound = bind(net, cond, [100], length=1000)
    rows.append(("published size, bound", median_seconds(lambda: bound(x, 0), options.repeats)))
    small = SSSDECG.from_pretrained(device="cpu")
    bound_small = bind(small.model, cond, [100], length=1000)
    rows.append(("built-in model, bound", median_seconds(lambda: bound_small(x, 0), 10 * options.repeats)))

    print(f"one step of one record, float32, {torch.get_num_threads()} threads, torch {torch.__version__}")
    first = rows[0][1]
    for name, seconds in rows:
        print(f"{name:40s} {seconds * 1e3:10.1f} ms   {first / seconds:7.1f} x")


if __name__ == "__main__":
    main()
