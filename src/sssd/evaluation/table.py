"""The result of `evaluate` as rows of a table, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..checks import counted

NAMES = {
    "beat_regularity": "beat regularity",
    "heart_rate": "heart rate",
    "rr_variability": "RR variability (RMSSD)",
    "pr": "PR interval",
    "qrs": "QRS duration",
    "qtc": "QTc",
    "st": "ST amplitude",
    "t": "T amplitude",
    "beat_likeness": "likeness of a record's beats",
}


@dataclass(frozen=True)
class Row:
    """One figure of the generated records, the same figure of real records in their place, and what it should be."""

    section: str
    name: str
    synthetic: str
    real: str
    aim: str


def rows(result: Mapping[str, Any]) -> list[Row]:
    """Return the figures to read first, in the order of the sections."""
    u, f, a = result["utility"], result["fidelity"], result["adherence"]
    d, p = result["diversity"], result["privacy"]
    trained = "train_real_test_real"
    found = [
        Row("utility", "train on synthetic, test on real: AUC", _area(u["train_synthetic_test_real"]),
            _area(u[trained]), "as high"),
        Row("utility", "  ratio to training on real", _number(u["ratio"], 3), "1", "1"),
        Row("utility", "train on real and synthetic: AUC", _area(u["train_both_test_real"]), _area(u[trained]),
            "higher"),
        Row("utility", "train on real, test on synthetic: AUC", _area(u["train_real_test_synthetic"]),
            _area(u[trained]), "as high"),
        Row("utility", "superclasses, train on synthetic: AUC",
            _area(u["superclasses"]["train_synthetic_test_real"]), _area(u["superclasses"][trained]), "as high"),
        Row("fidelity", "Frechet distance", _number(f["frechet_distance"], 3),
            _number(f["frechet_distance_real"], 3), "as low"),
        Row("fidelity", "kernel distance (KID)", _number(f["kernel_distance"], 3),
            _number(f["kernel_distance_real"], 3), "as low"),
        Row("fidelity", "standard deviation, ratio to real, mean of leads", _mean(f["amplitude"]["std_ratio"]),
            _mean(f["amplitude"]["std_ratio_real"]), "1"),
        Row("fidelity", "spectra: distance, dB", _number(f["spectrum"]["distance_db"], 3),
            _number(f["spectrum"]["distance_real_db"], 3), "as low"),
        Row("fidelity", "correlation of leads: error", _number(f["lead_correlation_error"], 3),
            _number(f["lead_correlation_error_real"], 3), "as low"),
    ]  # fmt: skip
    found += _detectability(result["detectability"])
    for key, name in NAMES.items():
        m = result["rhythm"][key]
        unit = f", {m['unit']}" if m["unit"] else ""
        found.append(
            Row("rhythm", f"{name}, median{unit}", _number(m["synthetic"], 3), _number(m["real"], 3), "equal")
        )
        found.append(
            Row(
                "rhythm",
                "  distance of distributions (KS)",
                _number(m["kolmogorov_smirnov"], 2),
                _number(m["kolmogorov_smirnov_real"], 2),
                "as low",
            )
        )
    rate = result["heart_rate"]
    if rate is not None:
        found.append(
            Row("rhythm", "heart rate asked and delivered, within 5 /min", _share(rate), "-", "95 %")
        )
    for rule in result["rules"]:
        made, real = rule["generated"], rule["recorded"]
        aim = "as high" if rule["enough"] else f"(few: {made['records']}, {real['records']})"
        found.append(Row("rules", f"{rule['statement']}: {rule['rule']}", _share(made), _share(real), aim))
    found += [
        Row("adherence", "requested statements found: AUC", _area(a["macro_auc"]), _area(a["real"]), "as high"),
        *(
            Row("diversity", name, _number(d[name], 2), _number(d["real"][name], 2), "as high")
            for name in ("precision", "recall", "density", "coverage")
        ),
        *_spectra(result["detectability"]),
        Row("privacy", "distance to the nearest training record, ratio to test records",
            _number(p["nearest_distance_ratio"], 3), "1", "1 or more"),
        Row("privacy", "records nearer than 99 % of real ones are", _number(p["share_near"], 2), "0.01",
            "as low"),
        Row("privacy", "membership inference: AUC", _number(p["membership_inference_auc"], 3), "0.5", "0.5"),
    ]  # fmt: skip
    return found


def text(result: Mapping[str, Any]) -> str:
    """Return the rows as lines of text: above them what was compared, below them what gives the records away."""
    about = result["about"]
    counts = about["records"]
    lines = [("", "synthetic", "real", "should be")]
    section = ""
    for row in rows(result):
        if row.section != section:
            section = row.section
            lines.append((section.upper(), "", "", ""))
        lines.append((f"  {row.name}", row.synthetic, row.real, row.aim))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    body = [
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    head = [
        f"{counts['synthetic']} synthetic records against {counts['test']} real ones: {about['test_set']}; "
        f"{counts['train']} real training records",
        f"classifier: {about['classifier']}; {counted(about['seeds'], 'seed')}",
        *(f"warning: {warning}" for warning in result["warnings"]),
        "",
    ]
    return "\n".join(line.rstrip() for line in [*head, *body, *findings(result)])


def findings(result: Mapping[str, Any]) -> list[str]:
    """Return sentences that say what gives the generated records away, and which rules they obey too rarely."""
    found = []
    detectability = result["detectability"]
    if detectability is not None:
        groups = ", ".join(f"{g['name']} ({g['alone']:.3f})" for g in detectability["groups"][:3])
        found.append(f"What gives the records away, with its AUC alone: {groups}.")
        bands = detectability["bands"]
        edges = bands["edges_hz"]
        names = [f"{low:g}-{high:g} Hz" for low, high in zip(edges, edges[1:], strict=False)]
        at = max(range(len(names)), key=lambda i: abs(bands["difference"][i] or 0.0))
        least = min(range(len(names)), key=lambda i: bands["spread"][i] or 1.0)
        found.append(
            f"The power is farthest off in {names[at]}, by {bands['difference'][at]:+.2f} decades; it spreads least in "
            f"{names[least]}, {bands['spread'][least]:.2f} times as much as in real records."
        )
    failed = [rule["statement"] for rule in result["rules"] if rule["passed"] is False]
    if failed:
        found.append(f"Fewer records obey their rule than real ones do: {', '.join(dict.fromkeys(failed))}.")
    return found


def _detectability(value: Mapping[str, Any] | None) -> list[Row]:
    if value is None:
        return []
    simple = [
        Row(
            "detectability", f"simple, {name}: AUC", _area(area), _area(value["simple_real"].get(name)), "0.5"
        )
        for name, area in value["simple"].items()
    ]
    deep = [
        Row("detectability", f"deep, {name}: AUC", _area(area), "-", "0.5")
        for name, area in value["deep"].items()
    ]
    return simple + deep


def _spectra(value: Mapping[str, Any] | None) -> list[Row]:
    if value is None:
        return []
    return [
        Row("diversity", f"spectra of {band}, {name}", _number(of[name], 2),
            _number(value["spectra_real"][band][name], 2), "equal")
        for band, of in value["spectra"].items()
        for name in ("precision", "recall")
    ]  # fmt: skip


def _share(value: Mapping[str, Any]) -> str:
    return f"{100 * value['share']:.0f} % of {value['records']}"


def _number(value: float | None, digits: int) -> str:
    """Return three significant figures at least, or so many decimals; a dash where there is none."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if 0 < abs(value) < 10.0**-digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


def _area(value: Mapping[str, Any] | None) -> str:
    return "-" if value is None else f"{value['mean']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def _mean(values: list[float | None]) -> str:
    known = [v for v in values if v is not None]
    return _number(sum(known) / len(known) if known else None, 2)
