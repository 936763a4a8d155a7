"""The quality of a sampler, as a share of that of DDPM over all steps with the same model.

Four figures of a set that a sampler made for the label vectors of the test records:

    utility      macro AUC on real records after training on generated ones      higher is better
    adherence    macro AUC of a classifier trained on real records, on the set   higher is better
    frechet      Frechet distance to the test records in its features            lower is better
    rhythm       rhythm and shape: mean over `MEASURES` of the Kolmogorov-Smirnov distance to the test records

Quality is the ratio to DDPM's figure. For a distance d, with d_real the distance of real records to real ones, it is

    min(1, (d_ddpm - d_real) / (d - d_real))        both differences at least 5 % of d_real

Ratios are taken seed by seed: a seed stands for one generated set, one training set and one classifier. The headline is
the worst of the four.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, t

BASELINE = "ddpm200"
HIGHER = ("utility", "adherence")
DISTANCES = ("frechet", "rhythm")
SMALLEST = 0.05  # of d_real: a smaller excess over it counts as this much
MEASURES = ("beat_regularity", "beat_likeness", "heart_rate", "rr_variability", "pr", "qrs", "qtc", "st", "t")

Figures = Mapping[str, float]  # utility, adherence, frechet, rhythm: those that were measured


def rhythm_distance(made: Mapping[str, NDArray[Any]], real: Mapping[str, NDArray[Any]]) -> float:
    """Return the mean over `MEASURES` of the Kolmogorov-Smirnov distance between two sets' values (n,), (m,).

    NaNs are left out. A measure that no record of a set has counts as 1, the largest distance there is.
    """
    distances = []
    for measure in MEASURES:
        a, b = (values[measure][np.isfinite(values[measure])] for values in (made, real))
        distances.append(ks_2samp(a, b).statistic if len(a) and len(b) else 1.0)
    return float(np.mean(distances))


def ratio(figure: str, value: float, ddpm: float, real: float | None = None) -> float:
    """Return the quality of one figure of one seed.

    real: the distance of real records to real ones, for `DISTANCES`.
    """
    if figure in HIGHER:
        return value / ddpm
    if real is None or real <= 0:
        raise ValueError(f"the {figure} distance of real records is {real}: expected one above 0")
    smallest = SMALLEST * real
    return min(1.0, max(ddpm - real, smallest) / max(value - real, smallest))


def quality(
    sets: Mapping[str, Sequence[Figures]], real: Sequence[Figures], *, baseline: str = BASELINE
) -> dict[str, dict[str, Any]]:
    """Return the quality of each sampler from its figures, one mapping per seed.

    real: the figures of real records, seed by seed.

    The result is {name: {figure: {"mean", "low", "high", "values"}, "headline": {...with "figure"}}}. low and high
    are the 95 % interval of the mean over seeds (Student's t), None for one seed. Figures that a set
    lacks are left out. ValueError if the baseline is missing, or sets have other numbers of seeds.
    """
    if baseline not in sets:
        raise ValueError(f"there is no set named {baseline!r} to compare with; there are {', '.join(sets)}")
    seeds = len(sets[baseline])
    result: dict[str, dict[str, Any]] = {}
    for name, figures in sets.items():
        if len(figures) != seeds or len(real) != seeds:
            raise ValueError(
                f"{name!r} has {len(figures)} seeds, {baseline!r} {seeds} and the real records {len(real)}: "
                "give as many of each"
            )
        of: dict[str, Any] = {}
        for figure in (*HIGHER, *DISTANCES):
            if all(figure in f for f in (*figures, *sets[baseline])):
                values = [
                    ratio(figure, mine[figure], ddpm[figure], chance.get(figure))
                    for mine, ddpm, chance in zip(figures, sets[baseline], real, strict=True)
                ]
                of[figure] = _interval(values)
        if of:
            worst = min(of, key=lambda figure: of[figure]["mean"])
            of["headline"] = {"figure": worst, **of[worst]}
        result[name] = of
    return result


def _interval(values: Sequence[float]) -> dict[str, Any]:
    mean, n = float(np.mean(values)), len(values)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else None
    return {
        "mean": mean,
        "low": None if half is None else mean - half,
        "high": None if half is None else mean + half,
        "values": [float(v) for v in values],
    }
