"""Checks of values that a user gives and of packages that a user may lack, each with one clear message."""

from __future__ import annotations

import contextlib
import logging
import math
import numbers
import operator
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

LEAST_S = 2.5  # seconds of a record, and of each part of one
MOST_S = 600.0  # seconds of a record that a service or a corpus makes
MOST_THREADS = 4096  # of a CPU, for a corpus


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return the value as a plain int; ValueError, which calls it `name`, unless it is a whole number from `least`."""
    number = _integer(value)
    if number is None or number < least:
        raise ValueError(f"{name} is {value!r}: expected a whole number of at least {least}")
    return number


def checked_seed(seed: Any) -> int:
    """Return the seed as a plain int; ValueError unless it is a whole number from 0 to 2**64 - 1."""
    number = _integer(seed)
    if number is None or not 0 <= number < 2**64:
        raise ValueError(f"seed is {seed!r}: expected a whole number, 0 <= seed < 2**64")
    return number


def checked_index(index: Any) -> int:
    """Return the number of a record as a plain int; ValueError unless it is a whole number from 0 to 2**63 - 1."""
    number = _integer(index)
    if number is None or not 0 <= number < 2**63:
        raise ValueError(f"index is {index!r}: expected a whole number, 0 <= index < 2**63")
    return number


def number(value: Any) -> float:
    """Return a number of Python or NumPy as a plain float, and NaN, which lies in no range, for anything else."""
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan


def one_of(name: str, value: Any, known: Sequence[str], more: str = "") -> str:
    """Return the value.

    ValueError, which calls it `name`, unless it is one of the `known` texts. more: ends the message.
    """
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {value!r}: expected one of {', '.join(known)}{more}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return the value as a plain bool; ValueError, which calls it `name`, unless it is True, False, 1 or 0."""
    plain = bool(value) if isinstance(value, np.bool_) else value
    if not isinstance(plain, int) or plain not in (0, 1):
        raise ValueError(f"{name} is {value!r}: expected True or False")
    return bool(plain)


def check_keywords(function: str, given: Mapping[str, Any], known: type) -> None:
    """Raise TypeError, as Python does, if a keyword is given that a TypedDict does not declare."""
    unknown = [name for name in given if name not in known.__annotations__]
    if unknown:
        raise TypeError(f"{function}() got an unexpected keyword argument {unknown[0]!r}")


def only(given: Mapping[str, Any], kind: type) -> Any:
    """Return the keywords that a TypedDict declares."""
    return {name: value for name, value in given.items() if name in kind.__annotations__}


def durations(given: Any) -> tuple[float, ...]:
    """Return the lengths of the parts of a record in s: one, several, or none where nothing is given.

    ValueError unless each is a number of at least 2.5.
    """
    if given is None:
        return ()
    try:
        found = tuple(float(one) for one in np.atleast_1d(np.asarray(given, dtype=np.float64)))
    except (TypeError, ValueError):
        found = (math.nan,)
    for one in found or (math.nan,):
        if not LEAST_S <= one < math.inf:
            raise ValueError(
                f"duration is {given!r}: expected seconds, at least {LEAST_S:g}, or several of these"
            )
    return found


def timed(labels: Sequence[str]) -> tuple[list[str], tuple[float, ...]]:
    """Return the labels of a strip and the seconds of each, from labels such as NORM@0-30 and AFIB@30-60.

    There are no seconds where no label has times. ValueError unless each begins where the one before it ends.
    """
    found = [re.fullmatch(r"(.+)@(\d+\.?\d*)-(\d+\.?\d*)", label) for label in labels]
    if not any(found):
        return list(labels), ()
    names, seconds, end = [], [], 0.0
    for label, match in zip(labels, found, strict=True):
        if match is None or float(match[2]) != end:
            raise ValueError(
                f"{label}: expected parts that follow each other from 0 s, as in NORM@0-30 and AFIB@30-60"
            )
        names.append(match[1])
        seconds.append(float(match[3]) - end)
        end = float(match[3])
    return names, durations(seconds)


class Notice(UserWarning):
    """A warning of this package; the command line prints it as a note."""


def warn(text: str) -> None:
    """Warn at the line outside of this package that called it."""
    level, frame, ours = 1, sys._getframe(), (os.path.dirname(__file__), contextlib.__file__)
    while frame is not None and frame.f_code.co_filename.startswith(ours):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(text, Notice, stacklevel=level)


def counted(number: int, what: str) -> str:
    """Return a number with the word for what it counts: "1 record", "2 records"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@contextmanager
def needed_for(what: str, extra: str) -> Iterator[None]:
    """Around imports of optional packages: ModuleNotFoundError names the one that is missing and how to install it.

    what: begins the message, such as "fitting needs". extra: the extra of this package that brings them.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        text = f"{what} the module {error.name}, which is not installed: pip install 'sssd-ecg[{extra}]'"
        raise ModuleNotFoundError(text, name=error.name) from error


@contextmanager
def errors_only(*loggers: str) -> Iterator[None]:
    """Within the block, these loggers let no warning through, only errors."""
    before = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _integer(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
