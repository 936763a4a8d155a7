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
from .record import Ecg, as_statement, parts_of
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
_STATEMENT = 4.4  # size of statements in a bracket, mm
_LINE = 1.2 * _STATEMENT  # from one line of them to the next, mm
_LEAST_ROOM, _MOST_LINES = 30.0, 3  # for the statements in a bracket: the width in mm, and the lines
_CLEAR = 2.0  # least distance between the traces of neighbouring rows, mm

LONGEST_S = 120.0  # the command and the service draw no longer records
DRAWN_HZ = 500.0  # traces of a lower rate are interpolated to about this one

_FONT = "DejaVu Sans"

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
    brackets: tuple[_Bracket, ...]  # where statements change


@dataclass(frozen=True)
class _Bracket:
    """A bracket where statements change, in mm like its row. Statements stand in it in the first row of a page only."""

    x: float
    statements: tuple[str, ...] = ()  # lines of them
    right: float = 0.0  # where the longest line ends
    bottom: float = 0.0  # of the lowest line, y of its baseline

    @property
    def left(self) -> float:
        return self.x + 1.6

    @property
    def top(self) -> float:
        return self.bottom + _LINE * len(self.statements) if self.statements else 5.0


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
    width = max(270.0, _width(ecg, drawing, lead_in))
    rows = [_row(ecg, names, drawing, lead_in, width, first=not i) for i, names in enumerate(leads)]
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
    width = max(_width(ecg, USUAL, 10.0) for ecg in ecgs)
    panels = [
        [_row(ecg, (name,), USUAL, 10.0, width, first=not i, pulse=False) for i, name in enumerate(leads)]
        for ecg in ecgs
    ]
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


def _width(ecg: Ecg, drawing: Drawing, lead_in: float) -> float:
    """Return the width in mm that a record needs, with room for the statements of its last part."""
    *_, (_, begin, end) = parts_of(ecg)
    ends = (drawing.speed * end + 5.0, drawing.speed * begin + _LEAST_ROOM + 5.0)
    return _ceil(lead_in + max(ends), 5.0)


def _row(
    ecg: Ecg,
    leads: Sequence[str],
    drawing: Drawing,
    lead_in: float,
    width: float,
    *,
    first: bool,
    pulse: bool = True,
) -> _Row:
    """Lay out one row. Each label goes above its trace, and a little to the right if that saves height.

    first: whether statements that change are named here.
    """
    length = ecg.signal.shape[1]
    changes = [(statements, lead_in + drawing.speed * begin) for statements, begin, _ in parts_of(ecg)[1:]]
    edges = np.linspace(0, length, len(leads) + 1).round().astype(int)
    lines: list[tuple[str, np.ndarray, np.ndarray]] = []
    labels: list[tuple[str, float, float]] = []
    if pulse:  # of 1 mV
        wide = _PULSE_S * drawing.speed
        x = np.array([0, 1.5, 1.5, 1.5 + wide, 1.5 + wide, 3.0 + wide])
        y = drawing.gain * np.array([0.0, 0, 1, 1, 0, 0])
        lines.append(("calibration", lead_in - wide - 6.5 + x, y))
    for name, start, stop in zip(leads, edges, edges[1:], strict=False):
        fine = max(1, round(DRAWN_HZ / ecg.fs_hz))
        points = slice(start * fine, (stop - 1) * fine + 1)
        x = lead_in + drawing.speed * np.arange(length * fine)[points] / (fine * ecg.fs_hz)
        y = drawing.gain * finer(ecg.lead(name), fine)[points]
        lines.append((name, x, y))
        labels.append(_label(name, x, y, [at for _, at in changes]))
    ticks = tuple(float(lead_in + drawing.speed * edge / ecg.fs_hz) for edge in edges[1:-1])
    brackets = _brackets(changes, lines, labels, width) if first else tuple(_Bracket(at) for _, at in changes)
    return _Row(tuple(lines), tuple(labels), ticks, brackets)


def _label(name: str, x: np.ndarray, y: np.ndarray, changes: Sequence[float]) -> tuple[str, float, float]:
    """Return text, x and y of a lead's label: above its own trace, in the lowest place that is not far to the right.

    changes: x of brackets, which the label leaves free.
    """
    places = []
    for shift in np.arange(1.8, 14.0):
        start = float(x[0] + shift)
        end = start + _label_width(name)
        bottom = max(3.5, _highest(x, y, start - 1.5, end + 1.5) + 1.2)
        crossed = any(start - 1.0 < at < end + 1.0 for at in changes)
        places.append((crossed, bottom + 0.4 * shift, start, bottom))
    _, _, left, bottom = min(places)
    return name, left, bottom


