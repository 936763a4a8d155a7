"""What keeping several CUDA graphs is worth where batch sizes alternate, as in the service.

    python benchmarks/graphs.py [--checkpoint NAME_OR_FILE] [--batches 1 2] [--steps 1 4 20] [--rounds 20]

For each number of steps the same calls of `SSSDECG.generate` are timed three ways, in turn, in one process:

    one size     all batches have the first size: no graph has to be recorded again
    kept         the sizes alternate, and the graphs of all of them are kept
    one kept     the sizes alternate, and only the last graph is kept: each call records anew

The figures are medians over the rounds of the seconds for one call. The last column is "one kept" over "kept".
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch

from sssd import SSSDECG
from sssd.engine import bound


def seconds(model: SSSDECG, sizes: Sequence[int], steps: int, rounds: int, sampler: str) -> float:
    """Median wall time of one call, over `rounds` passes through the sizes, after a first pass."""
    times = []
    for turn in range(rounds + 1):
        for records in sizes:
            torch.cuda.synchronize()
            start = time.perf_counter()
            model.generate(
                "NORM",
                num_samples=records,
                sampler=sampler,
                steps=steps,
                seed=turn,
                exact=True,
                batch_size=records,
                progress=False,
            )
            torch.cuda.synchronize()
            if turn:
                times.append(time.perf_counter() - start)
    return statistics.median(times)


def with_graphs(model: SSSDECG, count: int) -> None:
    """Forget all graphs, and keep so many from here on."""
    bound.GRAPHS = count
    model.model._cache.clear()
    torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description="Time calls whose batch sizes alternate.")
    parser.add_argument("--checkpoint", help="the name of a model that ships, or a file")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 4, 20])
    parser.add_argument("--sampler", default="ddim")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("this needs a CUDA device: only there are graphs recorded")
    model, kept = SSSDECG.from_pretrained(options.checkpoint, device="cuda"), bound.GRAPHS
    bound.FEW_RECORDS = 0  # graphs of one evaluation, not of all steps
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, batches {options.batches}")
    print(f"{'steps':>5}  {'one size':>9}  {'kept':>9}  {'one kept':>9}  ratio")
    same = options.batches[:1] * len(options.batches)
    for steps in options.steps:
        row = []
        for count, sizes in ((kept, same), (kept, options.batches), (1, options.batches)):
            with_graphs(model, count)
            row.append(seconds(model, sizes, steps, options.rounds, options.sampler))
        figures = "  ".join(f"{1e3 * value:6.2f} ms" for value in row)
        print(f"{steps:5d}  {figures}  {row[2] / row[1]:5.2f}", flush=True)
    peak = torch.cuda.max_memory_allocated() / 2**20
    print(
        f"peak memory {peak:.0f} MiB; at most {kept} graphs and {bound.SHARE:.1%} of the GPU's memory are kept"
    )


if __name__ == "__main__":
    main()
