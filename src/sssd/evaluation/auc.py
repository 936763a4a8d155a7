"""Areas under ROC curves with their bootstrap interval, over the records of the test set.

A resample draws as many records as there are, with replacement; a record drawn twice counts twice. Areas are computed
for all resamples at once, by sorting each statement's scores once (Mann and Whitney 1947, ties count one half).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

MIN_POSITIVES = 5
RESAMPLES = 1000


def frequent(y: NDArray[np.integer], *, min_positives: int = MIN_POSITIVES) -> NDArray[np.int64]:
    """Return the columns of y (n, K) whose statement `min_positives` records or more carry, and as many do not."""
    positives = np.asarray(y, dtype=np.int64).sum(axis=0)
    return np.flatnonzero((positives >= min_positives) & (len(y) - positives >= min_positives))


def weighted_auc(y: NDArray[np.integer], score: FloatArray, weights: FloatArray) -> NDArray[np.float64]:
    """Area under the ROC curve of one statement, y (n,) and score (n,), for each row of weights (R, n): (R,).

    It is NaN where a row leaves no record with the statement, or none without.
    """
    order = np.argsort(score, kind="stable")
    ranked = np.asarray(score)[order]
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))  # of each group of equal scores
    positive = np.add.reduceat(weights[:, order] * y[order], first, axis=1)  # (R, groups)
    negative = np.add.reduceat(weights[:, order] * (1 - y[order]), first, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2.0
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: NDArray[np.float64] = (positive * below).sum(axis=1) / pairs
    return area


def single_auc(y: NDArray[np.integer], score: FloatArray) -> float:
    """Return the area under the ROC curve of one statement, y (n,) and score (n,); NaN as in `weighted_auc`."""
    return float(weighted_auc(y, score, np.ones((1, len(y))))[0])


def macro_auc(
    y: NDArray[np.integer],
    scores: Sequence[FloatArray],
    columns: NDArray[np.integer],
    *,
    resamples: int = RESAMPLES,
) -> dict[str, Any] | None:
    """Return the macro AUC over `columns` of labels y (n, K) for the scores (n, K) of each seed; None without columns.

    {"mean" over seeds, "std" over seeds (None for one), "values", "low", "high"}: low and high hold 95 % of the means
    over seeds of resampled test records.
    """
    if not len(columns):
        return None
    n = len(y)
    rng = np.random.default_rng(0)
    weights = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=resamples)])
    areas = np.array([[weighted_auc(y[:, k], p[:, k], weights) for k in columns] for p in scores])
    known = np.isfinite(areas).any(axis=(0, 1))  # a resample without any of the statements says nothing
    by_seed = np.nanmean(areas[..., known], axis=1)  # (seeds, 1 + resamples)
    low, high = np.percentile(by_seed[:, 1:].mean(axis=0), [2.5, 97.5])
    values = by_seed[:, 0].tolist()
    return {**spread(values), "low": float(low), "high": float(high)}


def by_statement(
    y: NDArray[np.integer], scores: Sequence[FloatArray], columns: NDArray[np.integer], names: Sequence[str]
) -> dict[str, float]:
    """Return the mean over seeds of the area under the ROC curve of each of `columns`, by its name."""
    return {names[k]: float(np.mean([single_auc(y[:, k], p[:, k]) for p in scores])) for k in columns}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean over seeds, sample standard deviation (None for one seed), and the values themselves."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": deviation, "values": [float(v) for v in values]}
