"""A step of few records on a GPU: its kernels in several tiles, and the whole. `python benchmarks/one_record.py`

Kernels are timed as a step meets them: in a CUDA graph, every launch with weights of its own, which are not in the
cache. What the engine takes today stands first; the whole step is also timed with the fastest of each.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
from collections.abc import Callable
from functools import partial

import torch
from kernels import ERROR, C, H, L, rand, relative
from torch import Tensor

from sssd.benchmark import inputs, machine, median_seconds, random_published
from sssd.engine import fused
from sssd.engine.graph import record
from sssd.engine.kernels import linear_norm, norm
from sssd.engine.kernels import long_convolution as long
from sssd.engine.kernels import short_convolution as short
from sssd.models.denoiser import biases
from sssd.models.s4 import S4Kernel, two_sided_taps

LAUNCHES = 36  # of a graph: their weights do not fit into the cache
Tile = dict[str, int]
LONG: list[tuple[int, Tile]] = [  # samples of a block, and the tile
    (p, dict(BM=m, BN=n, BK=k, num_warps=w, num_stages=s))
    for p, m, n, k, w, s in (
        (32, 32, 32, 128, 2, 2),
        (32, 32, 32, 128, 2, 3),
        (32, 32, 32, 128, 2, 4),
        (32, 32, 32, 128, 4, 4),
        (32, 32, 32, 64, 2, 4),
        (32, 32, 32, 64, 2, 6),
        (32, 32, 32, 256, 4, 3),
        (32, 32, 32, 512, 8, 1),
        (64, 16, 64, 64, 4, 4),
        (64, 16, 64, 128, 4, 4),
        (64, 64, 64, 64, 4, 4),
    )
]
LINEAR: list[Tile] = [
    dict(BT=t, num_warps=w, num_stages=s) for t, w, s in ((16, 8, 3), (16, 8, 2), (32, 8, 3), (16, 4, 3))
]


def graph_us(calls: list[Callable[[], object]], repeats: int = 30) -> float:
    """Median time of a call, in a graph of all of them."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        calls[0]()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    graph.replay()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / len(calls))
    return statistics.median(times)


def show(name: str, us: Callable[[], float], error: float) -> float:
    """One row; a tile that does not fit this GPU, or is wrong, counts as slow."""
    try:
        time = us()
    except Exception as reason:  # the compiler has many ways to say that a tile is too large
        print(f"    {name:44s} fails: {str(reason).splitlines()[0][:60]}", flush=True)
        return float("inf")
    print(
        f"    {name:44s} {time:7.2f} us   error {error:.0e}{'' if error < ERROR else ' TOO LARGE'}",
        flush=True,
    )
    return time if error < ERROR else float("inf")


def attempt(check: Callable[[], Tensor], expected: Tensor) -> float:
    """The error of a result; none of a tile that does not fit."""
    try:
        return relative(check(), expected)
    except Exception:
        return float("inf")


def long_convolutions(records: int) -> tuple[int, Tile]:
    taps = two_sided_taps(S4Kernel(2, H, 64, L), torch.randn(1, H), L, "conjugate_pairs").detach().cuda()
    u = rand(records, H, L)
    copies, reach = long.shifted_taps(taps, L, u.dtype), long.reach_of(taps)
    many = [copies.clone() for _ in range(LAUNCHES)]
    y, expected = torch.full_like(u, float("nan")), long.plain(u, copies)
    tile_of, times = long._tile, {}
    print(f"  long convolution, {records} records")
    for i, (block, tile) in enumerate([tile_of(records, L), *LONG]):
        long._tile = lambda *_: (block, tile)  # noqa: B023
        error = attempt(lambda: long.long_convolution(u, copies, reach, y.fill_(float("nan"))), expected)
        calls = [partial(long.long_convolution, u, t, reach, y) for t in many]
        name = f"blocks of {block}, " + " ".join(f"{v}" for v in tile.values())
        times[i] = show(name, partial(graph_us, calls), error)
        if i == 0:
            show("  the same, taps in the cache", partial(graph_us, [calls[0]] * LAUNCHES), error)
    long._tile = tile_of
    best = min(times, key=lambda i: times[i])
    return [tile_of(records, L), *LONG][best]


def end_of_block(y: Tensor, w: Tensor, vectors: Tensor, u: Tensor, res: Tensor, x: Tensor) -> Tensor:
    """Gate and new x side by side, from `linear_norm_gate`."""
    new, g = x.clone(), torch.full_like(x.flatten(0, 1), float("nan"))
    linear_norm.linear_norm_gate(y, w, vectors, u.clone(), g, res, new)
    return torch.cat((g, new.flatten(0, 1)))


def end_plain(y: Tensor, w: Tensor, vectors: Tensor, u: Tensor, res: Tensor, x: Tensor) -> Tensor:
    g, new = linear_norm.plain_gate(y, w, vectors, u, res, x)
    return torch.cat((g, new.flatten(0, 1)))


