"""How often a record has the heart rate that it was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from ..data.recordings import Recordings, eight_leads_mv
from ..labels import has
from ..signals.beats import find_beats, mean_heart_rate

WITHIN = 5.0  # beats per minute
LOWEST, HIGHEST = 40.0, 160.0  # beats per minute; what is asked for outside of these does not count
IRREGULAR = "AFIB"  # records with it do not count, since no single RR interval stands for them


def delivered(synthetic: Recordings) -> dict[str, Any] | None:
    """Return how many records were asked for a heart rate ("records"), and the share whose rate is within 5 /min.

    Only records that were asked for 40 to 160 /min and have no AFIB count. The rate of a record is 60 s over its mean
    RR interval; a record in which it cannot be measured counts as not near. "share" comes with its 95 % interval
    ("low", "high", Wilson 1927), and with the median of |delivered - asked| in /min ("median_difference"). None if no
    record counts.
    """
    if synthetic.heart_rate is None:
        return None
    counts = (synthetic.heart_rate >= LOWEST) & (synthetic.heart_rate <= HIGHEST)  # NaN does not
    if IRREGULAR in synthetic.label_names:
        counts &= ~has(synthetic.labels)[:, synthetic.label_names.index(IRREGULAR)]
    if not counts.any():
        return None
    fs_hz = synthetic.fs_hz
    found = [
        mean_heart_rate(find_beats(record, fs_hz), fs_hz) for record in eight_leads_mv(synthetic)[counts]
    ]
    difference = np.abs(np.array(found) - synthetic.heart_rate[counts])
    near = difference <= WITHIN
    interval = binomtest(int(near.sum()), len(near)).proportion_ci(method="wilson")
    measured = difference[np.isfinite(difference)]
    return {
        "records": len(near),
        "share": float(near.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
        "median_difference": float(np.median(measured)) if len(measured) else None,
    }
