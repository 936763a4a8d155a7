"""Measure how much faster DDIM is than DDPM on this machine.

    python test_ddim.py [--batch N] [--steps 50 20 100] [--checkpoint FILE]

It generates the same records by DDPM over all steps and by DDIM in fewer, and prints measured times. After a warm-up,
each is the median of three rounds in which the methods take turns, or of fewer where they would take more than four
minutes. The device is synchronised before the clock is read.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

from src.sssd.model_wrapper import SSSDECG

ROUNDS = 3
LIMIT_S = 240.0
LABEL = "NORM"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time DDIM against DDPM.")
    parser.add_argument("--batch", type=int, help="records at once (default: 1 on a CPU, 64 on a GPU)")
    parser.add_argument("--checkpoint", help=".pkl or .safetensors (default: the built-in model)")
    parser.add_argument("--device", help="cpu, cuda, mps (default: the best there is)")
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=[50, 20, 100],
        help="numbers of DDIM steps (default: 50 20 100)",
    )
    args = parser.parse_args()
    if args.batch is not None and args.batch < 1:
        parser.error(f"--batch is {args.batch}: expected at least 1")
    return args


def seconds(model: SSSDECG, batch: int, steps: int | None) -> float:
    """Time of one batch by DDIM in `steps`, or by DDPM where they are None."""
    _synchronise(model.device)
    start = time.perf_counter()
    how = (
        {"use_ddim": False} if steps is None else {"use_ddim": True, "ddim_timesteps": steps, "ddim_eta": 0.0}
    )
    model.generate([LABEL] * batch, **how, seed=0, batch_size=batch, progress=False)
    _synchronise(model.device)
    return time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def main() -> None:
    args = arguments()
    model = SSSDECG.from_pretrained(args.checkpoint, device=args.device)
    batch = args.batch if args.batch is not None else (1 if model.device.type == "cpu" else 64)
    for steps in args.steps:
        model.step_table(
            sampler="ddim", steps=steps, ddim_eta=0.0
        )  # a wrong number is refused before anything takes time
    parameters = sum(p.numel() for p in model.model.parameters())
    where = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else str(model.device)
    threads = f", {torch.get_num_threads()} threads" if model.device.type == "cpu" else ""
    print(
        f"{parameters / 1e6:.1f} M parameters on {where}{threads}; {batch} record(s) at once; warming up ..."
    )
    seconds(model, batch, 2)

    methods: list[tuple[str, int | None]] = [(f"DDPM {model.schedule.T}", None)]
    methods += [(f"DDIM {steps}", steps) for steps in args.steps]
    times: dict[str, list[float]] = {name: [] for name, _ in methods}
    started = time.perf_counter()
    for done in range(1, ROUNDS + 1):
        for name, steps in methods:
            times[name].append(seconds(model, batch, steps))
        if (time.perf_counter() - started) * (done + 1) / done > LIMIT_S:
            break
    baseline = statistics.median(times[methods[0][0]])
    print(f"medians of {done} round(s)")
    print(f"{'method':<10}{'median':>10}{'fastest':>10}{'slowest':>10}{'per record':>12}{'speed-up':>10}")
    for name, taken in times.items():
        median = statistics.median(taken)
        columns = f"{median:>9.2f}s{min(taken):>9.2f}s{max(taken):>9.2f}s{median / batch:>11.3f}s"
        print(f"{name:<10}{columns}{baseline / median:>9.1f}x")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
