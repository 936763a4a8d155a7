"""Write the tables of docs/model_card.md and docs/samplers.md from what was measured, so that no figure is typed.

    python scripts/model_pages.py OUT/measured

OUT is a folder of scripts/release_weights.sh. measured/ROW.json is what `sssd-ecg evaluate` says of a row, and
samplers.md is what scripts/sampler_quality.py wrote. measured/all/rate_ROW.npz holds records of a given heart rate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docs_page import ROOT, paste, table

from sssd.data.recordings import read
from sssd.evaluation.asked_heart_rate import delivered
from sssd.presets import PRESETS
from sssd.samplers import key_of

Result = Mapping[str, Any]
COLUMNS = {
    "ddpm200": "DDPM 200",
    **{
        key_of(of.sampler, of.steps, of.eta or 0.0, of.spacing): name
        for name, of in reversed(PRESETS.items())
    },
}
KS = {"pr": "PR", "qrs": "QRS", "qtc": "QTc", "heart_rate": "heart rate", "rr_variability": "RMSSD"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measured", type=Path)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="the folder with the pages")
    options = parser.parse_args()
    results = {
        row: with_heart_rate(json.loads(path.read_text(encoding="utf-8")), asked(options.measured, row))
        for row in COLUMNS
        if (path := options.measured / f"{row}.json").exists()
    }
    if not results:
        raise SystemExit(f"{options.measured} has none of {', '.join(f'{row}.json' for row in COLUMNS)}")
    card = options.docs / "model_card.md"
    paste(card, "measured", f"{measured(results)}\n\n{statements(results)}")
    quality = options.measured / "samplers.md"
    if quality.exists():
        paste(options.docs / "samplers.md", "quality", quality.read_text(encoding="utf-8").strip())


def asked(folder: Path, row: str) -> dict[str, Any] | None:
    """Return how many records have the heart rate that they were asked for; None if there is no such set."""
    path = folder / "all" / f"rate_{row}.npz"
    return delivered(read(path)) if path.exists() else None


def with_heart_rate(result: Result, delivered: dict[str, Any] | None) -> Result:
    """Return a result with what was measured of heart rates, unless nothing was."""
    return result if delivered is None else {**result, "heart_rate": delivered}


def measured(results: Mapping[str, Result]) -> str:
    """The figures of each row of `results` beside those of recordings, and the goal of each."""
    first = next(iter(results.values()))
    lines = [
        [name, goal, _cell(real, first), *(_cell(made, one) for one in results.values())]
        for name, goal, real, made in FIGURES
    ]
    return table(["", "goal", "recordings", *(COLUMNS[row] for row in results)], lines)


def statements(results: Mapping[str, Result]) -> str:
    """Of each rule: how many records with its statement obey it, in percent, of the recordings and of each row."""
    first = next(iter(results.values()))
    by_rule = {
        row: {(rule["statement"], rule["rule"]): rule for rule in one["rules"]}
        for row, one in results.items()
    }
    lines = []
    for key, rule in {(r["statement"], r["rule"]): r for r in first["rules"]}.items():
        if rule["enough"]:
            made = [of[key]["generated"]["share"] if key in of else None for of in by_rule.values()]
            lines.append([*key, _percent(rule["recorded"]["share"]), *map(_percent, made)])
    return table(["statement", "rule", "recordings", *(COLUMNS[row] for row in results)], lines)


def _cell(of: Callable[[Result], str] | str, result: Result) -> str:
    if isinstance(of, str):
        return of
    try:
        return of(result)
    except (KeyError, TypeError):  # it was not measured: the key is not there, or its value is None
        return ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _at(*keys: str, digits: int = 3) -> Callable[[Result], str]:
    """Return a function that reads the figure under these keys; of a list it gives the least and the largest."""

    def of(result: Result) -> str:
        value: Any = result
        for key in keys:
            value = value[key]
        if isinstance(value, list):
            known = [v for v in value if v is not None]
            return f"{min(known):.2f} to {max(known):.2f}"
        return f"{value:.{digits}f}"

    return of


def _detector(kind: str, view: str) -> Callable[[Result], str]:
    return _at("detectability", kind, view, "mean")


def _spectra(of: str, figure: str) -> Callable[[Result], str]:
    return _at("detectability", of, "0.5-39.5 Hz", figure, digits=2)


def _judges(result: Result) -> str:
    return result["about"]["classifier"].split("width ")[1].split(",")[0]


def _rules_passed(result: Result) -> str:
    judged = [rule["passed"] for rule in result["rules"] if rule["enough"]]
    return f"{sum(judged)} of {len(judged)}"


# What is measured, its goal, and how to read it for recordings and for generated records.
FIGURES: list[tuple[str, str, Callable[[Result], str] | str, Callable[[Result], str]]] = [
    ("simple detector, all bands: AUC", "0.65 to 0.80", _detector("simple_real", "raw"), _detector("simple", "raw")),
    ("the same, 0.5 to 25 Hz", "", _detector("simple_real", "0.5-25 Hz"), _detector("simple", "0.5-25 Hz")),
    ("deep detector: AUC", "0.85 to 0.95", "0.5", _detector("deep", "raw")),
    ("the same, below 20 Hz", "0.70 to 0.85", "0.5", _detector("deep", "below 20 Hz")),
    ("power in nine bands, decades from recordings", "-0.05 to 0.05", _at("detectability", "bands_real", "difference"),
     _at("detectability", "bands", "difference")),
    ("its spread over records, ratio", "0.9 to 1.1", _at("detectability", "bands_real", "spread"),
     _at("detectability", "bands", "spread")),
    ("its spread between leads, ratio", "0.9 to 1.1", _at("detectability", "bands_real", "spread_between_leads"),
     _at("detectability", "bands", "spread_between_leads")),
    ("precision on log spectra", "0.75", _spectra("spectra_real", "precision"), _spectra("spectra", "precision")),
    ("recall on log spectra", "0.75", _spectra("spectra_real", "recall"), _spectra("spectra", "recall")),
    ("utility: AUC over that of training on recordings", "0.985 to 0.975", "1", _at("utility", "ratio")),
    ("width of the networks that judge in the next rows", "", "", _judges),
    ("adherence: AUC of what was asked for", "as recordings", _at("adherence", "real", "mean"),
     _at("adherence", "macro_auc", "mean")),
    ("Frechet distance", "", _at("fidelity", "frechet_distance_real"), _at("fidelity", "frechet_distance")),
    ("beat regularity, median", "within 0.03", _at("rhythm", "beat_regularity", "real"),
     _at("rhythm", "beat_regularity", "synthetic")),
    *(
        (f"the same, {code}", "within 0.06", _at("rhythm", "beat_regularity", "statements", code, "real"),
         _at("rhythm", "beat_regularity", "statements", code, "synthetic"))
        for code in ("SBRAD", "AFIB")
    ),
    ("amplitude by lead: median record, ratio", "0.97 to 1.03", "1", _at("fidelity", "amplitude", "median_std_ratio")),
    ("the same, root mean square", "0.95 to 1.05", _at("fidelity", "amplitude", "std_ratio_real"),
     _at("fidelity", "amplitude", "std_ratio")),
    *(
        (f"{name}: distance of distributions (KS)", "0.08", _at("rhythm", key, "kolmogorov_smirnov_real"),
         _at("rhythm", key, "kolmogorov_smirnov"))
        for key, name in KS.items()
    ),
    ("rules of statements obeyed as often as by recordings", "all", "", _rules_passed),
    ("heart rate asked for, within 5 /min: share", "0.95", "", _at("heart_rate", "share")),
    ("nearest training record, ratio to test records", "0.97", "1", _at("privacy", "nearest_distance_ratio")),
    ("membership inference: AUC", "0.5", "0.5", _at("privacy", "membership_inference_auc")),
]  # fmt: skip


if __name__ == "__main__":
    main()
