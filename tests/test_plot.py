"""ECG paper is true to scale, holds every lead, and is the same file every time."""

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sssd.annotations import notes_of
from sssd.drawing import GAINS, LAYOUTS, RHYTHMS, SPEEDS, Drawing
from sssd.io.figure import save_figure
from sssd.plot import paper, sheet
from sssd.record import Annotation, Ecg, parts_of
from tests.test_heart_rate import model


def _ecg(scale: float = 1.0, seconds: int = 10, synthetic: bool = True) -> Ecg:
    """A square wave of 0 and `scale` mV, half a second each, in every lead."""
    wave = np.tile(np.repeat([0.0, scale], 50), seconds)
    return Ecg(
        np.tile(wave, (12, 1)), statements=("NORM", "SR"), provenance={"synthetic": synthetic, "seed": 7}
    )


def _lines(figure: Figure) -> dict[str, Line2D]:
    return {str(line.get_gid()): line for line in figure.axes[0].lines if line.get_gid()}


def _mm(figure: Figure, line: Line2D) -> np.ndarray:
    """The points of a line in mm on the page, through the transforms that draw them. (n, 2)"""
    return figure.axes[0].transData.transform(line.get_xydata()) / figure.dpi * 25.4


def _samples(figure: Figure, line: Line2D) -> np.ndarray:
    """The points that are samples, of a trace at 100 Hz that is drawn at 500 Hz. (n, 2)"""
    return _mm(figure, line)[::5]


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("layout", ["3x4", "12x1"])
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_scale_on_the_page(layout: str, scale: float) -> None:
    """Broken by another speed, gain or page size, or by fitted axes (seen: 25 mm to the inch)."""
    figure = paper(_ecg(scale), Drawing(layout))
    lines = _lines(figure)
    strip = _samples(figure, lines["II-3" if layout == "3x4" else "II-1"])
    assert np.ptp(strip[:, 0]) == pytest.approx(25 * 9.99)  # 1 s is 25 mm
    assert np.ptp(strip[:, 1]) == pytest.approx(10 * scale)  # 1 mV is 10 mm
    pulse = _mm(figure, lines["calibration-0"])
    assert np.ptp(pulse[:, 1]) == pytest.approx(10)
    assert pulse[pulse[:, 1] > pulse[:, 1].min() + 5][:, 0].tolist() == pytest.approx([18.5, 23.5])


def test_pages_are_a4_and_a3() -> None:
    for layout, size in (("3x4", (297, 210)), ("12x1", (297, 420))):
        assert paper(_ecg(), Drawing(layout)).get_size_inches() * 25.4 == pytest.approx(size)


def test_columns_follow_one_another_in_time() -> None:
    """Broken by starting every column at the beginning of the record (seen)."""
    ramp = np.tile(np.linspace(0, 1, 1000), (12, 1))
    figure = paper(Ecg(ramp))
    lines = _lines(figure)
    row = np.concatenate([_samples(figure, lines[f"{name}-0"]) for name in ("I", "aVR", "V1", "V4")])
    strip = _samples(figure, lines["II-3"])
    np.testing.assert_allclose(row[:, 0], strip[:, 0], atol=1e-6)
    np.testing.assert_allclose(row[:, 1] - row[0, 1], strip[:, 1] - strip[0, 1], atol=1e-5)


def test_rows_stand_on_bold_lines_and_apart() -> None:
    """Broken by rows at fixed distances (seen: every gap 40 mm)."""
    heights = []
    for scale in (1.0, 3.0, 9.0, -9.0):
        figure = paper(_ecg(scale))
        lines = _lines(figure)
        columns = [("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6")]
        for names in columns:
            traces = [_mm(figure, lines[f"{name}-{row}"])[:, 1] for row, name in enumerate(names)]
            assert traces[0].min() > traces[1].max() + 1.9
            assert traces[1].min() > traces[2].max() + 1.9
            assert traces[2].min() > _mm(figure, lines["II-3"])[:, 1].max() + 1.9
        low, high = 13.0, figure.get_size_inches()[1] * 25.4 - 27.0  # the grid
        assert low < min(_mm(figure, line)[:, 1].min() for line in lines.values())
        assert high > max(_mm(figure, line)[:, 1].max() for line in lines.values())
        zero = _mm(figure, lines["calibration-0"])[0, 1] - low
        assert zero / 5 == pytest.approx(round(zero / 5))
        heights.append(high - low)
    assert heights[0] == pytest.approx(170)
    assert heights[2] > 300


