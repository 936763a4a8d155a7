"""The S4 layer: a long convolution whose kernel comes from a state space model (Gu, Goel and Re 2022).

Shapes: c kernels per feature, H features, N/2 complex states kept of N (one of each conjugate pair), L length.

The kernel depends on the parameters and not on the signal, and it is *linear in C*, its only trained parameter.
Inference therefore computes it once (`kernel_taps`), and in training it is one small matrix product with a constant
basis (`kernel_basis`).

There are two conventions for the sum over states, and SSSD-ECG's checkpoints do not say which of them they were trained
with: "conjugate_pairs" gives the true kernel; "half_spectrum" sums one state of each pair, as SSSD-ECG does without its
compiled extensions.
"""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..config.names import Cauchy
from .precision import float32_products
from .settings import initial_values_wanted

CAUCHY: tuple[str, ...] = get_args(Cauchy)


def hippo_legs(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return HiPPO-LegS as diagonal minus low rank, A = diag(w) - P P* (S4, theorem 1 and appendix C.1).

    The result is w, P, B, each (n/2,) complex128: one of each conjugate pair, in the eigenbasis of A + P P^T.
    """
    q = np.arange(n)
    root = np.sqrt(2 * q + 1.0)
    a = -np.tril(np.outer(root, root), -1) - np.diag(q + 1.0)
    p = np.sqrt(q + 0.5)
    skew = a + np.outer(p, p) + 0.5 * np.eye(n)  # A + P P^T = -I/2 + a skew-symmetric matrix
    frequency, v = np.linalg.eigh(-1j * skew)
    keep = frequency > 0
    v_star = v[:, keep].conj().T
    return -0.5 + 1j * frequency[keep], v_star @ p, v_star @ root


def fourier_nodes(length: int) -> tuple[Tensor, Tensor]:
    """Return roots of unity omega and z = 2 (1 - omega) / (1 + omega), each complex64 (length // 2 + 1,)."""
    omega = np.exp(-2j * np.pi * np.arange(length // 2 + 1) / length)
    z = 2 * (1 - omega) / (1 + omega)
    return torch.from_numpy(omega).to(torch.complex64), torch.from_numpy(z).to(torch.complex64)


def discrete_transition(
    log_dt: Tensor, w: Tensor, p: Tensor, q: Tensor, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Discretise A = diag(w) - P Q^T bilinearly over all N states: (H, N, N), real parts first, then imaginary.

    One x of each conjugate pair is kept, so that A x = w x - 2 P Re(Q^T x), which is a real map of (Re x, Im x).
    """
    w, p, q = (s.to(torch.complex128) for s in (w, p, q))  # (H, N/2)
    re, im = torch.diag_embed(w.real), torch.diag_embed(w.imag)
    a = torch.cat((torch.cat((re, -im), dim=-1), torch.cat((im, re), dim=-1)), dim=-2)
    a = (
        a
        - 2
        * torch.cat((p.real, p.imag), dim=-1)[:, :, None]
        * torch.cat((q.real, -q.imag), dim=-1)[:, None, :]
    )
    half = (torch.exp(log_dt.double())[:, None, None] / 2 * a).to(dtype)
    eye = torch.eye(a.shape[-1], dtype=dtype, device=a.device)
    return torch.linalg.solve(eye - half, eye + half)


def times_transition_power(c: Tensor, transition: Tensor, power: int) -> Tensor:
    """Return C A^power for C (c, H, N/2), complex with its conjugates implied, in the same shape and type."""
    row = (
        torch.cat((c.real, -c.imag), dim=-1).to(transition).transpose(0, 1)
    )  # (H, c, N); Re(C x) = row (Re x, Im x)
    while power:
        if power & 1:
            row = row @ transition
        power >>= 1
        transition = transition @ transition if power else transition
    real, imaginary = row.transpose(0, 1).chunk(2, dim=-1)
    return torch.complex(real, -imaginary).to(c.dtype)


class S4Kernel(nn.Module):
    """The parameters and buffers of one S4 kernel, with the names that SSSD-ECG's checkpoints use.

    C (c, H, N/2, 2) is trained. It holds C (I - A^lmax), so that a kernel of length lmax is exact. log_dt (H,),
    w (H, N/2, 2), B, P, Q (1, H, N/2, 2), omega and z (lmax // 2 + 1, 2) are constants.
    """

    C: Tensor
    log_dt: Tensor
    B: Tensor
    P: Tensor
    Q: Tensor
    w: Tensor
    omega: Tensor
    z: Tensor

    def __init__(self, kernels: int, features: int, d_state: int, lmax: int) -> None:
        super().__init__()
        w, p, b = (torch.from_numpy(v).to(torch.complex64).expand(features, -1) for v in hippo_legs(d_state))
        low, high = math.log(0.001), math.log(0.1)
        log_dt = low + (high - low) * torch.rand(features)
        c = torch.randn(kernels, features, d_state // 2, dtype=torch.complex64)
        if initial_values_wanted():
            # float32 is enough for random values; in float64 36 layers of the published size take half a minute
            transition = discrete_transition(log_dt, w, p, p.conj(), torch.float32)
            c = c - times_transition_power(c, transition, lmax)
        self.C = nn.Parameter(torch.view_as_real(c.resolve_conj()).clone())
        self.register_buffer("log_dt", log_dt)
        for name, value in {"B": b[None], "P": p[None], "Q": p.conj()[None], "w": w}.items():
            self.register_buffer(name, torch.view_as_real(value.resolve_conj()).clone())
        for name, value in zip(("omega", "z"), fourier_nodes(lmax), strict=True):
            self.register_buffer(name, torch.view_as_real(value).clone())  # no two kernels share memory
        self.lmax = lmax


def kernel_taps(kernel: S4Kernel, c: Tensor, length: int, cauchy: Cauchy) -> Tensor:
    """Compute the first `length` taps of the kernels whose output matrices are c (c, H, N/2) complex: (c, H, length).

    This is algorithm 1 of S4: the truncated generating function at the roots of unity, through Cauchy sums and the
    Woodbury identity, and then an inverse FFT. Beyond lmax the length is doubled: C (I - A^n) (I + A^n) = C (I - A^2n).
    """
    w, b, p, q = (torch.view_as_complex(v) for v in (kernel.w, kernel.B[0], kernel.P[0], kernel.Q[0]))
    omega, z, n = torch.view_as_complex(kernel.omega), torch.view_as_complex(kernel.z), kernel.lmax
    if length > n:
        transition = discrete_transition(kernel.log_dt, w, p, q)
        while n < length:
            c = c + times_transition_power(c, transition, n)
            n *= 2
        omega, z = (v.to(c.device) for v in fourier_nodes(n))

    dt = torch.exp(kernel.log_dt)[:, None]
    left, right = torch.stack((b, p)), torch.cat((c, q[None]))  # (2, H, N/2), (c + 1, H, N/2)
    v = (left[:, None] * right[None]).flatten(0, 1).transpose(0, 1)  # (H, 2 (c + 1), N/2)
    r = v @ (z - (w * dt)[..., None]).reciprocal()
    if cauchy == "conjugate_pairs":
        r = r + v.conj() @ (z - (w * dt).conj()[..., None]).reciprocal()
    r = (r * dt[..., None]).unflatten(1, (2, -1))  # (H, 2, c + 1, n // 2 + 1)
    r_bc, r_bq, r_pc, r_pq = r[:, 0, :-1], r[:, 0, -1:], r[:, 1, :-1], r[:, 1, -1:]
    spectrum = (r_bc - r_bq * r_pc / (1 + r_pq)) * 2 / (1 + omega)
    return torch.fft.irfft(spectrum, n=n).transpose(0, 1)[..., :length]


def kernel_basis(kernel: S4Kernel, length: int, cauchy: Cauchy) -> Tensor:
    """Return the taps of the unit vectors of C, (H, N, length), so that `C.flatten(-2) @ basis` are the taps."""
    with torch.no_grad(), float32_products("highest"):
        states = kernel.w.shape[-2]
        unit = torch.eye(2 * states, dtype=torch.float32, device=kernel.w.device).unflatten(
            1, (states, 2)
        )  # (N, N/2, 2)
        unit = torch.view_as_complex(unit)[:, None].expand(-1, kernel.w.shape[0], -1)
        return kernel_taps(kernel, unit, length, cauchy).transpose(0, 1).contiguous()


class _BasisProduct(torch.autograd.Function):
    """Computes taps (c, H, L) of output matrices (c, H, N) by a constant basis (H, N, L).

    Both the product and its gradient are computed in full float32, even where training multiplies in TF32.
    """

    @staticmethod
    def forward(ctx: Any, c: Tensor, basis: Tensor) -> Tensor:
        ctx.save_for_backward(basis)
        with float32_products("highest"):
            return torch.einsum("chn,hnl->chl", c, basis)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (basis,) = ctx.saved_tensors
        with float32_products("highest"):
            return torch.einsum("chl,hnl->chn", gradients[0], basis), None


def two_sided_taps(
    kernel: S4Kernel, d: Tensor, length: int, cauchy: Cauchy, basis: Tensor | None = None
) -> Tensor:
    """Return one kernel over lags -(length - 1) .. length - 1, with D (1, H) added at lag 0: (H, 2 length - 1).

    If there are two kernels, the second runs backward in time, and its first tap is at lag -1.
    """
    if basis is None:
        with float32_products("highest"):
            taps = kernel_taps(kernel, torch.view_as_complex(kernel.C), length, cauchy)
    else:
        taps = _BasisProduct.apply(kernel.C.flatten(-2), basis)  # type: ignore[no-untyped-call]
    forward = torch.cat(((taps[0, :, 0] + d[0])[:, None], taps[0, :, 1:]), dim=1)
    backward = taps[1, :, : length - 1].flip(-1) if len(taps) == 2 else torch.zeros_like(taps[0, :, 1:])
    return torch.cat((backward, forward), dim=1)


def spectrum_of(taps: Tensor) -> Tensor:
    """Return the rfft of two-sided taps (H, 2 L - 1), padded to a length n that is fast for FFTs: (H, n / 2 + 1)."""
    length = (taps.shape[-1] + 1) // 2
    n = _fft_length(2 * length)
    ring = torch.cat(
        (taps[:, length - 1 :], taps.new_zeros(len(taps), n - taps.shape[-1]), taps[:, : length - 1]), -1
    )
    return torch.fft.rfft(ring)


def _fft_length(least: int) -> int:
    """Return an even length >= `least`: a power of two within 5 % (512 takes 0.6 of the time of 500), or 5-smooth."""
    power = 1 << (least - 1).bit_length()
    if power <= 1.05 * least:
        return power
    return next(n for n in range(least + least % 2, power + 1, 2) if _is_smooth(n))


def _is_smooth(n: int) -> bool:
    """Return whether n has no prime factors but 2, 3 and 5."""
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


def fft_convolve(u: Tensor, spectrum: Tensor) -> Tensor:
    """Convolve u (H, B, L) with two-sided kernels given as their spectrum (H, n / 2 + 1), in float32: (H, B, L)."""
    length, n = u.shape[-1], 2 * (spectrum.shape[-1] - 1)
    padded = u.new_empty(*u.shape[:-1], n, dtype=torch.float32)
    padded[..., :length], padded[..., length:] = u, 0.0
    product = torch.fft.rfft(padded).mul_(spectrum[:, None])
    return torch.fft.irfft(product, n=n)[..., :length].to(u.dtype)


def toeplitz_convolve(u: Tensor, taps: Tensor) -> Tensor:
    """Convolve u (H, B, L) with two-sided taps (H, 2 L - 1) as a product with Toeplitz matrices: (H, B, L).

    y_i = sum_j u_j k_{i-j} = sum_r u_{L-1-r} taps_{r+i}. This is more arithmetic than an FFT, but it runs on tensor
    cores, in any precision and with an equally simple backward pass, and is used for training at short lengths.
    """
    return torch.bmm(u.flip(-1), taps.unfold(-1, u.shape[-1], 1).to(u.dtype))