def _brackets(
    changes: Sequence[tuple[Sequence[str], float]],
    lines: Sequence[tuple[str, np.ndarray, np.ndarray]],
    labels: Sequence[tuple[str, float, float]],
    width: float,
) -> tuple[_Bracket, ...]:
    """Lay out brackets with their statements, above traces and labels. changes: (statements, x) of each part.

    Where statements would reach the next bracket, they stand over it, so that its line ends below them.
    """
    placed: list[_Bracket] = []
    end = width - 1.0
    for statements, x in reversed(changes):
        words = _lines_of(statements, max(end - x - 3.6, _LEAST_ROOM))
        right = x + 1.6 + max(map(_measured, words))
        bottom = max(6.5, *(_highest(at, y, x - 1.0, right + 1.0) + 1.2 for _, at, y in lines))
        for text, left, low in labels:
            if left < right + 1.0 and left + _label_width(text) > x - 1.0:
                bottom = max(bottom, low + _LABEL + 1.0)
        bottom = max(bottom, *(one.top + 1.5 for one in placed if one.x < right + 2.0), -np.inf)
        placed.append(_Bracket(x, words, right, bottom))
        end = x
    return tuple(reversed(placed))


def _lines_of(statements: Sequence[str], room: float) -> tuple[str, ...]:
    """Break statements into lines that fit into `room` mm; what has no place in the last line is left out."""
    lines: list[str] = []
    for name in statements:
        longer = f"{lines[-1]}  {name}" if lines else name
        if lines and _measured(longer) <= room:
            lines[-1] = longer
        elif len(lines) < _MOST_LINES:
            lines.append(_cut(name, room))
        else:
            lines[-1] = _cut(longer, room)
            break
    return tuple(lines)


def _cut(text: str, room: float) -> str:
    """Cut a text that is wider than `room` mm."""
    kept = len(text)
    while kept and _measured(text[:kept] + "..." * (kept < len(text))) > room:
        kept -= 1
    return text if kept == len(text) else text[:kept] + "..."


def _measured(text: str) -> float:
    """Return the width in mm of statements in a bracket."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_FONT, weight="bold", size=_points(_STATEMENT))
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) * MM_PER_INCH / 72.0


def _highest(x: np.ndarray, y: np.ndarray, start: float, end: float) -> float:
    return float(y[(x >= start) & (x <= end)].max(initial=-np.inf))


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
        for one in row.brackets:
            ends = np.arange(one.x, max(one.x, one.right) + 1.0)
            ink += [(ends, np.full(len(ends), one.top)), (ends[:1], np.array([-5.0]))]
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
        for one in row.brackets:
            ends = (
                ([3.0, 0.0, 0.0], [one.top, one.top, -5.0]) if one.statements else ([0.0, 0.0], [5.0, -5.0])
            )
            line = Line2D(left + one.x + np.array(ends[0]), zero + np.array(ends[1]), color=_WARN, zorder=9)
            line.set(linewidth=_points(0.5), gid=f"change-{i}")
            axes.add_line(line)
            for k, words in enumerate(reversed(one.statements)):
                _text(
                    axes,
                    left + one.left,
                    zero + one.bottom + k * _LINE,
                    words,
                    _STATEMENT,
                    color=_WARN,
                    weight="bold",
                )


def _marks(axes: Axes, ecg: Ecg, speed: float, left: float, bottom: float) -> None:
    """Write annotations along the bottom of the grid: lines at onsets and ends, symbols at peaks, and notes.

    Notes of statements are left out: the title and brackets in the rows say what they are.
    """
    from matplotlib.lines import Line2D

    of_parts = len(parts_of(ecg)) > 1
    for one in ecg.annotations:
        x = left + speed * one.sample / ecg.fs_hz
        if one.symbol in "()":
            axes.add_line(
                Line2D([x, x], [bottom + 1, bottom + 5], color=_WARN, linewidth=_points(0.2), zorder=9)
            )
        elif one.symbol == '"' and not of_parts:
            _text(axes, x, bottom + 6.0, one.note, 2.8, color=_WARN)
        elif one.wave:
            _text(axes, x, bottom + 1.6, one.symbol, 2.8, color=_WARN, ha="center")


def _text(axes: Axes, x: float, y: float, text: str, size_mm: float, **style: Any) -> None:
    """Write text with its baseline at y; `size_mm` is the height of a line."""
    style = {"color": _INK, "va": "baseline", "ha": "left", **style}
    axes.text(x, y, text, fontsize=_points(size_mm), fontfamily=_FONT, zorder=11, parse_math=False, **style)


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
    named = []
    for statements, begin, _ in parts_of(ecg):
        words = "  ".join(name for name in statements if name not in drawn)
        named.append(f"from {_clock(begin)} {words}" if begin else words)
    title = ",  ".join(named)
    if title and ecg.synthetic:
        title = f"Asked for {title}"  # it was not found in the signal
    title = title or "12-lead ECG"
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


def _clock(seconds: float) -> str:
    """75.5 s as 1:15.5"""
    whole = round(seconds, 1)
    return f"{int(whole // 60)}:{int(whole % 60):02}" + f"{whole % 1:.1f}".lstrip("0").removesuffix(".0")


def _fit(text: str, width_mm: float, size_mm: float) -> str:
    """Cut a text to a width on the page."""
    characters = int(width_mm / (0.75 * size_mm))
    return text if len(text) <= characters else text[: characters - 3] + "..."
