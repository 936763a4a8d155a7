"""`evaluate`: one set of generated ECGs against real ones, every figure in one dictionary that goes into JSON.

    real ─▶ train, test ─┐                       ┌─▶ utility, adherence, fidelity, diversity   (classifiers)
                         ├─▶ one classifier/seed ┘
    synthetic ───────────┴─▶ rhythm and shape, amplitude, spectra, privacy                     (signals)

Classifiers are trained on the spot, on the real training records (and on the generated ones for utility). What is
compared with the generated records is the test set; how far as many real training records are from it stands beside
each distance as `real`, the distance that chance gives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from .. import labels as statements
from ..data.recordings import Recordings, subset
from ..data.recordings import eight_leads_mv as eight
from ..device import choose_device
from ..leads import CLINICAL
from ..version import __version__
from . import amplitude, auc, classifier, manifold, memorisation, rhythm, spectrum
from .frechet import frechet_distance
from .kernel import kernel_distance

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")  # of PTB-XL's diagnostic statements
PAIRS = 4  # nearest pairs to show
MOST = 1000  # records of a set whose beats are measured, and members that an attacker tries
CPU_WIDTH = 16  # of the classifier where there is no GPU

Stage = Callable[[str, int, int], None]  # (what, done, of how many)
Array = NDArray[Any]


def evaluate(
    real: Recordings,
    synthetic: Recordings,
    holdout: Recordings | None = None,
    *,
    seeds: int = 3,
    device: str | torch.device | None = None,
    epochs: int = classifier.EPOCHS,
    width: int | None = None,
    on_stage: Stage | None = None,
) -> dict[str, Any]:
    """Measure generated records against real ones.

    real: what the generator was trained on; without `holdout` its fold 9, or else a random quarter, is the test set,
    and only the rest trains. holdout: real records that neither the generator nor a classifier here has seen.
    seeds: classifiers per training set. width: channels of the classifier, by default 64 on a GPU and 16 without.

    Returns a dictionary of "about", "utility", "fidelity", "rhythm", "adherence", "diversity" and "privacy"; None
    stands where there is no number, as where no statement has five test records. ValueError where sets have other
    label names, rates or lengths, or too few records; ModuleNotFoundError without the `eval` extra.
    """
    begun, told, where = time.monotonic(), on_stage or (lambda *_: None), choose_device(device)
    if seeds < 1 or epochs < 1:
        raise ValueError(f"seeds is {seeds} and epochs {epochs}: expected one or more of each")
    width = width or (classifier.WIDTH if where.type == "cuda" else CPU_WIDTH)
    train, test, words = split(real, holdout)
    synthetic = aligned("synthetic", synthetic, train)
    test = aligned("holdout", test, train)
    known = _superclasses(train.label_names)

    result: dict[str, Any] = {
        "about": {
            "program": f"sssd-ecg {__version__}",
            "records": {"train": len(train), "test": len(test), "synthetic": len(synthetic)},
            "test_set": words,
            "classifier": f"1-d residual network, width {width}, {epochs} epochs, trained here; "
            "features and adherence by those trained on the real training records",
            "seeds": seeds,
            "device": str(where),
        }
    }
    result |= _by_classifiers(train, test, synthetic, known, range(seeds), epochs, width, where, told)
    result["fidelity"] |= _signals(train, test, synthetic, told)
    result["rhythm"] = _rhythm(train, test, synthetic, told)
    result["privacy"] = _privacy(train, test, synthetic, where, told)
    result["about"]["seconds"] = round(time.monotonic() - begun, 1)
    order = ("about", "utility", "fidelity", "rhythm", "adherence", "diversity", "privacy")
    return _plain({name: result[name] for name in order})


# --- the sets ---------------------------------------------------------------------------------------------


def split(real: Recordings, holdout: Recordings | None = None) -> tuple[Recordings, Recordings, str]:
    """Training and test records, and in words which the test records are."""
    if holdout is not None:
        train, test, words = real, holdout, "the records held out"
    elif real.strat_fold is not None and 0 < (real.strat_fold == 9).sum() < len(real):
        train, test = subset(real, real.strat_fold < 9), subset(real, real.strat_fold == 9)
        words = "fold 9 of the real records"
    else:
        shuffled = np.random.default_rng(0).permutation(len(real))
        cut = len(real) // 4
        train, test = subset(real, np.sort(shuffled[cut:])), subset(real, np.sort(shuffled[:cut]))
        words = "a random quarter of the real records, which the generator may have been trained on"
    fewest = manifold.NEAREST + 1
    for name, part in (("real training", train), ("real test", test)):
        if len(part) < fewest:
            raise ValueError(f"there are {len(part)} {name} records: expected {fewest} or more")
    return train, test, words


def aligned(name: str, records: Recordings, train: Recordings) -> Recordings:
    """The records with the training records' label names, in their order."""
    if len(records) <= manifold.NEAREST:
        raise ValueError(
            f"the {name} set has {len(records)} records: expected {manifold.NEAREST + 1} or more"
        )
    here, there = (r.signal_uv.shape[-1] for r in (records, train))
    if records.fs_hz != train.fs_hz or here != there:
        raise ValueError(
            f"the {name} records are {here} samples at {records.fs_hz:g} Hz, the real ones {there} at "
            f"{train.fs_hz:g} Hz: prepare all sets with the same rate and length"
        )
    if set(records.label_names) != set(train.label_names):
        missing = sorted(set(records.label_names) ^ set(train.label_names))
        raise ValueError(
            f"the {name} set and the real one have other label names, {missing[0]!r} for one: "
            "prepare all sets with the same ones"
        )
    order = [records.label_names.index(code) for code in train.label_names]
    return Recordings(
        records.signal_uv,
        records.labels[:, order],
        train.label_names,
        fs_hz=records.fs_hz,
        strat_fold=records.strat_fold,
        record_id=records.record_id,
    )


