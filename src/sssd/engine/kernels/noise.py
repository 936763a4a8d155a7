"""The noise of sssd.noise in one launch: Philox-4x32-10, then Box-Muller in float64, four elements at a time.

The random bits are the same as there; the normals differ by the rounding of log, cos and sin at most.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256


@triton.jit(do_not_specialize=["step"])
def _normal(state, out, step, size: tl.constexpr, blocks: tl.constexpr, BLOCK: tl.constexpr):
    tiles: tl.constexpr = (blocks + BLOCK - 1) // BLOCK
    record = (tl.program_id(0) // tiles).to(tl.int64)
    block = tl.program_id(0) % tiles * BLOCK + tl.arange(0, BLOCK)
    seed, index = tl.load(state + 2 * record), tl.load(state + 2 * record + 1)
    same = tl.zeros_like(block)
    low, high = (index & 0xFFFFFFFF).to(tl.uint32), ((index >> 32) & 0xFFFFFFFF).to(tl.uint32)
    r0, r1, r2, r3 = tl.philox(seed, block, same + step, same.to(tl.uint32) + low, same.to(tl.uint32) + high)
    at = out + record * size
    z0, z1 = _box_muller(r0, r1)
    tl.store(at + 4 * block, z0, mask=4 * block < size)
    tl.store(at + 4 * block + 1, z1, mask=4 * block + 1 < size)
    z2, z3 = _box_muller(r2, r3)
    tl.store(at + 4 * block + 2, z2, mask=4 * block + 2 < size)
    tl.store(at + 4 * block + 3, z3, mask=4 * block + 3 < size)


@triton.jit
def _box_muller(a, b):
    radius = tl.sqrt(-2.0 * tl.log((a.to(tl.float64) + 0.5) * 2.3283064365386963e-10))
    angle = b.to(tl.float64) * 1.4629180792671596e-09
    return (radius * tl.cos(angle)).to(tl.float32), (radius * tl.sin(angle)).to(tl.float32)


def normal(state: Tensor, step: int, size: int) -> Tensor:
    """Return `size` standard normals for each record of an `sssd.noise.origin` (B, 2) int64: (B, size)."""
    out = torch.empty(len(state), size, dtype=torch.float32, device=state.device)
    blocks = triton.cdiv(size, 4)
    signed = step - 2**32 if step >= 2**31 else step  # the same 32 bits, whatever type the launcher takes
    _normal[(len(state) * triton.cdiv(blocks, BLOCK),)](
        state, out, signed, size=size, blocks=blocks, BLOCK=BLOCK
    )
    return out
