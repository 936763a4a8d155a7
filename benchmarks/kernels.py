"""The engine's kernels on this GPU: their error against plain PyTorch, and a roofline. `python benchmarks/kernels.py`

For each kernel, at the published size and a batch of 256: the bytes it must move and the operations it must do, the
time that the measured ceilings of this GPU allow for them, the time that it takes, and the ratio of the two.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sssd.engine.kernels import long_convolution as long
from sssd.engine.kernels import norm, short_convolution
from sssd.engine.kernels.correlation import correlation
from sssd.models.s4 import S4Kernel, two_sided_taps

B, C, L = 256, 256, 1000
H = 2 * C
ERROR = 1e-2  # bf16 against float32


def median_ms(function: Callable[[], object]) -> float:
    from triton.testing import do_bench

    return float(do_bench(function, warmup=50, rep=200, return_mode="median"))


def ceilings() -> tuple[float, float]:
    """Bytes/s of a large copy (read and written), operations/s of a large bf16 product."""
    a = torch.randn(2**28, device="cuda", dtype=torch.bfloat16)
    b = torch.empty_like(a)
    copied = 2 * a.nbytes / median_ms(lambda: b.copy_(a)) * 1e3
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    return copied, 2 * 8192**3 / median_ms(lambda: a @ a) * 1e3


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def relative(result: Tensor, expected: Tensor) -> float:
    return float((result.float() - expected.float()).norm() / expected.float().norm())


def errors() -> None:
    """Every tile of the long convolution, and the other kernels, at odd sizes."""
    print("kernel against its plain twin, relative error")
    taps = two_sided_taps(S4Kernel(2, 64, 64, L), torch.randn(1, 64), L, "conjugate_pairs").detach().cuda()
    copies, reach = long.shifted_taps(taps, L, torch.bfloat16), long.reach_of(taps)
    found = []
    for records in (1, 2, 3, 15, 16, 63, 64, 100):
        u = rand(records, 64, L)
        y = long.long_convolution(u, copies, reach, torch.full_like(u, float("nan")))
        found.append((f"long convolution, {records} records", relative(y, long.plain(u, copies))))
    for records in (1, 40):
        x, w, offset = rand(records, L, C), rand(3 * C, H) / 28, torch.randn(3, H).cuda()
        y = short_convolution.short_convolution(x, w, offset, torch.empty_like(rand(records, H, L)), L - 3)
        found.append(
            (
                f"short convolution, {records} records",
                relative(y, short_convolution.plain(x, w, offset, L - 3)),
            )
        )
        z, vectors, label = rand(records, H, L), torch.randn(3, H).cuda(), torch.randn(records, H).cuda()
        expected = norm.plain_norm(z, vectors, label, L - 3)
        gated = norm.plain_norm_gate(z, vectors)
        found.append(
            (
                f"norm and gate, {records} records",
                relative(norm.norm_gate(z, vectors, torch.empty_like(gated)), gated),
            )
        )
        found.append(
            (f"norm and label, {records} records", relative(norm.norm(z, vectors, label, L - 3), expected))
        )
    g, u = rand(7, 64, L), rand(7, 64, L)
    spectra = torch.fft.rfft(g.float(), n=2048) * torch.fft.rfft(u.float(), n=2048).conj()
    ring = torch.fft.irfft(spectra.sum(0), n=2048)
    expected = torch.cat((ring[:, 2048 - (L - 1) :], ring[:, :L]), dim=1)
    found.append(("correlation, 7 records", relative(correlation(g, u), expected)))
    for name, error in found:
        print(f"  {name:32s} {error:.1e}  {'ok' if error < ERROR else 'TOO LARGE'}")
    if any(not error < ERROR for _, error in found):
        sys.exit("a kernel is wrong on this GPU")


def roofline(bandwidth: float, rate: float) -> None:
    taps = two_sided_taps(S4Kernel(2, H, 64, L), torch.randn(1, H), L, "conjugate_pairs").detach().cuda()
    copies, reach = long.shifted_taps(taps, L, torch.bfloat16), long.reach_of(taps)
    whole = torch.full_like(reach, L)
    u, y, x, g = rand(B, H, L), rand(B, H, L), rand(B, L, C), rand(B * L, C)
    w3, w, r = rand(3 * C, H) / 28, rand(H, H) / 22, rand(C, C) / 16
    offset = torch.randn(3, H).cuda()
    vectors, label, flat = torch.randn(3, H).cuda(), torch.randn(B, H).cuda(), x.flatten(0, 1)
    wide, narrow = 2 * B * H * L, 2 * B * C * L  # bytes of a tensor
    half = 0.5**0.5
    square, product = (
        2 * B * H * L * L,
        2 * B * L,
    )  # operations of a long convolution; of a weight of a linear layer
    short = partial(short_convolution.short_convolution, x, w3, offset, u, L)
    linear = partial(torch.baddbmm, u, w.expand(B, H, H), y, out=u)
    residual = partial(torch.addmm, flat, g, r, beta=half, alpha=half, out=flat)
    cases: list[tuple[str, int, int, Callable[[], object]]] = [
        ("3-tap convolution", narrow + wide, product * 3 * C * H, short),
        ("long convolution, GELU", 2 * wide, square, partial(long.long_convolution, u, copies, whole, y)),
        ("  as far as its taps reach", 2 * wide, square, partial(long.long_convolution, u, copies, reach, y)),
        ("linear + residual (cuBLAS)", 3 * wide, product * H * H, linear),
        ("norm + label", 2 * wide, 0, partial(norm.norm, u, vectors, label, L)),
        ("norm + gate", wide + narrow, 0, partial(norm.norm_gate, u, vectors, g)),
        ("residual (cuBLAS)", 3 * narrow, product * C * C, residual),
        ("correlation (training)", 2 * wide, square, partial(correlation, y, u)),
    ]
    print(
        f"\nroofline, {B} records; copy {bandwidth / 1e12:.2f} TB/s, bf16 product {rate / 1e12:.0f} TFLOP/s"
    )
    print(f"  {'kernel':28s} {'GB':>6s} {'GFLOP':>7s} {'allowed us':>11s} {'measured us':>12s} {'ratio':>6s}")
    for name, size, operations, run in cases:
        allowed, measured = max(size / bandwidth, operations / rate) * 1e6, median_ms(run) * 1e3
        print(
            f"  {name:28s} {size / 1e9:6.2f} {operations / 1e9:7.0f} {allowed:11.0f} {measured:12.0f} "
            f"{measured / allowed:6.2f}"
        )
        u.normal_()


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU; `sssd-ecg benchmark` runs anywhere")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{datetime.date.today()}, {torch.cuda.get_device_name()}, torch {torch.__version__}")
    with torch.no_grad():
        errors()
        roofline(*ceilings())


if __name__ == "__main__":
    main()
