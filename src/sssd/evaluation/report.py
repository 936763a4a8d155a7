"""The result of `evaluate` as one HTML page that needs nothing else: table, plots, the nearest pairs side by side."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import counted
from ..data.recordings import Recordings
from ..io.files import replacing
from ..plot import own_style
from . import plots
from .sets import split
from .table import findings, rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    """Return the page as text. train, test: the real records as `evaluate` parted them."""
    about, counts = result["about"], result["about"]["records"]
    parts = [
        "<p>Synthetic records, not for diagnosis. "
        f"{counts['synthetic']} of them against {counts['test']} real records ({_e(about['test_set'])}); "
        f"{counts['train']} real training records.</p>",
        f"<p class=note>Classifier: {_e(about['classifier'])}; {counted(about['seeds'], 'seed')}, intervals of "
        f"95 % by bootstrap over the test records. Real: the same figure of real training records in "
        f"place of the synthetic ones. {_e(about['program'])}, {_e(about['device'])}, {about['seconds']:.0f} s.</p>",
        *(f"<p><strong>Warning:</strong> {_e(warning)}</p>" for warning in result["warnings"]),
        *(f"<p>{_e(sentence)}</p>" for sentence in findings(result)),
    ]
    section, open_table = "", False
    pictures = _pictures(result, train, test, synthetic)
    for row in rows(result):
        if row.section != section:
            if open_table:
                parts += ["</table>", *pictures.get(section, [])]
            section, open_table = row.section, True
            parts.append(f"<h2>{_e(_TITLES[section])}</h2><p class=note>{_e(_NOTES[section])}</p>")
            parts.append("<table><tr><th></th><th>synthetic</th><th>real</th><th>should be</th></tr>")
        cells = (row.name, row.synthetic, row.real, row.aim)
        parts.append("<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in cells) + "</tr>")
    parts += ["</table>", *pictures.get(section, [])]
    title = "Synthetic ECGs against real ones"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


_TITLES = {
    "utility": "Utility",
    "fidelity": "Fidelity",
    "detectability": "Detectability",
    "rhythm": "Rhythm and shape",
    "rules": "Rules by statement",
    "adherence": "Adherence",
    "diversity": "Diversity",
    "privacy": "Privacy",
}
_NOTES = {
    "utility": "How useful the records are to train a classifier: macro AUC over the statements that at least five "
    "test records carry, and over the superclasses of PTB-XL.",
    "fidelity": "How near the distributions are, in the features of a classifier trained on real records and in the "
    "signals themselves.",
    "detectability": "Whether a classifier can tell generated records from real ones: 0.5 is perfect, 1.0 means that "
    "every generated record is found out. Simple: gradient boosting on power in bands, extremes and slopes. Deep: a "
    "residual network on the signals. Real: training records in place of the generated ones.",
    "rhythm": "Whether a record's beats belong to one heart: regularity and likeness of beats, heart rate, and "
    "intervals and waves of lead II by prominence. KS is the largest gap between two cumulative distributions, 0 to 1.",
    "rules": "How many of the records with a statement show what the statement says, by criteria that are measured in "
    "the same way on both sides. Real: all real records, training and test.",
    "adherence": "How well a classifier trained on real records finds the statements that were asked for.",
    "diversity": "Balls around the points of each set, in the classifier's features and in log spectra, that reach to "
    "the fifth neighbour. Precision: generated points in real balls. Recall: real points in generated balls.",
    "privacy": "Distances of records scaled to unit energy, at the best shift in time, so that neither a smaller "
    "amplitude nor a later start can hide a copy or look like one.",
}


@own_style()
def _pictures(
    result: Mapping[str, Any], train: Recordings, test: Recordings, synthetic: Recordings
) -> dict[str, list[str]]:
    """Return pictures by section, as HTML."""
    return {
        "utility": [_picture(plots.statements(result["utility"]["statements"], "trained on real", "on synthetic"),
                             "AUC of each statement after training on real and on synthetic records")],
        "fidelity": [
            _picture(plots.amplitudes(result["fidelity"]["amplitude"]), "Amplitude of each lead"),
            _picture(plots.spectra(result["fidelity"]["spectrum"]), "Power spectrum of each lead"),
        ],
        "detectability": _detectability(result["detectability"], test, synthetic),
        "rhythm": [_picture(plots.rhythm(result["rhythm"]), "Percentiles of each measure, real and synthetic"),
                   _picture(plots.regularity(result["rhythm"]), "Beat regularity of each statement")],
        "adherence": [_picture(plots.statements(result["adherence"]["statements"], "real records", "synthetic records"),
                               "AUC of each statement in real and in synthetic records")],
        "privacy": [
            "<p>The generated records that are nearest to a training record, beside it. Both in units of their own "
            "energy.</p>",
            _picture(plots.pairs(result["privacy"]["nearest_pairs"], synthetic, train), "Nearest pairs side by side"),
        ],
    }  # fmt: skip


def _detectability(value: Mapping[str, Any] | None, test: Recordings, synthetic: Recordings) -> list[str]:
    if value is None:
        return []
    bands, chance = value["bands"], value["bands_real"]
    rows_of_bands = "".join(
        f"<tr><td>{low:g} to {high:g} Hz</td>"
        + "".join(f"<td>{_decimal(of[key][i], form)}</td>" for key, form in _BANDS for of in (bands, chance))
        + "</tr>"
        for i, (low, high) in enumerate(zip(bands["edges_hz"], bands["edges_hz"][1:], strict=False))
    )
    rows_of_groups = "".join(
        f"<tr><td>{_e(group['name'])}</td><td>{group['alone']:.3f}</td><td>{group['permuted']:+.3f}</td></tr>"
        for group in value["groups"]
    )
    return [
        "<p>Power in bands. Difference: median log10 power over records and leads, generated less real, in decades. "
        "Spread: standard deviation of that level over records, and between the leads of a record, as a ratio to "
        "real records. Beside each stands what real training records have in place of the generated ones.</p>"
        "<table><tr><th>band</th><th>difference</th><th>real</th><th>spread</th><th>real</th>"
        "<th>spread between leads</th><th>real</th></tr>"
        f"{rows_of_bands}</table>",
        "<p>What gives the records away: AUC of the simple classifier with these features alone, and how much its AUC "
        "with all features falls when these are shuffled.</p><table><tr><th>features, all leads</th><th>AUC alone</th>"
        f"<th>fall</th></tr>{rows_of_groups}</table>",
        "<p>The generated records that are found out most and least surely, each above the real record that it was "
        "compared with.</p>",
        _picture(
            plots.examples(value["examples"], test, synthetic),
            "Most and least detectable records side by side",
        ),
    ]


_BANDS = (("difference", "+.2f"), ("spread", ".2f"), ("spread_between_leads", ".2f"))


def _decimal(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _picture(figure: Figure, words: str) -> str:
    """Return the figure inside the page, as SVG."""
    buffer = io.BytesIO()
    with own_style({"svg.hashsalt": "sssd", "svg.fonttype": "none", "path.simplify_threshold": 0.5}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<p><img alt="{_e(words)}" src="data:image/svg+xml;base64,{data}"></p>'


def _e(words: str) -> str:
    return html.escape(words, quote=True)