def linears(records: int) -> tuple[Tile, bool]:
    """The fastest tile of the ends of an S4 layer, and whether it beats separate launches."""
    ws, rs = ([rand(n, n) / n**0.5 for _ in range(LAUNCHES)] for n in (H, C))
    u, y, x, g = rand(records, H, L), rand(records, H, L), rand(records, L, C), rand(records * L, C)
    vectors, label = torch.randn(3, H).cuda(), torch.randn(records, H).cuda()
    few, tile_of = linear_norm.FEW, linear_norm.TILE
    times = {}
    print(f"  linear, norm + label | linear, norm + gate, residual: {records} records")
    for i, tile in enumerate([None, *LINEAR]):
        linear_norm.FEW, linear_norm.TILE = (0, tile_of) if tile is None else (1 << 30, tile)
        name = "cuBLAS, norm, cuBLAS" if tile is None else f"one kernel, tile {list(tile.values())}"

        u.normal_(), x.normal_()
        error = attempt(
            lambda: linear_norm.linear_norm(y, ws[0], vectors, u.clone(), label, L),
            linear_norm.plain(y, ws[0], vectors, u, label, L),
        )
        error_gate = attempt(
            lambda: end_of_block(y, ws[0], vectors, u, rs[0], x), end_plain(y, ws[0], vectors, u, rs[0], x)
        )
        calls = [partial(linear_norm.linear_norm, y, w, vectors, u, label, L) for w in ws]
        first = show(f"label: {name}", partial(graph_us, calls), error)
        calls = [
            partial(linear_norm.linear_norm_gate, y, w, vectors, u, g, r, x)
            for w, r in zip(ws, rs, strict=True)
        ]
        times[i] = first + show(f"gate:  {name}", partial(graph_us, calls), error_gate)
    linear_norm.FEW, linear_norm.TILE = few, tile_of
    best = min(range(1, len(times)), key=lambda i: times[i])
    return LINEAR[best - 1], times[best] < times[0]


def others(records: int) -> None:
    ws, offset, row = (
        [rand(3 * C, H) / 28 for _ in range(LAUNCHES)],
        torch.randn(1, 3, H).cuda(),
        torch.tensor(0).cuda(),
    )
    x, u, g = rand(records, L, C), rand(records, H, L), rand(records * L, C)
    vectors = torch.randn(3, H).cuda()
    expected = short.plain(x, ws[0], offset, row, L)
    error = relative(short.short_convolution(x, ws[0], offset, row, u, L), expected)
    calls = [partial(short.short_convolution, x, w, offset, row, u, L) for w in ws]
    print(f"  others, {records} records")
    show("3-tap convolution", partial(graph_us, calls), error)
    show("norm + label", partial(graph_us, [partial(norm.norm, u, vectors, None, L)] * LAUNCHES), 0.0)
    show("norm + gate", partial(graph_us, [partial(norm.norm_gate, u, vectors, g)] * LAUNCHES), 0.0)
    flat, r = x.flatten(0, 1), rand(C, C) / 16
    residual = partial(torch.addmm, flat, g, r, beta=0.5**0.5, alpha=0.5**0.5, out=flat)
    show("residual (cuBLAS)", partial(graph_us, [residual] * LAUNCHES), 0.0)
    linear = partial(torch.baddbmm, u, (rand(H, H) / 22).expand(records, H, H), u.clone(), out=u)
    show("linear + residual (cuBLAS)", partial(graph_us, [linear] * LAUNCHES), 0.0)
    nothing = torch.zeros(1, device="cuda")
    show("a launch that does next to nothing", partial(graph_us, [lambda: nothing.add_(1)] * LAUNCHES), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU")
    device = torch.device("cuda")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{datetime.date.today()}, {machine(device)}, torch {torch.__version__}")
    model = random_published(device)
    net, summary = model.model, []
    with torch.no_grad():
        packed = fused.pack(net, L)
        others(options.records[0])
        for records in options.records:
            block, tile = long_convolutions(records)
            linear, wins = linears(records)
            x, cond, at = inputs(model, records)
            label = biases(net, cond, at[:1]).label
            assert label is not None
            label, expected = label.transpose(1, 2).contiguous(), net.predict(x, cond, at)
            tile_of, few, end = long._tile, linear_norm.FEW, linear_norm.TILE
            for name, fast_long, fast_end in (
                ("separate launches, tile of today", False, False),
                ("separate launches, fastest tile", True, False),
                ("one kernel, tile of today", False, True),
                ("one kernel, fastest tile", True, True),
            ):
                long._tile = (lambda *_: (block, tile)) if fast_long else tile_of  # noqa: B023
                linear_norm.FEW, linear_norm.TILE = (1 << 30, linear) if fast_end else (0, end)
                predict = record(fused.evaluator(net, packed, records, [100], L), x, label)
                seconds = median_seconds(lambda: predict(x, 0, label), device, 50)  # noqa: B023
                error = relative(predict(x, 0, label), expected)
                summary.append(
                    f"  step, {records} records, {name:34s} {seconds * 1e3:7.3f} ms   error {error:.1e}"
                )
            long._tile, linear_norm.FEW, linear_norm.TILE = tile_of, few, end
            summary.append(f"    fastest: blocks of {block}, {tile}; {linear}, {'wins' if wins else 'loses'}")
    print("\n".join(summary))


if __name__ == "__main__":
    main()
