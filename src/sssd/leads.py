"""The twelve leads from the eight independent ones, and back (Einthoven 1913, Goldberger 1942).

The limb leads I and aVF fix the other four:

    II = I/2 + aVF      III = aVF - I/2      aVR = -3/4 I - aVF/2      aVL = 3/4 I - aVF/2

so that I + III = II and aVR + aVL + aVF = 0 hold up to rounding. Arrays are (..., leads, L) in any unit. Every
function takes a NumPy array or a torch tensor, and returns a new one of the same kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", "np.ndarray", "torch.Tensor")

EIGHT = ("I", "V1", "V2", "V3", "V4", "V5", "V6", "aVF")
CLINICAL = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SSSD = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "aVR", "aVL", "aVF")
ORDERS = {"clinical": CLINICAL, "sssd": SSSD}

# lead -> (factor of I, factor of aVF)
_LIMB = {"II": (0.5, 1.0), "III": (-0.5, 1.0), "aVR": (-0.75, -0.5), "aVL": (0.75, -0.5)}
_SPELLING = {name.upper(): name for name in CLINICAL}


def lead_names(order: str | Sequence[str] = "clinical") -> tuple[str, ...]:
    """The names of the 12 leads in an order: "clinical", "sssd", or the names themselves in any order and case.

    ValueError unless these are the 12 leads, each once.
    """
    if isinstance(order, str):
        if order not in ORDERS:
            raise ValueError(f"unknown lead order {order!r}; choose one of {', '.join(ORDERS)}")
        return ORDERS[order]
    names = tuple(_SPELLING.get(str(name).upper(), str(name)) for name in order)
    if sorted(names) != sorted(CLINICAL):
        given = ", ".join(names) or "none"
        raise ValueError(f"leads must be {', '.join(CLINICAL)}, each once and in any order; got {given}")
    return names


def to_twelve(x: Array, order: str | Sequence[str] = "clinical") -> Array:
    """Twelve leads (..., 12, L) in `order` from the eight (..., 8, L), I V1..V6 aVF; floating point only."""
    _check(x, EIGHT)
    floating = np.issubdtype(x.dtype, np.floating) if isinstance(x, np.ndarray) else x.is_floating_point()
    if not floating:
        raise ValueError(
            f"limb leads are halves of others, so the signal must be floating point; got {x.dtype}"
        )
    names = lead_names(order)
    one, avf = x[..., 0, :], x[..., 7, :]
    out = x[..., [EIGHT.index(name) if name in EIGHT else 0 for name in names], :]  # a copy, (..., 12, L)
    for row, name in enumerate(names):
        if name in _LIMB:
            of_one, of_avf = _LIMB[name]
            out[..., row, :] = of_one * one + of_avf * avf
    return out


def to_eight(x: Array, order: str | Sequence[str] = "clinical") -> Array:
    """The eight independent leads (..., 8, L), I V1..V6 aVF, from twelve (..., 12, L) in `order`."""
    names = lead_names(order)
    _check(x, names)
    return x[..., [names.index(name) for name in EIGHT], :]


def reorder(x: Array, source: str | Sequence[str], target: str | Sequence[str] = "clinical") -> Array:
    """Twelve leads (..., 12, L) in the order `target`, given in the order `source`."""
    names = lead_names(source)
    _check(x, names)
    return x[..., [names.index(name) for name in lead_names(target)], :]


def _check(x: Array, names: tuple[str, ...]) -> None:
    if x.ndim < 2 or x.shape[-2] != len(names):
        expected = f"(..., {len(names)}, L), leads {' '.join(names)}"
        raise ValueError(f"signal has shape {tuple(x.shape)}; expected {expected}")
