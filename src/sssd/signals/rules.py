"""Rules: what a record with a statement should show, by criteria that a reader of ECGs measures.

A rule says, for example, that the PR interval is above 200 ms in first-degree AV block. Recordings do not all obey the
rules either: cardiologists see more than one number, and measuring errs.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COMPARE: Mapping[str, Callable[[Any, float], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
}
_EXPECTED = {">": "more than {}", ">=": "{} or more", "<": "less than {}"}
_WORDS = {  # measure -> its name, unit, factor and decimals, as they are written for readers
    "heart_rate": ("rate", "/min", 1.0, 0),
    "pr": ("PR", "ms", 1.0, 0),
    "qrs_width": ("QRS", "ms", 1.0, 0),
    "qtc": ("QTc", "ms", 1.0, 0),
    "rr_variability": ("RMSSD", "ms", 1.0, 0),
    "p_waves": ("beats with a P wave", "%", 100.0, 0),
    "sokolow_lyon": ("S in V1 + R in V5 or V6", "mV", 1.0, 2),
    "limb_voltage": ("largest QRS in the limb leads", "mV", 1.0, 2),
}


@dataclass(frozen=True)
class Rule:
    """A record with `statement` should have `measure` (a key of `evaluation.rhythm.UNITS`) above or below `limit`."""

    statement: str
    measure: str
    sign: str  # ">", ">=" or "<"
    limit: float
    words: str

    @property
    def expected(self) -> str:
        """What is expected, in words and in the unit of readers, such as "more than 100"."""
        return _EXPECTED[self.sign].format(f"{_WORDS[self.measure][2] * self.limit:g}")

    def obeyed(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return whether each record obeys, (n,); a record that cannot be measured does not."""
        with np.errstate(invalid="ignore"):
            return np.asarray(_COMPARE[self.sign](values, self.limit), dtype=np.bool_)


RULES = (
    Rule("1AVB", "pr", ">", 200.0, "PR > 200 ms"),
    Rule("WPW", "pr", "<", 120.0, "PR < 120 ms"),
    Rule("LNGQT", "qtc", ">", 460.0, "QTc > 460 ms"),
    Rule("CLBBB", "qrs_width", ">=", 120.0, "QRS >= 120 ms"),
    Rule("CRBBB", "qrs_width", ">=", 120.0, "QRS >= 120 ms"),
    Rule("STACH", "heart_rate", ">", 100.0, "rate > 100 /min"),
    Rule("SBRAD", "heart_rate", "<", 60.0, "rate < 60 /min"),
    Rule("SARRH", "rr_variability", ">", 100.0, "RMSSD > 100 ms"),
    Rule("AFIB", "rr_variability", ">", 100.0, "RMSSD > 100 ms"),
    Rule("AFIB", "p_waves", "<", 0.5, "P before fewer than half of the beats"),
    Rule("LVH", "sokolow_lyon", ">=", 3.5, "S in V1 + R in V5 or V6 >= 3.5 mV"),
    Rule("LVOLT", "limb_voltage", "<", 0.5, "QRS < 0.5 mV in all limb leads"),
)


@dataclass(frozen=True)
class Check:
    """What one record shows of a statement by one rule. shown: None if the record cannot be measured."""

    rule: Rule
    value: float | None
    shown: bool | None

    @property
    def words(self) -> str:
        """Say what was measured and what was expected, such as "QRS: measured 106 ms, expected 120 or more"."""
        name, unit, factor, decimals = _WORDS[self.rule.measure]
        expected = self.rule.expected
        if self.value is None:
            return f"{name}: not measurable, expected {expected} {unit}"
        return f"{name}: measured {factor * self.value:.{decimals}f} {unit}, expected {expected}"


def rate_hints(statements: Iterable[str], heart_rate: float) -> list[str]:
    """Say which statements, given as codes, a heart rate in beats per minute contradicts."""
    return [
        f"{rule.statement} is a rate of {rule.expected} /min, and {heart_rate:g} /min is asked for"
        for rule in RULES
        if rule.measure == "heart_rate"
        and rule.statement in statements
        and not rule.obeyed(np.array(heart_rate))
    ]


def check(values: Mapping[str, float], statements: Iterable[str]) -> list[Check]:
    """Return a check for each rule of the statements of one record, in the order of the statements.

    values: measures of the record by name; one that is missing or NaN could not be measured. A measure is rounded as
    it is written, so that the words and `shown` agree.
    """
    checks = []
    for statement in statements:
        for rule in (rule for rule in RULES if rule.statement == statement):
            value = values.get(rule.measure, math.nan)
            if math.isnan(value):
                checks.append(Check(rule, None, None))
                continue
            _, _, factor, decimals = _WORDS[rule.measure]
            value = round(factor * value, decimals) / factor
            checks.append(Check(rule, value, bool(rule.obeyed(np.array(value)))))
    return checks


def shown(checks: Iterable[Check]) -> dict[str, bool | None]:
    """Return whether the record shows each checked statement.

    A statement is shown if it obeys all of its rules, and not shown if it breaks one. None means that nothing is
    broken, but something could not be measured.
    """
    by_statement: dict[str, list[bool | None]] = {}
    for one in checks:
        by_statement.setdefault(one.rule.statement, []).append(one.shown)
    return {
        statement: False if False in found else None if None in found else True
        for statement, found in by_statement.items()
    }
