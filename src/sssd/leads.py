"""The twelve leads from the eight independent ones, and back (Einthoven 1913, Goldberger 1942).

The limb leads I and aVF fix the other four:

    II = I/2 + aVF      III = aVF - I/2      aVR = -3/4 I - aVF/2      aVL = 3/4 I - aVF/2

so that I + III = II and aVR + aVL + aVF = 0 hold up to rounding. Arrays are (..., leads, L) in any unit. Every
function takes a NumPy array or a torch tensor, and returns a new one of the same kind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", "np.ndarray", "torch.Tensor")

EIGHT = ("I", "V1", "V2", "V3", "V4", "V5", "V6", "aVF")
CLINICAL = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SSSD = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "aVR", "aVL", "aVF")
ORDERS = {"clinical": CLINICAL, "sssd": SSSD}

# lead -> (factor of I, factor of aVF)
_LIMB = {"II": (0.5, 1.0), "III": (-0.5, 1.0), "aVR": (-0.75, -0.5), "aVL": (0.75, -0.5)}
_FROM_TWO = {"I": (1.0, 0.0), "aVF": (0.0, 1.0), **_LIMB}
_NAMES = {
    **{name.casefold(): name for name in CLINICAL},
    **{f"d{number}": name for name in ("I", "II", "III") for number in (name.casefold(), len(name))},
    **{f"c{k}": f"V{k}" for k in range(1, 7)},
}


def lead_names(order: str | Sequence[str] = "clinical") -> tuple[str, ...]:
    """Return the names of the 12 leads in an order: "clinical", "sssd", or names as `lead_of` knows them, in any order.

    ValueError unless these are the 12 leads, each once.
    """
    if isinstance(order, str):
        if order not in ORDERS:
            raise ValueError(f"unknown lead order {order!r}; choose one of {', '.join(ORDERS)}")
        return ORDERS[order]
    found = ((str(name), lead_of(name)) for name in order)
    names = tuple(lead[0] if lead is not None and lead[1] == 1 else name for name, lead in found)
    if sorted(names) != sorted(CLINICAL):
        given = ", ".join(names) or "none"
        raise ValueError(f"leads must be {', '.join(CLINICAL)}, each once and in any order; got {given}")
    return names


def to_twelve(x: Array, order: str | Sequence[str] = "clinical") -> Array:
    """Return twelve leads (..., 12, L) in `order` from the eight (..., 8, L), I V1..V6 aVF; floating point only."""
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
    """Return the eight independent leads (..., 8, L), I V1..V6 aVF, from twelve (..., 12, L) in `order`."""
    names = lead_names(order)
    _check(x, names)
    return x[..., [names.index(name) for name in EIGHT], :]


def reorder(x: Array, source: str | Sequence[str], target: str | Sequence[str] = "clinical") -> Array:
    """Return twelve leads (..., 12, L) in the order `target`, given in the order `source`."""
    names = lead_names(source)
    _check(x, names)
    return x[..., [names.index(name) for name in lead_names(target)], :]


def lead_of(name: str) -> tuple[str, int] | None:
    """Return the lead that a name stands for, and its sign; None if it is none of the 12.

    "Lead I", "lead_ii", "MDC_ECG_LEAD_V1", "ECG aVR", "DII" and "C1" are names of leads, and "-aVR" is one of sign -1.
    "I-II" is a difference and "aVR-" may be turned over; these are none.
    """
    text = re.sub(r"\s*[\[(][num\u00b5\u03bc]?v[\])]$", "", str(name).strip().casefold())
    sign = -1 if re.match("[-\u2212]", text) else 1
    text = text.lstrip("-\u2212 ")
    text = re.sub(r"^(mdc)?[\s_-]*(ecg|ekg)?[\s_-]*(lead|ableitung)?[\s_:-]*", "", text).rstrip("_ ")
    parts = re.fullmatch(r"(a?)[\s_-]?([vdc]?)[\s_-]?(i+|[1-6rlf])", text)
    lead = _NAMES.get("".join(parts.groups())) if parts else None
    return None if lead is None else (lead, sign)


def twelve_from(
    signal: NDArray[np.float64], names: Sequence[str], *, partial: bool = False
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the 12 leads (12, L) in clinical order, from rows (n, L) with their names, and which were derived.

    Two limb leads give the other four. Rows of other names are ignored. partial: a lead that is missing and does not
    follow from others is NaN. ValueError if a lead is there twice, none is there, or one is missing unless `partial`.
    """
    rows: dict[str, NDArray[np.float64]] = {}
    for name, row in zip(names, signal, strict=True):
        found = lead_of(name)
        if found is None:
            continue
        lead, sign = found
        if lead in rows:
            raise ValueError(f"has lead {lead} twice")
        rows[lead] = row if sign == 1 else -row
    limb = [lead for lead in CLINICAL if lead in _FROM_TWO and lead in rows]
    missing = [lead for lead in CLINICAL if lead not in rows and (lead not in _FROM_TWO or len(limb) < 2)]
    if missing and not (partial and rows):
        raise ValueError(f"lacks lead {', '.join(missing)}; it has {', '.join(map(str, names)) or 'none'}")
    derived = tuple(lead for lead in CLINICAL if lead not in rows and lead not in missing)
    if derived:
        pair = limb[:2]
        one_avf = np.linalg.inv(
            np.array([_FROM_TWO[lead] for lead in pair])
        )  # (2, 2): I and aVF from the pair
        for lead in derived:
            of_pair = np.array(_FROM_TWO[lead]) @ one_avf
            rows[lead] = of_pair[0] * rows[pair[0]] + of_pair[1] * rows[pair[1]]
    nothing = np.full(signal.shape[1], np.nan)
    return np.stack([rows.get(lead, nothing) for lead in CLINICAL]), derived


def _check(x: Array, names: tuple[str, ...]) -> None:
    if x.ndim < 2 or x.shape[-2] != len(names):
        expected = f"(..., {len(names)}, L), leads {' '.join(names)}"
        raise ValueError(f"signal has shape {tuple(x.shape)}; expected {expected}")
