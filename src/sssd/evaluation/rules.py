"""Rules: do records show what their statements say, by criteria that a reader of ECGs measures?

A rule says what a record with a statement should show, such as a PR interval above 200 ms for first-degree AV block.
Recordings do not all obey the rules either: cardiologists see more than one number, and measuring errs. So the share of
generated records that obey is compared with the share of recordings, measured in the same way.

PR, QTc and P waves come from NeuroKit2's delineation of lead II. The QRS width comes from `signals.beats.qrs_width`
over all leads, because NeuroKit2's in lead II stayed below 120 ms in all of 120 bundle branch blocks of PTB-XL.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from ..labels import has

LEAST_RECORDINGS = 20  # fewer do not say how often recordings obey
MARGIN = 0.05  # generated records may obey this much less often

_COMPARE: Mapping[str, Callable[[Any, float], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Rule:
    """A record with `statement` should have `measure` (one of `rhythm.UNITS`) above or below `limit`."""

    statement: str
    measure: str
    sign: str  # ">", ">=" or "<"
    limit: float
    words: str

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

Values = Mapping[str, NDArray[np.floating]]


def compare(
    recorded: Values,
    recorded_labels: NDArray[np.integer],
    generated: Values,
    generated_labels: NDArray[np.integer],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Return each rule whose statement is among the label names and is carried on both sides, one dictionary each.

    recorded, generated: measures of each record, see `rhythm.rhythm_and_shape`; labels (n, K) with K names.

    "recorded" and "generated" hold how many records carry the statement ("records"), the share of them that obeys
    ("share") and its 95 % interval ("low", "high", Wilson 1927). "enough" says whether there are 20 recordings or more,
    and "passed" whether the generated share is at least that of the recordings less 5 points (None if not "enough").
    """
    found = []
    for rule in RULES:
        if rule.statement not in names:
            continue
        column = list(names).index(rule.statement)
        real = _share(rule, recorded, recorded_labels[:, column])
        made = _share(rule, generated, generated_labels[:, column])
        if real is None or made is None:
            continue
        enough = real["records"] >= LEAST_RECORDINGS
        found.append(
            {
                "statement": rule.statement,
                "rule": rule.words,
                "recorded": real,
                "generated": made,
                "enough": enough,
                "passed": made["share"] >= real["share"] - MARGIN if enough else None,
            }
        )
    return found


def _share(rule: Rule, values: Values, carried: NDArray[np.integer]) -> dict[str, Any] | None:
    obeyed = rule.obeyed(np.asarray(values[rule.measure])[has(carried)])
    if not len(obeyed):
        return None
    test = binomtest(int(obeyed.sum()), len(obeyed)).proportion_ci(method="wilson")
    return {
        "records": len(obeyed),
        "share": float(obeyed.mean()),
        "low": float(test.low),
        "high": float(test.high),
    }
