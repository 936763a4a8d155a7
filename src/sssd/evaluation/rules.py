"""Do generated records obey the rules of their statements (`signals.rules`) as often as recordings do?

Recordings do not all obey the rules either, so the share of generated records that obey is compared with the share of
recordings, measured in the same way.

PR, QTc and P waves come from the delineation of lead II (`signals.waves`). The QRS width comes from
`signals.beats.qrs_width` over all leads, because the one in lead II stayed below 120 ms in all of 120 bundle branch
blocks of PTB-XL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from ..labels import has
from ..signals.rules import RULES, Rule

LEAST = 20, 10  # recordings and generated records; fewer do not say how often they obey
MARGIN = 0.05  # generated records may obey this much less often

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
    ("share") and its 95 % interval ("low", "high", Wilson 1927). "enough" says whether there are 20 recordings and 10
    generated records or more, and "passed" whether the generated share is at least that of the recordings less 5
    percentage points (None if not "enough").
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
        enough = real["records"] >= LEAST[0] and made["records"] >= LEAST[1]
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
