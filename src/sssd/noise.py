"""Standard normal noise as a pure function of (seed, record index, step, element).

The generator is counter-based: Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"),
followed by Box-Muller. The integers are the same on every device, and the normals differ by rounding only. The noise
of a record depends neither on its batch nor on what was drawn before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum, unique
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import checked_seed, counted

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)  # Salmon et al. 2011, Philox-4x32
_WEYL = (0x9E3779B9, 0xBB67AE85)  # golden ratio, sqrt(3) - 1
_ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]
Seeds = int | np.integer[Any] | Sequence[int] | NDArray[np.integer[Any]]


@unique
class Reserved(IntEnum):
    """Steps of the generator that are no step of a sampler, and what each is for; no schedule is as long.

    Whatever is drawn needs a step of its own: what has the same seed, index and step has the same random bits.
    """

    JITTER = 2**32 - 1  # of the circumstances of a record about a row of their table
    ROW = 2**32 - 2  # which row that is (sssd.circumstances)
    LABELS = 2**32 - 4  # which labels a record of a corpus has
    ATTEMPT = 2**32 - 5  # the seed under which a record is drawn again
    MAINS = 2**32 - 14  # noise on request, by kind
    MUSCLE = 2**32 - 15
    BASELINE = 2**32 - 16
    COMMON = 2**32 - 30  # above 46.5 Hz: the noise that beats have in common
    OWN = 2**32 - 31  # the noise of the record alone
    LEVEL = 2**32 - 32  # which recording its levels are those of


def normal(
    seed: Seeds,
    index: Tensor | Sequence[int],
    step: int,
    shape: tuple[int, int],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return the standard normal noise of records `index` (B,) at one step: (B, C, L) float32, `shape` being (C, L).

    seed: one for all records or one for each. Its 64 bits are the key of Philox. The counter holds (element // 4, step,
    index low, index high), so that no two (index, step, element) share random bits under one seed.
    Raises ValueError unless 0 <= seed < 2**64, 0 <= step < 2**32, and index holds whole numbers, one for each seed.
    """
    return drawn(origin(seed, index, device), step, shape)


def origin(seed: Seeds, index: Tensor | Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Return the 64 bits of the seed and of the index of each record, on which its noise depends: (B, 2) int64.

    Raises ValueError as `normal`.
    """
    seeds = [checked_seed(one) for one in ([seed] if np.ndim(seed) == 0 else seed)]  # type: ignore[union-attr]
    record = index if isinstance(index, Tensor) else torch.tensor(list(index), dtype=torch.int64)
    if record.ndim != 1 or record.is_floating_point() or record.is_complex() or record.dtype == torch.bool:
        raise ValueError(f"index is {tuple(record.shape)} of {record.dtype}: expected (B,) whole numbers")
    if len(seeds) not in (1, len(record)):
        raise ValueError(
            f"got {counted(len(seeds), 'seed')} and {counted(len(record), 'record')}: give one seed or one for each"
        )
    signed = [one - 2**64 if one >= 2**63 else one for one in seeds]
    key = torch.tensor(signed, dtype=torch.int64, device=record.device).expand(len(record))
    return torch.stack((key, record.to(torch.int64)), dim=1).to(device)


def drawn(state: Tensor, step: int, shape: tuple[int, int]) -> Tensor:
    """Return the noise of `normal` from the `origin` (B, 2) of the records, on its device. It waits for no device.

    On a GPU one kernel draws it where Triton works; the plain way takes a hundred launches.
    """
    size = shape[0] * shape[1]
    if state.device.type == "cuda" and kernel_works(state.device):
        from .engine.kernels.noise import normal as kernel

        return kernel(state, _checked_step(step), size).view(-1, *shape)
    return _plain(state, step, size).reshape(len(state), *shape)


def _plain(state: Tensor, step: int, size: int) -> Tensor:
    """Return `size` standard normals for each record: (B, size)."""
    r0, r1, r2, r3 = _words(state, step, -(-size // 4))  # each (B, blocks)
    z = torch.stack((*_box_muller(r0, r1), *_box_muller(r2, r3)), dim=-1)  # (B, blocks, 4)
    return z.flatten(1)[:, :size]


@cache
def kernel_works(device: torch.device) -> bool:
    """Return whether the kernel runs on this device and draws the same noise. It is tried once.

    It needs Triton, and Triton a compiler of C and a GPU that it knows; what it raises without them differs.
    """
    state = origin([2**64 - 1], [2**40 + 3], device)
    try:
        from .engine.kernels.noise import normal as kernel

        return bool((kernel(state, 199, 97) - _plain(state, 199, 97)).abs().max() < 1e-6)
    except Exception:
        return False


def integers(state: Tensor, step: int, below: int | Tensor) -> Tensor:
    """Return a whole number from 0 to below - 1 for each record of an `origin` (B, 2): (B,) int64.

    below: one for all, or (B,) int64. `normal` uses the same random bits: take a step that nothing else has. All
    numbers are equally likely, up to a share of below / 2**32. Raises ValueError for a step that is none.
    """
    return _words(state, step, 1)[0][:, 0] * below >> 32


def seed_of_attempt(seed: int, attempt: int) -> int:
    """Return the seed under which a record is drawn again: `seed` itself for attempt 0, else one of 64 bits.

    So attempt k of a record depends on its seed, its index and k alone. The bits are Philox's of a step that no
    sampler reaches. ValueError for a seed or an attempt that is none.
    """
    if attempt == 0:
        return checked_seed(seed)
    low, high, *_ = _words(origin(seed, [attempt]), Reserved.ATTEMPT, 1)
    return int(low) | int(high) << 32


def _words(state: Tensor, step: int, blocks: int) -> Words:
    """Return four words of random bits for each record and block, each (B, blocks) int64; see `normal`."""
    key, record = state[:, :1], state[:, 1:]  # (B, 1)
    block = torch.arange(blocks, device=state.device)[None]  # (1, blocks) of 4 elements
    counter = (block, torch.full_like(block, _checked_step(step)), record & _MASK, (record >> 32) & _MASK)
    return philox(counter, (key & _MASK, (key >> 32) & _MASK))


def _checked_step(step: int) -> int:
    if not 0 <= step < 2**32:
        raise ValueError(f"step is {step}: expected 0 <= step < 2**32")
    return step


def philox(counter: Words, key: tuple[int, int] | tuple[Tensor, Tensor]) -> Words:
    """Philox-4x32-10 (Salmon et al. 2011, section 3.3): 4 words of 32 random bits for each counter.

    counter, key: int64 tensors that broadcast against each other, with values in 0 .. 2**32 - 1. The words are, too.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(_MULTIPLIERS[0], c0)
        high1, low1 = _multiply(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def _multiply(m: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the high and the low 32 bits of m x, for m and x below 2**32.

    The product has 64 bits. Where its first is set, int64 shows a negative number with the same bits.
    """
    product = x * m
    return (product >> 32) & _MASK, product & _MASK


def _box_muller(r0: Tensor, r1: Tensor) -> tuple[Tensor, Tensor]:
    """Return two independent normals from two words of 32 bits (Box and Muller 1958), computed in float64."""
    radius = torch.sqrt(-2.0 * torch.log((r0.double() + 0.5) * 2.0**-32))
    angle = r1.double() * (2.0 * math.pi * 2.0**-32)
    return (radius * torch.cos(angle)).float(), (radius * torch.sin(angle)).float()


def seed_or_drawn(seed: int | None) -> int:
    """Return the given seed, or one that is drawn from torch's global generator."""
    return int(torch.randint(2**63 - 1, (), device="cpu")) if seed is None else checked_seed(seed)
