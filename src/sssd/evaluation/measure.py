"""All measures of generated records against real ones, as one dictionary that goes into JSON unchanged.

The measures answer three questions, in the order in which a reader of ECGs would ask them:

- Do the records look right? Amplitude, beat regularity and heart rate answer this.
- Do they show what was asked for? A classifier that was trained on real records reads the generated ones. Adherence is
  its macro AUC against their requested labels, and the Frechet distance is computed in its features.
- Are they useful and new? Utility is the macro AUC on real records after training on generated ones alone, divided by
  the AUC after training on real ones. Memorisation compares the records with those of the training set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.recordings import Recordings
from ..data.recordings import eight_leads_mv as eight
from ..leads import EIGHT
from . import amplitude, auc, classifier, frechet, memorisation, rhythm

STATEMENTS = ("NORM", "SR", "STACH", "SBRAD", "SARRH", "AFIB", "PVC", "PACE")  # those that differ in rhythm


def measure(
    real_train: Recordings,
    real_test: Recordings,
    synthetic_test: Mapping[str, Recordings],
    synthetic_train: Mapping[str, Recordings] | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    device: str | torch.device = "cpu",
    epochs: int = classifier.EPOCHS,
    width: int = classifier.WIDTH,
    on_stage: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Compare named synthetic sets with real records; one classifier per seed serves all of them.

    real_train trains the classifier and is what memorisation looks for; real_test is never trained on.
    synthetic_test: sets generated for the label vectors of real_test. synthetic_train: sets generated for
    those of real_train, for utility. Without seeds nothing is trained, and adherence, Frechet distance and
    utility are left out. on_stage is called with the name of each stage as it begins.

    Returns {"real": {...}, "synthetic": {name: {...}}, "utility": {name: {...}}} of numbers, lists and
    strings, None if there is no number. The Frechet distance under "real" is that of as many training
    records as there are test records. ValueError for sets with other label names, sampling rates or lengths.
    """
    announce = on_stage or (lambda _: None)
    synthetic_train = synthetic_train or {}
    for name, other in {"test": real_test, **synthetic_test, **synthetic_train}.items():
        if other.label_names != real_train.label_names or other.fs_hz != real_train.fs_hz:
            raise ValueError(
                f"set {name!r} has {len(other.label_names)} label names at {other.fs_hz:g} Hz, unlike the "
                f"{len(real_train.label_names)} of the real training records at {real_train.fs_hz:g} Hz: "
                "prepare all sets with the same label names and rate"
            )

    announce("rhythm and memorisation of the real records")
    held_out, _ = memorisation.nearest(eight(real_test), eight(real_train), device=device)
    real: dict[str, Any] = {
        "records": {"train": len(real_train), "test": len(real_test)},
        "lead_std_mv": amplitude.lead_std(eight(real_test)).tolist(),
        "rhythm": _rhythm(real_test),
        "nearest": {"median": float(np.median(held_out)), "percentile_1": float(np.percentile(held_out, 1))},
    }
    synthetic: dict[str, Any] = {}
    for name, made in synthetic_test.items():
        announce(f"rhythm and memorisation of {name}")
        distances, _ = memorisation.nearest(eight(made), eight(real_train), device=device)
        synthetic[name] = {
            "records": len(made),
            "labels_as_real": bool(np.array_equal(made.labels, real_test.labels)),
            "amplitude": _amplitude(eight(made), eight(real_test)),
            "rhythm": _rhythm(made),
            "memorisation": dataclasses.asdict(memorisation.compare(distances, held_out)),
        }

    def trained(records: Recordings, seed: int) -> classifier.Classifier:
        x = eight(records)
        return classifier.train(x, records.labels, seed=seed, epochs=epochs, width=width, device=device)

    scores: dict[str, list[float]] = {"real": []}
    distances_of: dict[str, list[float]] = {"real": []}
    for seed in seeds:
        announce(f"classifier trained on real records, seed {seed}")
        model = trained(real_train, seed)
        scores["real"].append(_score(model, real_test))
        seen = classifier.features(model, eight(real_test))
        rows = np.random.default_rng(seed).permutation(len(real_train))[: len(real_test)]
        reference = classifier.features(model, eight(real_train)[rows])
        distances_of["real"].append(frechet.frechet_distance(reference, seen))
        for name, made in synthetic_test.items():
            scores.setdefault(f"test {name}", []).append(_score(model, made))
            drawn = classifier.features(model, eight(made))
            distances_of.setdefault(name, []).append(frechet.frechet_distance(drawn, seen))
        for name, made in synthetic_train.items():
            announce(f"classifier trained on {name}, seed {seed}")
            scores.setdefault(f"train {name}", []).append(_score(trained(made, seed), real_test))

    utility: dict[str, Any] = {}
    if seeds:
        real["macro_auc"] = auc.spread(scores["real"])
        real["frechet"] = auc.spread(distances_of["real"])
        for name in synthetic_test:
            synthetic[name]["adherence"] = auc.spread(scores[f"test {name}"])
            synthetic[name]["frechet"] = auc.spread(distances_of[name])
        for name, made in synthetic_train.items():
            found = auc.spread(scores[f"train {name}"])
            ratio = found["mean"] / real["macro_auc"]["mean"]
            utility[name] = {"records": len(made), "macro_auc": found, "ratio": ratio}
    return {"real": real, "synthetic": synthetic, "utility": utility}


def _amplitude(made: NDArray[np.float32], real: NDArray[np.float32]) -> dict[str, Any]:
    pooled = amplitude.amplitude_ratio(made, real)
    typical = amplitude.median_amplitude_ratio(made, real)
    return {
        "leads": list(EIGHT),
        "ratio": pooled.tolist(),
        "mean": float(pooled.mean()),
        "median": float(np.median(pooled)),
        "ratio_of_medians": typical.tolist(),
        "mean_of_medians": float(typical.mean()),
    }


def _rhythm(records: Recordings) -> dict[str, Any]:
    x = eight(records)
    return {
        "beat_regularity": _by_statement(rhythm.beat_regularity(x, fs_hz=records.fs_hz), records),
        "heart_rate_bpm": _by_statement(rhythm.heart_rates(x, fs_hz=records.fs_hz), records),
    }


def _by_statement(values: NDArray[np.float64], records: Recordings) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    low, middle, high = np.percentile(known, [10, 50, 90]).tolist() if len(known) else (None, None, None)
    statements = [s for s in STATEMENTS if s in records.label_names]
    return {
        "median": middle,
        "percentile_10": low,
        "percentile_90": high,
        "undetected": float(np.isnan(values).mean()),
        "by_statement": dict(
            rhythm.median_by_statement(values, records.labels, records.label_names, statements)
        ),
    }


def _score(model: classifier.Classifier, records: Recordings) -> float:
    columns = auc.frequent(records.labels)
    found = auc.macro_auc(records.labels, [classifier.predict(model, eight(records))], columns, resamples=1)
    if found is None:
        raise ValueError(f"no statement has {auc.MIN_POSITIVES} of {len(records)} records: give more records")
    return float(found["mean"])
