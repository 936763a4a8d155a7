"""ECG paper, true to scale on the page. Figures are drawn here; `io.figure` writes them.

A page is one pair of axes in which one unit is one millimetre of paper, so nothing is stretched to fit a box. Rows
stand as far apart as their traces need, and the page grows if A4 or A3 is too small for them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .drawing import RHYTHMS, USUAL, Drawing
from .labels import learnt
from .record import Ecg, as_statement
from .signals.interpolation import finer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM_PER_INCH = 25.4
DPI = 254  # ten pixels per millimetre, so that every grid line falls on whole pixels

# rows of leads; the leads of one row follow each other in time
_ROWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "3x4": (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6")),
    "6x2": (("I", "V1"), ("II", "V2"), ("III", "V3"), ("aVR", "V4"), ("aVL", "V5"), ("aVF", "V6")),
    "12x1": tuple((name,) for name in RHYTHMS),
}
_GRID_HEIGHT = {
    "3x4": 170.0,
    "6x2": 170.0,
    "12x1": 380.0,
}  # with the margins this gives A4 landscape (297 x 210) and A3 portrait (297 x 420)
_SIDE, _HEAD, _FOOT = 13.5, 27.0, 13.0  # margins of a page in mm
_PULSE_S = 0.2  # length of the calibration pulse
_LABEL = 3.6  # size of a lead label, mm
_CLEAR = 2.0  # least distance between the traces of neighbouring rows, mm

LONGEST_S = 120.0  # the command and the service draw no longer records
DRAWN_HZ = 500.0  # traces of a lower rate are interpolated to about this one

_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

_PAPER, _FINE, _BOLD = "#fffafa", "#f9d9dc", "#efa9b1"
_INK, _GREY, _WARN, _AMBER = "#15171c", "#5c6068", "#b3202e", "#8a5a00"


@dataclass(frozen=True)
class _Row:
    """One row of traces in mm: x from the left edge of the grid, y from the zero line."""

    lines: tuple[tuple[str, np.ndarray, np.ndarray], ...]  # (name, x, y)
    labels: tuple[tuple[str, float, float], ...]  # (text, x, y of its baseline)
    ticks: tuple[float, ...]  # x where one lead ends and the next begins


@contextmanager
def own_style(settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Within the block, matplotlib has its own defaults and `settings`, whatever a user's rc file says."""
    import matplotlib.style

    with matplotlib.style.context(["default", dict(settings or {})]):
        yield


@own_style()
def paper(ecg: Ecg, drawing: Drawing = USUAL) -> Figure:
    """Draw one ECG on a page, on A4 landscape or A3 portrait as `drawing` says.

    Records longer than 10 s and a speed of 50 mm/s make the page wider, and large amplitudes and gains make it higher.
    """
    leads = _ROWS[drawing.layout] + (() if drawing.layout == "12x1" else ((drawing.rhythm,),))
    lead_in = 10.0 + _PULSE_S * drawing.speed  # room for the calibration pulse left of the traces
    width = max(270.0, _ceil(lead_in + drawing.speed * ecg.duration_s + 5.0, 5.0))
    rows = [_row(ecg, names, drawing, lead_in=lead_in) for names in leads]
    gaps = _spread(_gaps(rows, width), _GRID_HEIGHT[drawing.layout])
    height = sum(gaps)
    figure, axes = _page(width + 2 * _SIDE, height + _HEAD + _FOOT)
    _grid(axes, _SIDE, _FOOT, width, height)
    _traces(axes, rows, gaps, _SIDE, _FOOT + height, line_mm=0.32)
    _marks(axes, ecg, drawing.speed, _SIDE + lead_in, _FOOT)

    left, right, top = _SIDE, _SIDE + width, _FOOT + height
    _title(axes, ecg, left, top + 9.0, width, 5.0)
    facts = f"{_scale(drawing)}    {ecg.fs_hz:g} Hz"
    _text(axes, left, top + 3.2, facts, 3.0, color=_GREY)
    rare = ecg.provenance.get("training_records")
    if isinstance(rare, dict) and rare:
        words = "    ".join(f"{name}: {learnt(int(count))}" for name, count in rare.items())
        _text(
            axes,
            left + width / 2,
            top + 3.2,
            _fit(words, width / 2, 3.0),
            3.0,
            color=_AMBER,
            ha="center",
            weight="bold",
        )
    if ecg.synthetic:
        _text(
            axes,
            right,
            top + 3.2,
            "synthetic, not for diagnosis",
            3.4,
            color=_WARN,
            ha="right",
            weight="bold",
        )
    for i, line in enumerate(_origin(ecg, int(width / (0.65 * 2.6)))):
        _text(axes, left, _FOOT - 5.5 - 3.8 * i, line, 2.6, color=_GREY)
    return figure


