"""Figures by classifiers: utility, adherence, diversity, and the distances of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.recordings import Recordings
from ..data.recordings import eight_leads_mv as eight
from . import auc, classifier, manifold
from .frechet import frechet_distance
from .kernel import kernel_distance
from .stages import Stage

Array = NDArray[Any]


def by_classifiers(
    train: Recordings,
    test: Recordings,
    synthetic: Recordings,
    superclasses: Mapping[str, list[int]],
    seeds: Sequence[int],
    epochs: int,
    width: int,
    device: torch.device,
    on_stage: Stage,
) -> dict[str, Any]:
    """Return utility, adherence, diversity and the distances of features: one network per seed and training set."""
    K = len(train.label_names)

    def targets(records: Recordings) -> Array:
        """Return (n, K + superclasses): a record is of a superclass where it has one of its statements."""
        y = records.labels
        classes = [y[:, columns].max(axis=1, keepdims=True) for columns in superclasses.values()]
        return np.concatenate([y, *classes], axis=1)

    x = {name: eight(r) for name, r in (("train", train), ("test", test), ("synthetic", synthetic))}
    y = {name: targets(r) for name, r in (("train", train), ("test", test), ("synthetic", synthetic))}
    fits = {
        "real": (x["train"], y["train"]),
        "synthetic": (x["synthetic"], y["synthetic"]),
        "both": (
            np.concatenate([x["train"], x["synthetic"]]),
            np.concatenate([y["train"], y["synthetic"]]),
        ),
    }
    on_test: dict[str, list[Array]] = {name: [] for name in fits}
    on_synthetic: list[Array] = []
    distances: dict[str, list[float]] = {name: [] for name in ("frechet", "frechet_real", "kid", "kid_real")}
    shares: list[dict[str, float]] = []
    shares_real: list[dict[str, float]] = []
    n = min(len(train), len(test), len(synthetic))
    done, total = 0, len(seeds) * len(fits) * epochs
    for seed in seeds:
        for name, (records, labels) in fits.items():

            def advance() -> None:
                nonlocal done
                done += 1
                on_stage("training classifiers", done, total)

            model = classifier.train(
                records, labels, seed=seed, epochs=epochs, width=width, device=device, on_epoch=advance
            )
            on_test[name].append(classifier.predict(model, x["test"]))
            if name != "real":
                continue
            on_synthetic.append(classifier.predict(model, x["synthetic"]))
            rng = np.random.default_rng(seed)
            drawn = {part: rng.permutation(len(x[part])) for part in x}
            f = {part: classifier.features(model, x[part])[drawn[part]] for part in x}
            m = min(len(train), len(synthetic))
            distances["frechet"].append(frechet_distance(f["synthetic"][:m], f["test"]))
            distances["frechet_real"].append(frechet_distance(f["train"][:m], f["test"]))
            distances["kid"].append(kernel_distance(f["synthetic"][:m], f["test"]))
            distances["kid_real"].append(kernel_distance(f["train"][:m], f["test"]))
            shares.append(manifold.precision_recall_density_coverage(f["test"][:n], f["synthetic"][:n]))
            shares_real.append(manifold.precision_recall_density_coverage(f["test"][:n], f["train"][:n]))

    on_stage("areas under ROC curves", 0, 1)
    by_code, by_class = auc.frequent(test.labels), np.arange(K, K + len(superclasses))
    by_class = by_class[np.isin(by_class, auc.frequent(y["test"]))]
    asked = auc.frequent(synthetic.labels)

    def areas(truth: str, scores: list[Array], columns: Array) -> dict[str, Any] | None:
        return auc.macro_auc(y[truth], scores, columns)

    def four(columns: Array, of_synthetic: Array) -> dict[str, Any]:
        return {
            "train_real_test_real": areas("test", on_test["real"], columns),
            "train_synthetic_test_real": areas("test", on_test["synthetic"], columns),
            "train_both_test_real": areas("test", on_test["both"], columns),
            "train_real_test_synthetic": areas("synthetic", on_synthetic, of_synthetic),
        }

    classes = by_class[np.isin(by_class, auc.frequent(y["synthetic"]))]
    utility = four(by_code, asked)
    names = train.label_names
    common = by_code[np.isin(by_code, asked)]
    found = areas("synthetic", on_synthetic, common)
    of_real = areas("test", on_test["real"], common)
    return {
        "utility": {
            **utility,
            "ratio": _ratio(utility["train_synthetic_test_real"], utility["train_real_test_real"]),
            "gain": _difference(utility["train_both_test_real"], utility["train_real_test_real"]),
            "statements": {
                "real": auc.by_statement(test.labels, on_test["real"], by_code, names),
                "synthetic": auc.by_statement(test.labels, on_test["synthetic"], by_code, names),
                "both": auc.by_statement(test.labels, on_test["both"], by_code, names),
            },
            "superclasses": {
                "names": [list(superclasses)[k - K] for k in by_class],
                **four(by_class, classes),
            },
        },
        "adherence": {
            "macro_auc": found,
            "real": of_real,
            "ratio": _ratio(found, of_real),
            "statements": {
                "synthetic": auc.by_statement(synthetic.labels, on_synthetic, common, names),
                "real": auc.by_statement(test.labels, on_test["real"], common, names),
            },
        },
        "fidelity": {
            "frechet_distance": float(np.mean(distances["frechet"])),
            "frechet_distance_real": float(np.mean(distances["frechet_real"])),
            "kernel_distance": float(np.mean(distances["kid"])),
            "kernel_distance_real": float(np.mean(distances["kid_real"])),
            "by_seed": distances,
        },
        "diversity": {
            **_means(shares),
            "real": _means(shares_real),
            "records": n,
            "nearest": manifold.NEAREST,
        },
    }


def _means(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([share[name] for share in shares])) for name in shares[0]}


def _ratio(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> float | None:
    return a["mean"] / b["mean"] if a and b else None


def _difference(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> float | None:
    return a["mean"] - b["mean"] if a and b else None
