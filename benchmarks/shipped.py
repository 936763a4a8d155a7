"""The shipped model on this machine: each quality beside what the hardware allows. `python benchmarks/shipped.py`

Three tables of one run, on a GPU or a CPU:

    forms       an evaluation of the network in the engine's form and in its plain form, and the ratio
    one record  each quality from Python, 8 leads and 12; on a GPU also step by step in place of one graph of all steps
    batches     records a second of each quality, and the share of what this machine allows

What it allows for a record and evaluation is the larger of two times: operations over the measured rate of large
products, and bytes over the measured rate of a large copy. Operations are those of products and attention. Bytes count
every tensor between two kernels once written and once read. The sampler, the noise and the copy to memory are in the
measured time only. Another model: --checkpoint FILE. Another sampler in place of
the qualities: --sampler with --steps.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable
from functools import partial

import torch

from sssd import SSSDECG
from sssd.benchmark import machine, median_seconds, of_quality
from sssd.device import choose_device, choose_precision
from sssd.engine import bound
from sssd.engine.forms import PlainDenoiser, PlainTransformer
from sssd.models.network import Network
from sssd.models.transformer import LEADS, MLP, Transformer
from sssd.presets import PRESETS, Preset, choose


def work(net: Network, length: int, size: int) -> tuple[float, float]:
    """Return the operations and the bytes of one evaluation of one record; size: bytes of a number in products."""
    config, tokens = net.config, -(-length // net.config.patch)
    if isinstance(net, Transformer):
        width, ends = config.width, 2 * 3 * LEADS * config.patch * config.width
        layer = (
            2 * width * width * (4 + 2 * MLP) + (4 + 2) * tokens * width
        )  # products; attention and convolution
        moved = width * (
            4 * 4 + 2 * size * (3 + 1 + MLP + 2)
        )  # residual stream twice; qkv, attended, hidden, z
        return tokens * (config.layers * layer + ends), tokens * config.layers * moved
    c, skip = config.res_channels, config.skip_channels
    h = 2 * c
    block = 2 * (3 * c * h + 2 * h * h + c * c + c * skip) + 2 * 2 * h * tokens
    moved = size * (h * (1 + 2 * 2 + 2 * 3 + 2 + 1) + c * (1 + 1 + 3))  # as in kernels.py
    return tokens * config.num_res_layers * block, tokens * config.num_res_layers * moved


def ceilings(device: torch.device, dtype: torch.dtype, size: int) -> tuple[float, float]:
    """Return the operations/s of a product of matrices (size, size), and the bytes/s of a copy, read and written."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    rate = 2 * size**3 / median_seconds(lambda: a @ a, device, longest=2.0)
    a = torch.randn(4 * size * size, device=device)
    b = torch.empty_like(a)
    return rate, 2 * a.nbytes / median_seconds(lambda: b.copy_(a), device, longest=2.0)


@torch.no_grad()
def form_seconds(
    net: Network, length: int, dtype: torch.dtype, records: int, longest: float
) -> tuple[float, float]:
    """Return the seconds of an evaluation in the plain form, without a graph, and as the engine binds it."""
    device = next(net.parameters()).device
    x = torch.randn(records, 8, length, device=device)
    cond = torch.zeros(records, net.columns, device=device)
    plain = (PlainTransformer if isinstance(net, Transformer) else PlainDenoiser)(net, length, dtype)  # type: ignore
    step = plain.of_steps(net, torch.full((1, 1), 50.0, device=device))  # type: ignore[arg-type]
    evaluate, conditions = plain.evaluator(net, records), plain.of_conditions(net, cond)  # type: ignore[arg-type]
    predict = bound.bind(net, cond, [50], length=length, dtype=dtype)
    before = median_seconds(lambda: evaluate(x, step, conditions), device, longest=longest)
    return before, median_seconds(lambda: predict(x, 0), device, longest=longest)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", help="cuda or cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch", type=int, help="by default 4096 on a GPU and 32 on a CPU")
    parser.add_argument("--product", type=int, help="size of the matrices that give the rate of products")
    parser.add_argument("--seconds", type=float, default=10.0, help="for one figure, at most")
    parser.add_argument("--qualities", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--checkpoint", help="measure these weights in place of those that ship")
    parser.add_argument("--sampler", help="measure this sampler in place of the qualities, with --steps")
    parser.add_argument("--steps", type=int, default=4)
    given = parser.parse_args(arguments)
    device = choose_device(given.device)
    dtype, gpu = choose_precision(given.precision, device), device.type == "cuda"
    many = given.batch or (4096 if gpu else 32)
    print(f"{datetime.date.today()}, {machine(device)}, torch {torch.__version__}, {dtype}")
    model = SSSDECG.from_pretrained(given.checkpoint, device=device)
    if given.sampler:
        presets = {"given": Preset(given.sampler, given.steps)}
    else:
        presets = {name: choose(name, model.config) for name in given.qualities}
    rate, copied = ceilings(device, dtype, given.product or (8192 if gpu else 2048))
    print(f"product {rate / 1e12:.3g} TFLOP/s, copy {copied / 1e12:.3g} TB/s")
    time: Callable[..., float] = partial(median_seconds, device=device, longest=given.seconds)
    print(
        f"\n{'forms':12s} {'records':>8s} {'plain ms':>10s} {'engine ms':>10s} {'ratio':>6s}   a record and evaluation"
    )
    for records in (1, many):
        before, after = form_seconds(model.model, model.shape[1], dtype, records, given.seconds)
        print(
            f"{'':12s} {records:8d} {1e3 * before / records:10.4g} {1e3 * after / records:10.4g} "
            f"{before / after:6.2f}",
            flush=True,
        )
    print(
        f"\n{'one record':12s} {'8 leads ms':>11s} {'12 leads ms':>12s} {'step by step ms':>16s} {'ratio':>6s}"
    )
    for name, preset in presets.items():
        once = partial(of_quality, model, preset, 1, given.precision)
        once()  # from the second call on, all steps are one graph
        eight, twelve = time(once), time(partial(once, twelve=True))
        text = f"{name:12s} {1e3 * eight:11.4g} {1e3 * twelve:12.4g}"
        if gpu:
            bound.FEW_RECORDS, few = 0, bound.FEW_RECORDS
            single = time(once)
            bound.FEW_RECORDS = few
            text += f" {1e3 * single:16.4g} {single / eight:6.2f}"
        print(text, flush=True)
    heads = f"{'records/s':>10s} {'ms':>9s} {'GFLOP':>7s} {'MB':>7s} {'allowed ms':>11s} {'share':>6s}"
    print(f"\n{'batches':12s} {heads}   of {many}; a record")
    operations, moved = work(model.model, model.shape[1], torch.finfo(dtype).bits // 8)
    for name, preset in presets.items():
        seconds = time(partial(of_quality, model, preset, many, given.precision)) / many
        steps = preset.steps
        allowed = steps * max(operations / rate, moved / copied)
        print(
            f"{name:12s} {1 / seconds:10.4g} {1e3 * seconds:9.4g} {steps * operations / 1e9:7.3g} "
            f"{steps * moved / 1e6:7.3g} {1e3 * allowed:11.3g} {allowed / seconds:6.0%}",
            flush=True,
        )
    if gpu:
        print(f"peak memory {torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