@own_style()
def sheet(ecgs: Sequence[Ecg], columns: int = 2, *, leads: Sequence[str] = ("II", "V1", "V5")) -> Figure:
    """Draw several ECGs on one page at 25 mm/s and 10 mm/mV, each as a few full-length leads under its title.

    ValueError without an ECG or a column.
    """
    if not ecgs or columns < 1:
        raise ValueError(f"a sheet needs at least one ECG and one column; got {len(ecgs)} and {columns}")
    columns = min(columns, len(ecgs))
    between, head = 10.0, 13.0
    width = max(_ceil(10.0 + USUAL.speed * ecg.duration_s + 5.0, 5.0) for ecg in ecgs)
    panels = [[_row(ecg, (name,), USUAL, lead_in=10.0, pulse=False) for name in leads] for ecg in ecgs]
    bands = [range(i, min(i + columns, len(ecgs))) for i in range(0, len(ecgs), columns)]
    gaps = [[_spread(_gaps(panels[i], width), 0.0) for i in band] for band in bands]
    heights = [max(sum(gap) for gap in band) for band in gaps]
    page_width = columns * width + (columns - 1) * between + 2 * between
    page_height = sum(heights) + len(bands) * head + between + 6.0
    figure, axes = _page(page_width, page_height, dpi=DPI / 2)
    top = page_height - 2.0
    for band, band_gaps, height in zip(bands, gaps, heights, strict=True):
        top -= head
        for column, (i, gap) in enumerate(zip(band, band_gaps, strict=True)):
            left = between + column * (width + between)
            _grid(axes, left, top - height, width, height)
            _traces(axes, panels[i], _spread(gap, height), left, top, line_mm=0.45)
            _title(axes, ecgs[i], left, top + 2.6, width, 6.0)
        top -= height
    _text(axes, between, 4.0, _scale(USUAL), 4.0, color=_GREY)
    if any(ecg.synthetic for ecg in ecgs):
        right = page_width - between
        _text(axes, right, 4.0, "synthetic, not for diagnosis", 4.0, color=_WARN, ha="right", weight="bold")
    return figure


def draw(figure: Figure, form: str) -> bytes:
    """Return a figure as "png", "svg" or "pdf". It holds no date, so that the same figure gives the same bytes."""
    file = io.BytesIO()
    with own_style({"svg.hashsalt": "sssd", "svg.fonttype": "path"}):
        figure.savefig(file, format=form, dpi="figure", metadata=_METADATA[form])
    return file.getvalue()


def _scale(drawing: Drawing) -> str:
    return f"{drawing.speed} mm/s    {drawing.gain} mm/mV"


def _row(ecg: Ecg, leads: Sequence[str], drawing: Drawing, *, lead_in: float, pulse: bool = True) -> _Row:
    """Lay out one row. Each label goes above its trace, and a little to the right if that saves height."""
    length = ecg.signal.shape[1]
    edges = np.linspace(0, length, len(leads) + 1).round().astype(int)
    lines: list[tuple[str, np.ndarray, np.ndarray]] = []
    labels: list[tuple[str, float, float]] = []
    if pulse:  # of 1 mV
        wide = _PULSE_S * drawing.speed
        x = np.array([0, 1.5, 1.5, 1.5 + wide, 1.5 + wide, 3.0 + wide])
        y = drawing.gain * np.array([0.0, 0, 1, 1, 0, 0])
        lines.append(("calibration", lead_in - wide - 6.5 + x, y))
    for name, first, last in zip(leads, edges, edges[1:], strict=False):
        fine = max(1, round(DRAWN_HZ / ecg.fs_hz))
        points = slice(first * fine, (last - 1) * fine + 1)
        x = lead_in + drawing.speed * np.arange(length * fine)[points] / (fine * ecg.fs_hz)
        y = drawing.gain * finer(ecg.lead(name), fine)[points]
        lines.append((name, x, y))
        labels.append(_label(name, x, y))
    ticks = tuple(float(lead_in + drawing.speed * edge / ecg.fs_hz) for edge in edges[1:-1])
    return _Row(tuple(lines), tuple(labels), ticks)