def test_labels_stand_clear_of_their_traces() -> None:
    """Broken by labels at a fixed height over the zero line (seen: 3.5 mm)."""
    rng = np.random.default_rng(0)
    beats = rng.normal(0, 0.05, (12, 1000))
    beats[:, 20::80] += 2.0
    beats[:, 22::80] -= 1.0
    figure = paper(Ecg(beats))
    lines = _lines(figure)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    checked = 0
    for text in figure.axes[0].texts:
        box = text.get_window_extent(renderer)
        for gid, line in lines.items():
            ends = figure.axes[0].transData.transform(line.get_xydata())
            at = np.arange(0, len(ends) - 1, 0.05)  # between the samples too
            points = np.stack([np.interp(at, np.arange(len(ends)), ends[:, axis]) for axis in (0, 1)], axis=1)
            inside = (points[:, 0] > box.x0 - 3) & (points[:, 0] < box.x1 + 3)
            inside &= (points[:, 1] > box.y0 - 3) & (points[:, 1] < box.y1 + 3)
            assert not inside.any(), (text.get_text(), gid)
            checked += 1
    assert checked > 200


def test_words_on_the_page() -> None:
    texts = _texts(paper(_ecg()))
    assert {
        "Asked for NORM  SR",
        "synthetic, not for diagnosis",
        "25 mm/s    10 mm/mV    100 Hz",
        "seed 7",
    } <= set(texts)
    assert [texts.count(name) for name in ("I", "II", "aVF", "V6")] == [1, 2, 1, 1]
    recorded = _texts(paper(_ecg(synthetic=False)))
    assert "NORM  SR" in recorded and "synthetic, not for diagnosis" not in recorded
    many = Ecg(np.zeros((12, 1000)), statements=("ABQRS",) * 71)
    figure = paper(many)
    title = figure.axes[0].texts[-3]
    assert title.get_text().startswith("ABQRS  ABQRS") and title.get_text().endswith("...")
    box = title.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    assert box.x1 < figure.bbox.x1 - 100


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layout": "4x3"}, "unknown layout '4x3'; choose one of 3x4, 6x2, 12x1"),
        ({"speed": 100}, "unknown speed 100; choose one of 25, 50"),
        ({"gain": 0}, "unknown gain 0; choose one of 5, 10, 20"),
        ({"rhythm": "V7"}, "unknown rhythm 'V7'; choose one of I, II"),
    ],
)
def test_unknown_drawings_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _ecg().plot(**wrong)


@pytest.mark.parametrize(("layout", "parts"), [("3x4", 4), ("6x2", 2), ("12x1", 1)])
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("gain", GAINS)
def test_speed_gain_and_parts_of_leads(layout: str, parts: int, speed: int, gain: int) -> None:
    """Broken by a scale that traces, pulse or words do not have alike, or by leads cut elsewhere."""
    figure = paper(_ecg(1.5), Drawing(layout, speed, gain, "V5"))
    lines = _lines(figure)
    traces = {gid: _samples(figure, line) for gid, line in lines.items() if not gid.startswith("calibration")}
    full = {gid for gid, points in traces.items() if len(points) == 1000}
    assert {gid.split("-")[0] for gid in traces} == set(RHYTHMS)
    assert full == ({"V5-3"} if parts == 4 else {"V5-6"} if parts == 2 else set(traces))
    for gid, points in traces.items():
        seconds = 10.0 if gid in full else 10.0 / parts
        assert len(points) == 100 * seconds
        assert np.ptp(points[:, 0]) == pytest.approx(speed * (seconds - 0.01))
        assert np.ptp(points[:, 1]) == pytest.approx(1.5 * gain)
    for gid in (gid for gid in lines if gid.startswith("calibration")):
        pulse = _mm(figure, lines[gid])
        assert np.ptp(pulse[:, 1]) == pytest.approx(gain)
        assert np.ptp(pulse[pulse[:, 1] > pulse[:, 1].min() + 1][:, 0]) == pytest.approx(0.2 * speed)
        assert pulse[:, 0].min() > 13.5
    assert f"{speed} mm/s    {gain} mm/mV    100 Hz" in _texts(figure)


@pytest.mark.parametrize("seconds", [2, 30])
def test_other_durations_keep_the_scale(seconds: int) -> None:
    figure = paper(_ecg(seconds=seconds))
    strip = _mm(figure, _lines(figure)["II-3"])
    assert np.ptp(strip[:, 0]) == pytest.approx(25 * (seconds - 0.01))
    assert strip[:, 0].max() < figure.get_size_inches()[0] * 25.4 - 13.5


