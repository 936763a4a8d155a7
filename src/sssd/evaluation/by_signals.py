"""Figures of the signals themselves: amplitudes, spectra, rhythm and shape, rules, detectability, privacy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from ..data.recordings import Recordings, subset
from ..data.recordings import eight_leads_mv as eight
from ..leads import CLINICAL
from ..signals.rules import RULES
from . import amplitude, auc, memorisation, rhythm, rules, spectrum
from . import detectability as detect
from .sets import pair_rows
from .stages import Stage

PAIRS = 4  # nearest pairs to show
MOST = 1000  # records of a set whose beats are measured, and members that an attacker tries
EXAMPLES = 3  # most and least detectable records to show

Array = NDArray[Any]


def fidelity(train: Recordings, test: Recordings, synthetic: Recordings, on_stage: Stage) -> dict[str, Any]:
    """Amplitudes, power spectra and correlation of the 12 leads."""
    on_stage("amplitudes and spectra", 0, 1)
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


def rhythm_and_rules(
    train: Recordings, test: Recordings, synthetic: Recordings, on_stage: Stage
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return distributions of each measure of `rhythm`, generated against test and training against test; and `rules`.

    At most 1000 records of each set are drawn for the distributions. For the rules, all training records that carry the
    statement of a rule are measured too, since many statements are rare.
    """
    rng = np.random.default_rng(0)
    columns = [k for k, name in enumerate(train.label_names) if name in {r.statement for r in RULES}]
    parts, drawn = {"synthetic": synthetic, "real": test, "train": train}, {}
    for name, records in parts.items():
        chosen = np.zeros(len(records), dtype=np.bool_)
        chosen[rng.permutation(len(records))[:MOST]] = True
        ruled = records.labels[:, columns].any(axis=1)
        drawn[name] = (subset(records, chosen | ruled), chosen[chosen | ruled])
    total, done = sum(len(records) for records, _ in drawn.values()), 0

    def advance() -> None:
        nonlocal done
        done += 1
        on_stage("beats and intervals", done, total)

    values = {
        name: rhythm.rhythm_and_shape(eight(records), records.fs_hz, advance)
        for name, (records, _) in drawn.items()
    }
    at_random = {name: subset(records, chosen) for name, (records, chosen) in drawn.items()}
    compared = {}
    for measure, unit in rhythm.UNITS.items():
        of = {name: v[measure][drawn[name][1]] for name, v in values.items()}
        compared[measure] = {"unit": unit, **_compared(of, at_random)}
    recorded = {m: np.append(values["train"][m], values["real"][m]) for m in rhythm.UNITS}
    labels = np.concatenate([drawn[name][0].labels for name in ("train", "real")])
    of_rules = rules.compare(
        recorded, labels, values["synthetic"], drawn["synthetic"][0].labels, train.label_names
    )
    return compared, of_rules


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


def detectability(
    train: Recordings,
    test: Recordings,
    synthetic: Recordings,
    on_stage: Stage,
    *,
    seeds: int,
    epochs: int,
    width: int,
    device: torch.device,
) -> dict[str, Any] | None:
    """Return how well a classifier tells generated records from test records, and by what.

    See `detectability.Detectability`.

    Each test record is paired with a generated one that has its labels. If as many generated records are left over, the
    deep classifier is trained on those and on training records; else it is cross-validated. Without a GPU, one network
    is trained in place of one for each seed. `simple_real`, `bands_real` and `spectra_real` are those of training
    records in place of the generated ones. None with fewer than eight pairs.
    """
    rows, others, same = pair_rows(test.labels, synthetic.labels)
    if len(rows) < detect.LEAST or len(train) < detect.LEAST:
        return None
    recorded, generated = eight(test)[rows], eight(synthetic)[others]
    left = np.setdiff1d(np.arange(len(synthetic)), others)
    known, like, _ = pair_rows(train.labels, synthetic.labels[left])
    taught = None
    if len(known) >= len(rows):
        taught = (eight(train)[known], eight(synthetic)[left[like]])
    found = detect.detectability(
        recorded,
        generated,
        train=taught,
        fs_hz=test.fs_hz,
        seeds=seeds,
        deep_seeds=seeds if device.type == "cuda" else 1,
        device=device,
        epochs=epochs,
        width=width,
        on_fit=lambda done, of: on_stage("detectability", done, of),
    )
    real, alike, _ = pair_rows(test.labels, train.labels)
    n = min(len(real), len(rows))
    chance = (eight(test)[real[:n]], eight(train)[alike[:n]])
    score = found.generated_score
    order = np.argsort(score, kind="stable")
    most, least = order[::-1][:EXAMPLES], order[:EXAMPLES]
    return found.asdict() | {
        "same_labels": same,
        "deep_trained_on": 0 if taught is None else 2 * len(known),
        "simple_real": {
            name: asdict(area)
            for name, area in detect.simple_areas(*chance, fs_hz=test.fs_hz, seeds=1).items()
        },
        "bands_real": asdict(
            spectrum.band_difference(*(detect.prepared(x, test.fs_hz) for x in chance), fs_hz=test.fs_hz)
        ),
        "spectra_real": detect.spectra(*chance, fs_hz=test.fs_hz),
        "examples": {
            kind: [
                {"synthetic": int(others[i]), "test": int(rows[i]), "score": float(score[i])} for i in chosen
            ]
            for kind, chosen in (("most", most), ("least", least))
        },
    }


def privacy(
    train: Recordings, test: Recordings, synthetic: Recordings, device: torch.device, on_stage: Stage
) -> dict[str, Any]:
    """Return distances of normalised records to the nearest training record; the reverse, for membership inference."""
    on_stage("nearest training records", 0, 2)
    made, real, trained = eight(synthetic), eight(test), eight(train)
    near, row = memorisation.nearest(made, trained, device=device)
    held_out, _ = memorisation.nearest(real, trained, device=device)
    on_stage("nearest training records", 1, 2)
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


def _millivolts(records: Recordings) -> Array:
    """Return all 12 leads in mV, (n, 12, L) float32."""
    return records.signal_uv.astype(np.float32) / np.float32(1000.0)
