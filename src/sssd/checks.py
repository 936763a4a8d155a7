"""Checks of numbers that a user gives, each with one clear message."""

from __future__ import annotations

import operator
from typing import Any


def whole(name: str, value: Any) -> int:
    """The value as a plain int; ValueError, which calls it by `name`, unless it is a whole number of at least 1."""
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}: expected a whole number of at least 1")
    return count


def checked_seed(seed: Any) -> int:
    """The seed as a plain int; ValueError unless it is a whole number from 0 to 2**64 - 1."""
    try:
        value = operator.index(seed)
    except TypeError:
        value = -1
    if not 0 <= value < 2**64:
        raise ValueError(f"seed is {seed!r}: expected a whole number, 0 <= seed < 2**64")
    return value