def test_sheet_is_true_to_scale_too() -> None:
    figure = sheet([_ecg(), _ecg(2.0), _ecg(5.0)], columns=2)
    traces = [_samples(figure, line) for line in figure.axes[0].lines if line.get_gid() == "V5-2"]
    assert [np.ptp(trace[:, 1]) for trace in traces] == pytest.approx([10, 20, 50])
    assert [np.ptp(trace[:, 0]) for trace in traces] == pytest.approx([249.75] * 3)
    width, height = figure.get_size_inches() * 25.4
    assert all((trace > 0).all() and (trace < (width, height)).all() for trace in traces)
    assert _texts(figure).count("Asked for NORM  SR") == 3
    with pytest.raises(ValueError, match="at least one ECG"):
        sheet([])


def test_pdf_page_and_svg_page_are_a4(tmp_path: Path) -> None:
    """Broken by another size on the way to the file (seen: bbox_inches="tight")."""
    figure = paper(_ecg())
    pdf = save_figure(figure, tmp_path / "a.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ([\d. ]+) \]", pdf)
    assert box
    assert np.array(box[1].split(), dtype=float) * 25.4 / 72 == pytest.approx([0, 0, 297, 210], abs=0.01)
    svg = save_figure(figure, tmp_path / "a.svg").read_text()
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    assert size
    assert np.array(size.groups(), dtype=float) * 25.4 / 72 == pytest.approx([297, 210], abs=0.01)
    png = save_figure(figure, tmp_path / "a.png").read_bytes()
    assert int.from_bytes(png[16:20], "big") == 2970
    assert int.from_bytes(png[20:24], "big") == 2100


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_the_same_ecg_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """Broken by a date or a random name in the file (seen: metadata and hash salt left out)."""
    files = []
    for name in "ab":
        figure = paper(_ecg())
        figure.set_dpi(60)
        files.append(save_figure(figure, tmp_path / f"{name}.{suffix}").read_bytes())
    a, b = files
    assert zlib.crc32(a) == zlib.crc32(b)
    assert not re.search(rb"20\d\d-\d\d-\d\d|/CreationDate|matplotlib\.org", a)
    with pytest.raises(FileExistsError):
        save_figure(figure, tmp_path / f"a.{suffix}")
    with pytest.raises(ValueError, match="'a.gif' is no picture"):
        save_figure(figure, tmp_path / "a.gif")


def test_a_picture_says_what_was_hardly_learnt() -> None:
    """Broken by a picture of a statement with one training record that looks like any other."""
    ecg = _ecg(1.0)
    rare = Ecg(
        ecg.signal, statements=("2AVB",), provenance={"synthetic": True, "training_records": {"2AVB": 1}}
    )
    words = {text.get_text() for text in paper(rare).axes[0].texts}
    assert "2AVB: 1 training record: not learnt" in words
    assert not any("learnt" in text.get_text() for text in paper(ecg).axes[0].texts)


def _brackets(figure: Figure) -> list[np.ndarray]:
    """The brackets of a page in mm, from left to right and from top to bottom."""
    lines = [line for line in figure.axes[0].lines if str(line.get_gid()).startswith("change-")]
    found = [_mm(figure, line) for line in lines]
    return sorted(found, key=lambda points: (round(points[-1, 0], 3), -points[-1, 1]))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("speed", SPEEDS)
def test_brackets_stand_where_statements_change(layout: str, speed: int) -> None:
    """Fails when a bracket is at another time than was asked for, is missing in a row or names something else."""
    seconds = (4.0, 2.5, 6.5)
    strip = model(patient=True).generate_ecgs(
        ["NORM", "AFIB+LVH", "PACE"], duration=seconds, exact=True, steps=2, seed=1
    )[0]
    figure = paper(strip, Drawing(layout, speed))
    rows = {"3x4": 4, "6x2": 7, "12x1": 12}[layout]
    begin = 13.5 + 10 + 0.2 * speed
    found = _brackets(figure)
    asked = [begin + speed * at for at in (4.0, 6.5) for _ in range(rows)]
    assert [points[-1, 0] for points in found] == pytest.approx(asked, abs=0.01)
    texts = {text.get_text(): text for text in figure.axes[0].texts}
    assert "Asked for NORM,  from 0:04 AFIB  LVH,  from 0:06.5 PACE" in texts
    for name, at in (("AFIB  LVH", 4.0), ("PACE", 6.5)):
        size = texts[name].get_fontsize() / 72 * 25.4
        assert size >= 4 and texts[name].get_position()[0] == pytest.approx(begin + speed * at + 1.6)
    assert not [name for name in texts if "NORM" in name and "from" not in name]