def _superclasses(names: Sequence[str]) -> dict[str, list[int]]:
    """Columns of the statements of each superclass of PTB-XL, of those that the label names hold."""
    of = {s.code: s.superclass for s in statements.STATEMENTS}
    columns = {c: [k for k, name in enumerate(names) if of.get(name) == c] for c in SUPERCLASSES}
    return {c: k for c, k in columns.items() if k}


# --- by classifiers ---------------------------------------------------------------------------------------


def _by_classifiers(
    train: Recordings,
    test: Recordings,
    synthetic: Recordings,
    known: Mapping[str, list[int]],
    seeds: Sequence[int],
    epochs: int,
    width: int,
    device: torch.device,
    told: Stage,
) -> dict[str, Any]:
    """Utility, adherence, diversity and the distances of features: one network per seed and training set."""
    K = len(train.label_names)

    def targets(records: Recordings) -> Array:
        """(n, K + superclasses): a record is of a superclass where it has one of its statements."""
        y = records.labels
        classes = [y[:, columns].max(axis=1, keepdims=True) for columns in known.values()]
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
                told("training classifiers", done, total)

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

    told("areas under ROC curves", 0, 1)
    by_code, by_class = auc.frequent(test.labels), np.arange(K, K + len(known))
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
            "superclasses": {"names": [list(known)[k - K] for k in by_class], **four(by_class, classes)},
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


# --- by signals -------------------------------------------------------------------------------------------


def _signals(train: Recordings, test: Recordings, synthetic: Recordings, told: Stage) -> dict[str, Any]:
    """Amplitudes, power spectra and correlation of the 12 leads."""
    told("amplitudes and spectra", 0, 1)
    made, real, other = (_millivolts(r) for r in (synthetic, test, train))
    frequency, of_made = spectrum.power(made, fs_hz=test.fs_hz)
    _, of_real = spectrum.power(real, fs_hz=test.fs_hz)
    _, of_other = spectrum.power(other, fs_hz=test.fs_hz)
    return {
        "amplitude": {
            "leads": list(CLINICAL),
            "std_ratio": amplitude.amplitude_ratio(made, real),
            "std_ratio_real": amplitude.amplitude_ratio(other, real),
            "median_std_ratio": amplitude.median_amplitude_ratio(made, real),
            "quantile_levels": list(amplitude.QUANTILES),
            "quantiles_mv": amplitude.quantiles(made),
            "quantiles_real_mv": amplitude.quantiles(real),
        },
        "spectrum": {
            "distance_db": spectrum.spectral_distance_db(frequency, of_made, of_real),
            "distance_real_db": spectrum.spectral_distance_db(frequency, of_other, of_real),
            "frequency_hz": frequency,
            "power": of_made,
            "power_real": of_real,
        },
        "lead_correlation_error": amplitude.lead_correlation_error(made, real),
        "lead_correlation_error_real": amplitude.lead_correlation_error(other, real),
    }


