"""Draws the plots of the report, one matplotlib figure each. Real records are dark, and generated ones red."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.recordings import Recordings
from ..data.recordings import eight_leads_mv as eight
from ..leads import CLINICAL
from .table import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_REAL, _MADE = "#30343b", "#d1495b"
_SHOWN = ("II", "V2", "V5")  # leads of a record that is shown


def examples(examples: Mapping[str, list[dict[str, Any]]], test: Recordings, synthetic: Recordings) -> Figure:
    """Draw the most detectable records left and the least detectable right.

    Below each one is the real record that it was paired with.
    """
    count = max(len(pairs) for pairs in examples.values())
    figure, axes = _figure(10, 1.6 * 2 * count, 2 * count, 2)
    for column, kind in enumerate(("most", "least")):
        for k, pair in enumerate(examples[kind]):
            for shift, records, row, title in (
                (
                    0,
                    synthetic,
                    pair["synthetic"],
                    f"generated record {pair['synthetic']}, score {pair['score']:.2f}",
                ),
                (1, test, pair["test"], f"real test record {pair['test']}"),
            ):
                one = axes[2 * k + shift, column]
                _trace(one, records, row, color=_REAL if shift else _MADE, unit_mv=0.4)
                one.set_title(title, fontsize=8, loc="left")
    return figure


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, NDArray[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = np.asarray(figure.subplots(rows, columns, squeeze=False))
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def statements(areas: Mapping[str, Mapping[str, float]], of_real: str, of_made: str) -> Figure:
    """Draw the AUC of each statement as two dots on a line."""
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


def amplitudes(amplitude: Mapping[str, Any]) -> Figure:
    """Draw quantiles of each lead, and its standard deviation divided by that of real records."""
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


def spectra(spectrum: Mapping[str, Any]) -> Figure:
    """Draw the power of each lead, from 0.4 Hz up to the Nyquist frequency."""
    figure, axes = _figure(8, 4.6, 3, 4)
    frequency = np.array(spectrum["frequency_hz"], dtype=float)
    shown = frequency >= 0.4
    for i, one in enumerate(axes.flat):
        for key, color, name in (("power_real", _REAL, "real"), ("power", _MADE, "synthetic")):
            density = np.array(spectrum[key][i], dtype=float)[shown]
            one.plot(frequency[shown], 10 * np.log10(density + 1e-12), color=color, lw=1, label=name)
        one.set_title(CLINICAL[i], fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    axes[2, 0].set_xlabel("Hz", fontsize=8)
    axes[2, 0].set_ylabel("dB of mV²/Hz", fontsize=8)
    return figure


def rhythm(measures: Mapping[str, Any]) -> Figure:
    """Draw the 5, 25, 50, 75 and 95 % quantiles of each measure."""
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


def regularity(measures: Mapping[str, Any]) -> Figure:
    """Draw the median beat regularity and likeness of each statement, real against synthetic."""
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


def pairs(pairs: list[dict[str, Any]], synthetic: Recordings, train: Recordings) -> Figure:
    """Draw one row per pair, with the generated record left and the training record right."""
    figure, axes = _figure(10, 1.9 * max(len(pairs), 1), max(len(pairs), 1), 2)
    for line, pair in zip(axes, pairs, strict=False):
        for one, records, key in ((line[0], synthetic, "synthetic"), (line[1], train, "train")):
            row = pair[key]
            _trace(one, records, row)
            word = "generated" if key == "synthetic" else "training"
            one.set_title(f"{word} record {row}, distance {pair['distance']:.2f}", fontsize=8, loc="left")
    return figure


def _trace(
    axes: Axes, records: Recordings, row: int, *, color: str = _REAL, unit_mv: float | None = None
) -> None:
    """Draw three leads of one record, one above the other, in a unit of mV or else of the record's own energy."""
    x = eight(Recordings(records.signal_uv[[row]], records.labels[[row]], records.label_names))[0]
    energy = unit_mv or float(np.sqrt(((x - x.mean(axis=-1, keepdims=True)) ** 2).mean())) or 1.0
    time = np.arange(x.shape[-1]) / records.fs_hz
    for k, lead in enumerate(_SHOWN):
        values = records.signal_uv[row, CLINICAL.index(lead)] / 1000.0
        axes.plot(time, (values - np.median(values)) / energy - 10.0 * k, color=color, lw=0.6)
        axes.text(0.0, 3.0 - 10.0 * k, lead, fontsize=7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
