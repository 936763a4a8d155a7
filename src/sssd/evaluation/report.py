"""The result of `evaluate` as one HTML page that needs nothing else: table, plots, the nearest pairs side by side."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.recordings import Recordings
from ..data.recordings import eight_leads_mv as eight
from ..io.files import replacing
from ..leads import CLINICAL
from .evaluate import split
from .table import NAMES, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_REAL, _MADE = "#30343b", "#d1495b"
_SHOWN = ("II", "V2", "V5")  # leads of a pair

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #15171c; background: #fff; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #d5d8dd; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid #eceef1; }
th:first-child, td:first-child { text-align: left; white-space: pre; }
img { width: 100%; height: auto; } p.note { color: #5c6068; }
"""


def write_report(
    path: str | Path,
    result: Mapping[str, Any],
    real: Recordings,
    synthetic: Recordings,
    holdout: Recordings | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the page for a result of `evaluate` of the same sets and return its path. FileExistsError if it exists."""
    path = Path(path)
    train, test, _ = split(real, holdout)
    content = page(result, train, test, synthetic)
    with replacing(path, overwrite=overwrite) as (part,):
        part.write_text(content, encoding="utf-8", newline="\n")
    return path


def page(result: Mapping[str, Any], train: Recordings, test: Recordings, synthetic: Recordings) -> str:
    """The page as text. train, test: the real records as `evaluate` parted them."""
    about, counts = result["about"], result["about"]["records"]
    parts = [
        "<p>Synthetic records, not for diagnosis. "
        f"{counts['synthetic']} of them against {counts['test']} real records ({_e(about['test_set'])}); "
        f"{counts['train']} real training records.</p>",
        f"<p class=note>Classifier: {_e(about['classifier'])}; {about['seeds']} seeds, intervals of 95 % by bootstrap "
        f"over the test records. Real: the same figure of real training records in place of the synthetic ones. "
        f"{_e(about['program'])}, {_e(about['device'])}, {about['seconds']:.0f} s.</p>",
    ]
    section, open_table = "", False
    plots = _plots(result, train, test, synthetic)
    for row in rows(result):
        if row.section != section:
            if open_table:
                parts += ["</table>", *plots.get(section, [])]
            section, open_table = row.section, True
            parts.append(f"<h2>{_e(_TITLES[section])}</h2><p class=note>{_e(_NOTES[section])}</p>")
            parts.append("<table><tr><th></th><th>synthetic</th><th>real</th><th>should be</th></tr>")
        cells = (row.name, row.synthetic, row.real, row.aim)
        parts.append("<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in cells) + "</tr>")
    parts += ["</table>", *plots.get(section, [])]
    title = "Synthetic ECGs against real ones"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


_TITLES = {
    "utility": "Utility",
    "fidelity": "Fidelity",
    "rhythm": "Rhythm and shape",
    "adherence": "Adherence",
    "diversity": "Diversity",
    "privacy": "Privacy",
}
_NOTES = {
    "utility": "Of what use the records are to train a classifier: macro AUC over the statements that at least five "
    "test records carry, and over the superclasses of PTB-XL.",
    "fidelity": "How near the distributions are: in the features of a classifier trained on real records, and of the "
    "signals themselves.",
    "rhythm": "Whether a record's beats belong to one heart: regularity of beats without a detector; the rest by "
    "NeuroKit2 in lead II. KS is the largest gap between two cumulative distributions, 0 to 1.",
    "adherence": "How well a classifier trained on real records finds the statements that were asked for.",
    "diversity": "Balls about real and about generated records in the classifier's features that reach to the fifth "
    "neighbour.",
    "privacy": "Distances of records scaled to unit energy, at the best shift in time, so that neither a smaller "
    "amplitude nor a later start hides or feigns a copy.",
}


def _plots(
    result: Mapping[str, Any], train: Recordings, test: Recordings, synthetic: Recordings
) -> dict[str, list[str]]:
    """Pictures by section, as HTML."""
    return {
        "utility": [_picture(_statements(result["utility"]["statements"], "trained on real", "on synthetic"),
                             "AUC of each statement after training on real and on synthetic records")],
        "fidelity": [
            _picture(_amplitudes(result["fidelity"]["amplitude"]), "Amplitude of each lead"),
            _picture(_spectra(result["fidelity"]["spectrum"]), "Power spectrum of each lead"),
        ],
        "rhythm": [_picture(_rhythm(result["rhythm"]), "Percentiles of each measure, real and synthetic"),
                   _picture(_regularity(result["rhythm"]), "Beat regularity of each statement")],
        "adherence": [_picture(_statements(result["adherence"]["statements"], "real records", "synthetic records"),
                               "AUC of each statement in real and in synthetic records")],
        "privacy": [
            "<p>The generated records that are nearest to a training record, beside it. Both in units of their own "
            "energy.</p>",
            _picture(_pairs(result["privacy"]["nearest_pairs"], synthetic, train), "Nearest pairs side by side"),
        ],
    }  # fmt: skip


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, NDArray[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = np.asarray(figure.subplots(rows, columns, squeeze=False))
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def _statements(areas: Mapping[str, Mapping[str, float]], of_real: str, of_made: str) -> Figure:
    """AUC of each statement as two dots on a line."""
    real, made = areas["real"], areas["synthetic"]
    codes = sorted((code for code in real if code in made), key=lambda code: real[code])
    figure, axes = _figure(8, 0.6 + 0.17 * max(len(codes), 4))
    one, at = axes[0, 0], np.arange(len(codes))
    one.hlines(at, [made[c] for c in codes], [real[c] for c in codes], color="#c6cad0", lw=1)
    one.plot([real[c] for c in codes], at, "o", ms=4, color=_REAL, label=of_real)
    one.plot([made[c] for c in codes], at, "o", ms=4, color=_MADE, label=of_made)
    one.set_yticks(at, codes, fontsize=7)
    one.set_xlabel("area under the ROC curve", fontsize=8)
    one.set_xlim(right=1.0)
    figure.legend(fontsize=8, frameon=False, loc="outside upper left", ncols=2)
    return figure


def _amplitudes(amplitude: Mapping[str, Any]) -> Figure:
    """Quantiles of each lead, and its standard deviation over that of real records."""
    figure, axes = _figure(8, 4.2, 2)
    leads = amplitude["leads"]
    at = np.arange(len(leads))
    for shift, key, color, name in (
        (-0.15, "quantiles_real_mv", _REAL, "real"),
        (0.15, "quantiles_mv", _MADE, "synthetic"),
    ):
        q = np.array(amplitude[key], dtype=float)  # (C, Q): 1 5 25 50 75 95 99 %
        axes[0, 0].vlines(at + shift, q[:, 0], q[:, -1], color=color, lw=1)
        axes[0, 0].vlines(at + shift, q[:, 1], q[:, -2], color=color, lw=4, label=name)
    axes[0, 0].set_ylabel("mV (1, 5, 95, 99 %)", fontsize=8)
    figure.legend(fontsize=8, frameon=False, loc="outside upper left", ncols=2)
    axes[1, 0].bar(at, np.array(amplitude["std_ratio"], dtype=float), color=_MADE, width=0.5)
    axes[1, 0].axhline(1.0, color=_REAL, lw=1)
    axes[1, 0].set_ylabel("SD, synthetic / real", fontsize=8)
    for one in axes[:, 0]:
        one.set_xticks(at, leads)
    return figure


def _spectra(spectrum: Mapping[str, Any]) -> Figure:
    figure, axes = _figure(8, 4.6, 3, 4)
    frequency = np.array(spectrum["frequency_hz"], dtype=float)
    shown = (frequency >= 0.4) & (frequency <= 45)
    for i, one in enumerate(axes.flat):
        for key, color, name in (("power_real", _REAL, "real"), ("power", _MADE, "synthetic")):
            density = np.array(spectrum[key][i], dtype=float)[shown]
            one.plot(frequency[shown], 10 * np.log10(density + 1e-12), color=color, lw=1, label=name)
        one.set_title(CLINICAL[i], fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    axes[2, 0].set_xlabel("Hz", fontsize=8)
    axes[2, 0].set_ylabel("dB of mV²/Hz", fontsize=8)
    return figure


def _rhythm(measures: Mapping[str, Any]) -> Figure:
    """5, 25, 50, 75 and 95 % of each measure."""
    figure, axes = _figure(8, 4.2, 3, 3)
    for one, (key, name) in zip(axes.flat, NAMES.items(), strict=True):
        for y, part, color in ((1, "real", _REAL), (0, "synthetic", _MADE)):
            q = measures[key]["percentiles"][part]
            if q is not None:
                one.plot([q[0], q[4]], [y, y], color=color, lw=1)
                one.plot([q[1], q[3]], [y, y], color=color, lw=6, solid_capstyle="butt")
                one.plot(q[2], y, "o", color="white", ms=4)
        one.set_yticks([1, 0], ["real", "synthetic"])
        one.set_ylim(-0.6, 1.6)
        unit = measures[key]["unit"]
        one.set_title(f"{name}{', ' + unit if unit else ''}", fontsize=8)
    return figure


def _regularity(measures: Mapping[str, Any]) -> Figure:
    """Beat regularity and likeness, median of each statement, real against synthetic."""
    figure, axes = _figure(8, 3.8, 1, 2)
    for one, key in zip(axes.flat, ("beat_regularity", "beat_likeness"), strict=True):
        for code, medians in measures[key]["statements"].items():
            one.plot(medians["real"], medians["synthetic"], "o", color=_MADE, ms=3)
            one.annotate(code, (medians["real"], medians["synthetic"]), fontsize=6, xytext=(3, 2),
                         textcoords="offset points")  # fmt: skip
        values = [v for medians in measures[key]["statements"].values() for v in medians.values()]
        ends = [min(values, default=0.0) - 0.05, max(values, default=1.0) + 0.05]
        one.plot(ends, ends, color="#c6cad0", lw=1)
        one.set_aspect("equal")
        one.set_title(f"{NAMES[key]}, by statement", fontsize=8)
        one.set_xlabel("real", fontsize=8)
        one.set_ylabel("synthetic", fontsize=8)
    return figure


def _pairs(pairs: list[dict[str, Any]], synthetic: Recordings, train: Recordings) -> Figure:
    """One row per pair: the generated record left, the training record right."""
    figure, axes = _figure(10, 1.9 * max(len(pairs), 1), max(len(pairs), 1), 2)
    for line, pair in zip(axes, pairs, strict=False):
        for one, records, key in ((line[0], synthetic, "synthetic"), (line[1], train, "train")):
            row = pair[key]
            _trace(one, records, row)
            word = "generated" if key == "synthetic" else "training"
            one.set_title(f"{word} record {row}, distance {pair['distance']:.2f}", fontsize=8, loc="left")
    return figure


def _trace(axes: Axes, records: Recordings, row: int) -> None:
    """Three leads of one record, all over its energy in the eight leads, one above the other."""
    x = eight(Recordings(records.signal_uv[[row]], records.labels[[row]], records.label_names))[0]
    energy = float(np.sqrt(((x - x.mean(axis=-1, keepdims=True)) ** 2).mean())) or 1.0
    time = np.arange(x.shape[-1]) / records.fs_hz
    for k, lead in enumerate(_SHOWN):
        values = records.signal_uv[row, CLINICAL.index(lead)] / 1000.0
        axes.plot(time, (values - np.median(values)) / energy - 10.0 * k, color=_REAL, lw=0.6)
        axes.text(0.0, 3.0 - 10.0 * k, lead, fontsize=7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _picture(figure: Figure, words: str) -> str:
    """The figure inside the page, as SVG."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(
        {"svg.hashsalt": "sssd", "svg.fonttype": "none", "path.simplify_threshold": 0.5}
    ):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<p><img alt="{_e(words)}" src="data:image/svg+xml;base64,{data}"></p>'


def _e(words: str) -> str:
    return html.escape(words, quote=True)