def _label(name: str, x: np.ndarray, y: np.ndarray) -> tuple[str, float, float]:
    """Return text, x and y of a lead's label: above its own trace, in the lowest place that is not far to the right."""
    places = []
    for shift in np.arange(1.8, 14.0):
        under = (x >= x[0] + shift - 1.5) & (x <= x[0] + shift + _label_width(name) + 1.5)
        bottom = max(3.5, float(y[under].max(initial=-np.inf)) + 1.2)
        places.append((bottom + 0.4 * shift, float(x[0] + shift), bottom))
    _, left, bottom = min(places)
    return name, left, bottom


def _label_width(text: str) -> float:
    return 0.85 * _LABEL * len(text)


def _gaps(rows: Sequence[_Row], width: float) -> list[float]:
    """Return the least distances in mm: top to first zero line, between zero lines, last zero line to bottom.

    Neighbouring rows are compared millimetre by millimetre along x, and 3 mm to either side, so that a tall R wave may
    stand where the row above is low.
    """
    bins = int(np.ceil(width)) + 1
    up = np.zeros((len(rows), bins))
    down = np.zeros((len(rows), bins))
    for i, row in enumerate(rows):
        ink = [(x, y) for _, x, y in row.lines]
        for text, left, bottom in row.labels:
            ends = np.arange(left, left + _label_width(text) + 1.0)
            ink.append((ends, np.full(len(ends), bottom + _LABEL)))
        for x, y in ink:
            at = x.astype(int).clip(0, bins - 1)
            for shift in range(-3, 4):
                near = (at + shift).clip(0, bins - 1)
                np.maximum.at(up[i], near, y)
                np.maximum.at(down[i], near, -y)
    inner = [float((down[i] + up[i + 1]).max()) + _CLEAR for i in range(len(rows) - 1)]
    return [float(up[0].max()) + _CLEAR, *inner, float(down[-1].max()) + _CLEAR]


def _spread(gaps: Sequence[float], total: float) -> list[float]:
    """Round gaps up to 5 mm, so that zero lines lie on bold lines, and widen the smallest until they fill `total`."""
    wide = [_ceil(gap, 5.0) for gap in gaps]
    ends = (0, len(wide) - 1)  # these are kept smaller: ordinary amplitudes give 25 40 40 40 25
    while sum(wide) < total:
        smallest = min(range(len(wide)), key=lambda i: wide[i] * (1.45 if i in ends else 1.0))
        wide[smallest] += 5.0
    return wide


def _ceil(value: float, step: float) -> float:
    return float(np.ceil(value / step - 1e-9) * step)


def _page(width: float, height: float, dpi: float = DPI) -> tuple[Figure, Axes]:
    """Return a white page of width x height mm, and axes in mm that cover it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / MM_PER_INCH, height / MM_PER_INCH), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0.0, width), ylim=(0.0, height))
    axes.set_axis_off()
    return figure, axes


def _grid(axes: Axes, left: float, bottom: float, width: float, height: float) -> None:
    """Draw fine lines every 1 mm and bold ones every 5 mm; width and height are multiples of 5 mm."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, bottom), width, height, facecolor=_PAPER, edgecolor="none", zorder=0))
    for step, color, thickness in ((1.0, _FINE, 0.1), (5.0, _BOLD, 0.2)):
        xs = left + np.arange(0.0, width + 0.5, step)
        ys = bottom + np.arange(0.0, height + 0.5, step)
        segments = [[(x, bottom), (x, bottom + height)] for x in xs]
        segments += [[(left, y), (left + width, y)] for y in ys]
        axes.add_collection(
            LineCollection(segments, colors=color, linewidths=_points(thickness), zorder=step, snap=True)
        )