def _of_parts(signal: np.ndarray, parts: list[tuple[int, tuple[str, ...]]]) -> Ecg:
    """A record whose statements change; parts: the first sample and the statements of each."""
    told = {"parts": ["+".join(statements) for _, statements in parts]}
    return Ecg(signal, statements=("NORM",), provenance=told, annotations=notes_of(parts))


def _changing(seed: int) -> Ecg:
    """A record of beats up to 3 mV high, with notes of long names, near each other, near names and near its end."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 0.03, (12, 1000))
    signal[:, rng.integers(20, 60) :: 70] += rng.uniform(-3, 3, (12, 1))
    at = [0, *sorted(rng.choice(np.arange(1, 1000), rng.integers(1, 7), replace=False).tolist()), 995]
    names = ["NORM", "LAO/LAE", "Atrial_fibrillation_with_rapid_response", "ÄÖ-Wörter", "PRC(S)", "$x_2$"]
    parts = [(int(k), tuple(rng.choice(names, rng.integers(1, 6)))) for k in at]
    return _of_parts(signal, parts)


@pytest.mark.parametrize("seed", range(12))
def test_statements_in_brackets_cover_nothing(seed: int) -> None:
    """Fails when statements in a bracket lie over other words, another bracket, a trace or the edge of the paper."""
    drawing = Drawing(LAYOUTS[seed % 3], SPEEDS[seed % 2], GAINS[seed % 3])
    ecg = _changing(seed)
    for figure in (paper(ecg, drawing), sheet([ecg, _ecg()])):
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts]
        named = [(text, box) for text, box in boxes if text and box.height]
        inside = [
            text.get_text()
            for text in figure.axes[0].texts
            if text.get_color() == "#b3202e" and not text.get_text().startswith("synthetic")
        ]
        assert len(inside) >= len(ecg.annotations) - 1
        right = 13.5 if len(figure.axes[0].lines) and "calibration-0" in _lines(figure) else 10.0
        for i, (text, box) in enumerate(named):
            if text not in inside:
                continue
            mm = np.array([box.x0, box.x1, box.y0, box.y1]) / figure.dpi * 25.4
            assert mm[1] < figure.get_size_inches()[0] * 25.4 - right, text
            for other, its in [*named[:i], *named[i + 1 :]]:
                assert not box.overlaps(its), (text, other)
            for line in figure.axes[0].lines:
                if line.get_gid() is None:
                    continue
                ends = _mm(figure, line)
                along = np.arange(0, len(ends) - 1, 0.02)
                x, y = (np.interp(along, np.arange(len(ends)), ends[:, axis]) for axis in (0, 1))
                hit = (x > mm[0]) & (x < mm[1]) & (y > mm[2]) & (y < mm[3])
                assert not hit.any(), (text, line.get_gid())


def test_other_notes_stay_as_they_are() -> None:
    """Fails when a note that is not of statements is drawn as a change."""
    for marks in ([(300, "TS")], [(0, "pacemaker off"), (300, "TS")]):
        notes = tuple(Annotation(sample, '"', note=note) for sample, note in marks)
        ecg = Ecg(_ecg().signal, statements=("NORM",), annotations=notes)
        figure = paper(ecg)
        assert parts_of(ecg) == [(("NORM",), 0.0, ecg.duration_s)]
        assert _brackets(figure) == [] and {note for _, note in marks} <= set(_texts(figure))


@pytest.mark.parametrize("layout", ["3x4", "6x2"])
def test_brackets_do_not_cross_the_names_of_leads(layout: str) -> None:
    """Fails when the name of a lead stays where a bracket goes through it."""
    ecg = _of_parts(np.zeros((12, 1000)), [(0, ("NORM",)), (530, ("AFIB",))])
    figure = paper(ecg, Drawing(layout))
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    names = [text for text in figure.axes[0].texts if text.get_text() in RHYTHMS]
    boxes = [text.get_window_extent(renderer).get_points() / figure.dpi * 25.4 for text in names]
    assert len(boxes) == 13
    for points in _brackets(figure):
        assert not [box for box in boxes if box[0, 0] - 0.5 < points[-1, 0] < box[1, 0] + 0.5]