def _millivolts(records: Recordings) -> Array:
    """All 12 leads in mV, (n, 12, L) float32."""
    return records.signal_uv.astype(np.float32) / np.float32(1000.0)


def _rhythm(train: Recordings, test: Recordings, synthetic: Recordings, told: Stage) -> dict[str, Any]:
    """Distributions of each measure of `rhythm`, generated against test, training against test."""
    rng = np.random.default_rng(0)
    parts = {"synthetic": synthetic, "real": test, "train": train}
    drawn = {name: subset(r, np.sort(rng.permutation(len(r))[:MOST])) for name, r in parts.items()}
    total, done = sum(len(r) for r in drawn.values()), 0

    def advance() -> None:
        nonlocal done
        done += 1
        told("beats and intervals", done, total)

    values = {name: rhythm.rhythm_and_shape(eight(r), r.fs_hz, advance) for name, r in drawn.items()}
    return {
        measure: {"unit": unit, **_compared({name: v[measure] for name, v in values.items()}, drawn)}
        for measure, unit in rhythm.UNITS.items()
    }


def _compared(values: Mapping[str, Array], records: Mapping[str, Recordings]) -> dict[str, Any]:
    """Medians, percentiles, distances of distributions, and medians per statement, of one measure."""
    known = {name: v[np.isfinite(v)] for name, v in values.items()}
    made, real, train = known["synthetic"], known["real"], known["train"]
    there = min(len(made), len(real), len(train)) > 0
    columns = auc.frequent(records["real"].labels)
    columns = columns[np.isin(columns, auc.frequent(records["synthetic"].labels))]
    names = records["real"].label_names
    medians = {
        name: rhythm.median_by_statement(
            values[name], records[name].labels, names, [names[k] for k in columns]
        )
        for name in ("real", "synthetic")
    }
    return {
        **{name: float(np.median(v)) if len(v) else None for name, v in known.items() if name != "train"},
        "percentiles": {
            name: np.percentile(v, [5, 25, 50, 75, 95]).tolist() if len(v) else None
            for name, v in known.items()
            if name != "train"
        },
        "undetected": {
            name: float(np.mean(~np.isfinite(v))) for name, v in values.items() if name != "train"
        },
        "wasserstein": wasserstein_distance(made, real) if there else None,
        "wasserstein_real": wasserstein_distance(train, real) if there else None,
        "kolmogorov_smirnov": ks_2samp(made, real).statistic if there else None,
        "kolmogorov_smirnov_real": ks_2samp(train, real).statistic if there else None,
        "statements": {
            code: {"real": medians["real"][code], "synthetic": medians["synthetic"][code]}
            for code in medians["real"]
            if code in medians["synthetic"]
        },
    }


def _privacy(
    train: Recordings, test: Recordings, synthetic: Recordings, device: torch.device, told: Stage
) -> dict[str, Any]:
    """Distances of normalised records to the nearest training record, and the reverse for membership."""
    told("nearest training records", 0, 2)
    made, real, trained = eight(synthetic), eight(test), eight(train)
    near, row = memorisation.nearest(made, trained, device=device)
    held_out, _ = memorisation.nearest(real, trained, device=device)
    told("nearest training records", 1, 2)
    members = np.random.default_rng(0).permutation(len(train))[:MOST]
    of_members, _ = memorisation.nearest(trained[members], made, device=device)
    of_others, _ = memorisation.nearest(real, made, device=device)
    compared = memorisation.compare(near, held_out)
    pairs = np.argsort(near)[:PAIRS]
    return {
        "nearest_distance_ratio": compared.median,
        "share_near": compared.share_near,
        "closest_ratio": compared.closest,
        "membership_inference_auc": memorisation.membership_auc(of_members, of_others),
        "distance_percentiles": np.percentile(near, [1, 5, 50, 95]),
        "distance_percentiles_real": np.percentile(held_out, [1, 5, 50, 95]),
        "nearest_pairs": [
            {"synthetic": int(i), "train": int(row[i]), "distance": float(near[i])} for i in pairs
        ],
    }


def _plain(value: Any) -> Any:
    """The same of JSON's own types; None for what is not a number."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.bool_ | bool) or value is None or isinstance(value, str | int):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, np.integer):
        return int(value)
    number = float(value)
    return number if np.isfinite(number) else None