def _traces(
    axes: Axes,
    rows: Sequence[_Row],
    gaps: Sequence[float],
    left: float,
    top: float,
    *,
    line_mm: float,
) -> None:
    """Draw rows below `top`; the zero line of row i is sum(gaps[: i + 1]) below it."""
    from matplotlib.lines import Line2D

    zero = top
    for i, (row, gap) in enumerate(zip(rows, gaps, strict=False)):
        zero -= gap
        for name, x, y in row.lines:
            line = Line2D(left + x, zero + y, color=_INK, linewidth=_points(line_mm), zorder=10)
            line.set(solid_joinstyle="round", solid_capstyle="round", gid=f"{name}-{i}")
            axes.add_line(line)
        for tick in row.ticks:
            for low, high in ((-5.0, -3.0), (3.0, 5.0)):
                ends = ([left + tick, left + tick], [zero + low, zero + high])
                axes.add_line(Line2D(*ends, color=_GREY, linewidth=_points(0.25), zorder=9))
        for text, start, bottom in row.labels:
            _text(axes, left + start, zero + bottom, text, _LABEL, weight="bold")


def _marks(axes: Axes, ecg: Ecg, speed: float, left: float, bottom: float) -> None:
    """Write annotations along the bottom of the grid: lines at onsets and ends, symbols at peaks, and notes."""
    from matplotlib.lines import Line2D

    for one in ecg.annotations:
        x = left + speed * one.sample / ecg.fs_hz
        if one.symbol in "()":
            axes.add_line(
                Line2D([x, x], [bottom + 1, bottom + 5], color=_WARN, linewidth=_points(0.2), zorder=9)
            )
        elif one.symbol == '"':
            _text(axes, x, bottom + 6.0, one.note, 2.8, color=_WARN)
        elif one.wave:
            _text(axes, x, bottom + 1.6, one.symbol, 2.8, color=_WARN, ha="center")


def _text(axes: Axes, x: float, y: float, text: str, size_mm: float, **style: Any) -> None:
    """Write text with its baseline at y; `size_mm` is the height of a line."""
    style = {"color": _INK, "va": "baseline", "ha": "left", **style}
    axes.text(
        x, y, text, fontsize=_points(size_mm), fontfamily="DejaVu Sans", zorder=11, parse_math=False, **style
    )


def _points(millimetres: float) -> float:
    return millimetres * 72.0 / MM_PER_INCH


def _title(axes: Axes, ecg: Ecg, left: float, bottom: float, width: float, size_mm: float) -> None:
    """Write the statements that were asked for and, at the right end, those that were drawn beside them."""
    requested = str(ecg.provenance.get("requested", ""))
    asked = {as_statement(name) for name in requested.split("+")} & set(ecg.statements)
    drawn = [name for name in ecg.statements if asked and name not in asked]
    room = width
    if drawn:
        words = _fit("drawn beside it: " + "  ".join(drawn), width / 2, 0.6 * size_mm)
        _text(axes, left + width, bottom, words, 0.6 * size_mm, color=_GREY, ha="right")
        room = width / 2
    title = "  ".join(name for name in ecg.statements if name not in drawn) or "12-lead ECG"
    _text(axes, left, bottom, _fit(title, room, size_mm), size_mm, weight="bold")


def _origin(ecg: Ecg, characters: int) -> list[str]:
    """Return the provenance in up to two lines of whole facts, those first that distinguish this record.

    The model's hash is shortened, and lists are left to the files.
    """
    known = {name: value for name, value in ecg.provenance.items() if name not in ("synthetic", "requested")}
    if isinstance(known.get("noise"), dict):
        known["noise"] = known["noise"].get("added")
    first = [name for name in ("noise", "seed", "index", "sampler", "steps", "eta") if name in known]
    lines = [""]
    for name in [*first, *(name for name in known if name not in first)]:
        if isinstance(known[name], list | dict):
            continue
        fact = f"{name} {str(known[name])[:12] if name == 'model' else known[name]}"
        longer = f"{lines[-1]}    {fact}" if lines[-1] else fact
        if len(longer) <= characters:
            lines[-1] = longer
        elif len(lines) == 1 and len(fact) <= characters:
            lines.append(fact)
    return lines


def _fit(text: str, width_mm: float, size_mm: float) -> str:
    """Cut a text to a width on the page."""
    characters = int(width_mm / (0.75 * size_mm))
    return text if len(text) <= characters else text[: characters - 3] + "..."
