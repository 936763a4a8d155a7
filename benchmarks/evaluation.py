"""The figures of `sssd-ecg evaluate` beside those of established tools, on the same arrays.

    python benchmarks/evaluation.py

Needs `pip install prdc`, and for its lines `pip install --no-deps ecgen-eval`. Features are random vectors (400 and 300
of 64), correlated and shifted; nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sssd.evaluation import auc  # noqa: E402
from sssd.evaluation.frechet import frechet_distance  # noqa: E402
from sssd.evaluation.kernel import kernel_distance  # noqa: E402
from sssd.evaluation.manifold import precision_recall_density_coverage  # noqa: E402


def main() -> None:
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((64, 64)) / 8
    real, made = rng.standard_normal((400, 64)) @ mix, rng.standard_normal((300, 64)) @ (1.2 * mix) + 0.1
    rows = [("figure", "tool", "tool's", "ours", "relative difference")]

    def add(figure: str, tool: str, theirs: float, ours: float) -> None:
        rows.append((figure, tool, f"{theirs:.9g}", f"{ours:.9g}", f"{abs(ours - theirs) / abs(theirs):.1e}"))

    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(real, made, nearest_k=5)
    for figure, value in precision_recall_density_coverage(real, made).items():
        add(figure, "prdc 0.2", float(theirs[figure]), value)

    import sklearn
    from sklearn.metrics import roc_auc_score
    from sklearn.metrics.pairwise import polynomial_kernel

    tool = f"scikit-learn {sklearn.__version__}"
    y = rng.integers(0, 2, 500)
    score = np.round(y + rng.normal(0, 1, 500), 1)  # with ties
    weights = rng.multinomial(500, np.full(500, 1 / 500))
    add("AUC", tool, roc_auc_score(y, score), float(auc.weighted_auc(y, score, np.ones((1, 500)))[0]))
    ours = float(auc.weighted_auc(y, score, weights[None])[0])
    add("AUC of a resample", tool, roc_auc_score(y, score, sample_weight=weights), ours)
    kernels = [
        polynomial_kernel(a, b, degree=3, coef0=1) for a, b in ((real, real), (made, made), (real, made))
    ]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels[:2]]
    add(
        "kernel distance", f"{tool}, kernel", sum(within) - 2 * kernels[2].mean(), kernel_distance(real, made)
    )

    from scipy.linalg import sqrtm

    c1, c2 = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    gap = real.mean(0) - made.mean(0)
    plain = gap @ gap + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    add("Frechet distance", "scipy sqrtm", float(plain), frechet_distance(real, made))
    try:
        from ecgen_eval.metrics._frechet_utils import frechet_distance as theirs_frechet
    except ImportError as error:
        print(f"without ecgen-eval: {error}", file=sys.stderr)
    else:
        # It takes the root of the symmetric part of C1 C2, which is the root of C1 C2 only where the two commute:
        # so here on whitened features, where they do, and then as it stands.
        white = (real - real.mean(0)) @ np.linalg.inv(np.linalg.cholesky(c1)).T
        scaled = white * np.linspace(0.5, 2, 64) + 0.1
        add("Frechet distance, C1 C2 = C2 C1", "ecgen-eval 0.5.0", theirs_frechet(white, scaled, eps=0.0),
            frechet_distance(white, scaled))  # fmt: skip
        add(
            "Frechet distance",
            "ecgen-eval 0.5.0",
            theirs_frechet(real, made, eps=0.0),
            frechet_distance(real, made),
        )

    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
