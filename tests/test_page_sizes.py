"""The page on screens of usual sizes, in headless Chromium: what is visible at once, and whether it can be read."""

import json
from pathlib import Path

import pytest

from tests.page import CHROMIUM, wait_until_done
from tests.test_page import PHONE, browser, from_service, open_page, service  # noqa: F401  (fixtures)

pytest.importorskip("playwright.sync_api")
pytest.importorskip("fastapi")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
]

DESKS = {(1366, 768), (1440, 900), (1920, 1080), (3840, 2160)}
SIZES = [*sorted(DESKS), (390, 844)]
LEAST_PX = {3840: 17}  # of text, by the width of the window; others have LEAST
LEAST = 11
RECORD = "#ecg=AFIB,LVH&quality=draft&seed=1"
TWO = "#ecg=CLBBB&quality=draft&seed=2&vs.ecg=NORM"
STRIP = "#ecg=SR&quality=draft&seed=1&duration=60"
CHANGED = "#ecg=NORM@0-30,AFIB,LVH@30-60&exact=1&quality=draft&seed=1"
MANY = (  # of changes
    "#ecg=NORM,SR@0-10,AFIB,LVH,CLBBB@10-20,SBRAD,IMI,LAFB@20-30,STACH,LVH,ISC_@30-45,PACE@45-60&quality=draft&seed=1"
)
CROWDED = "#ecg=NORM@0-10,AFIB,LVH@10-20,PACE@20-30&exact=1&quality=draft&seed=1&vs.ecg=CLBBB,LVH,AFIB,IMI"

# Elements that reach out of the window, but for those that their own scroller clips or that only screen readers see.
OUTSIDE = """() => [...document.querySelectorAll('body *')].filter((e) => {
  if (!e.checkVisibility({ visibilityProperty: true }) || e.closest('.paper, .strips, .skip, svg')) return false;
  const box = e.getBoundingClientRect();
  return box.width > 1 && box.height > 1 && (box.left < -1 || box.right > innerWidth + 1);
}).map((e) => e.outerHTML.slice(0, 80))"""

# Pairs of controls that cover each other. Of a radio button, its label is the control.
OVERLAPS = """() => {
  const parts = [...document.querySelectorAll('button, select, input, summary, .segments label, .switch, a')]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.skip, .paper') && e.type !== 'radio')
    .map((e) => [e, e.getBoundingClientRect()])
    .filter(([, box]) => box.width > 1 && box.height > 1);
  const before = (a, b) => a.right <= b.left + 1.5 || a.bottom <= b.top + 1.5;
  const apart = (a, b) => before(a, b) || before(b, a);
  const found = [];
  parts.forEach(([a, boxA], i) => parts.slice(i + 1).forEach(([b, boxB]) => {
    if (!a.contains(b) && !b.contains(a) && !apart(boxA, boxB)) found.push([a, b].map((e) => e.outerHTML.slice(0, 60)));
  }));
  return found;
}"""

# The sizes of all visible text in pixels, with the text.
TEXTS = """() => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode()); ) {
    const e = node.parentElement, box = e.getBoundingClientRect();
    if (!node.textContent.trim() || !e.checkVisibility({ visibilityProperty: true }) || box.width <= 1) continue;
    found.push([parseFloat(getComputedStyle(e).fontSize), node.textContent.trim().slice(0, 30)]);
  }
  return found;
}"""

PAPER = """() => {
  const [frame, paper, extent] = ['.frame', '.paper', '.extent'].map((part) => document.querySelector(part));
  const box = frame.getBoundingClientRect(), film = document.querySelector('.film').getBoundingClientRect();
  return { top: box.top + scrollY, bottom: box.bottom + scrollY, film: film.bottom + scrollY, width: extent.clientWidth,
           area: extent.clientWidth * paper.clientHeight / innerWidth / innerHeight,
           hidden: [paper.scrollWidth - paper.clientWidth, paper.scrollHeight - paper.clientHeight],
           mm: parseFloat(getComputedStyle(extent).getPropertyValue('--mm')) };
}"""


def device(width, height):
    return PHONE if width == 390 else {"viewport": {"width": width, "height": height}}


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize(
    ("fragment", "records"),
    [("", 0), (RECORD, 1), (TWO, 2), (STRIP, 1), (CHANGED, 1), (MANY, 1)],
    ids=["empty", "one", "two", "strip", "changed", "many"],
)
def test_nothing_overflows_overlaps_or_is_too_small_to_read(open_page, width, height, fragment, records):  # noqa: F811
    """Fails when the page is wider than the window, a control covers another, or text is below a legible size."""
    page = open_page(fragment, **device(width, height))
    if records:
        wait_until_done(page, records)
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(OVERLAPS) == []
    least = LEAST_PX.get(width, LEAST)
    texts = page.evaluate(TEXTS)
    assert len(texts) > 20 and [text for text in texts if text[0] < least] == []


@pytest.mark.parametrize(("width", "height"), sorted(DESKS))
@pytest.mark.parametrize(
    ("record", "layout"),
    [
        (RECORD, "3x4"),
        (RECORD, "6x2"),
        (STRIP, "strip"),
        (STRIP, "3x4"),
        (CHANGED, "strip"),
        (MANY, "strip"),
        (MANY, "3x4"),
    ],
)
def test_all_leads_are_visible_at_once(open_page, width, height, record, layout):  # noqa: F811
    """Fails when one has to scroll to see a lead, a row or how far the record has formed, or room is left unused."""
    page = open_page(f"{record}&layout={layout}", **device(width, height))
    wait_until_done(page)
    seen = page.evaluate(PAPER)
    assert seen["top"] > 0 and seen["bottom"] <= height and seen["film"] <= height + 1, seen
    assert max(seen["hidden"]) <= 1, seen
    assert seen["mm"] >= 1.7
    if (record, layout) == (RECORD, "3x4"):
        assert seen["area"] >= (0.6 if width == 3840 else 0.43), seen  # tall waves take more


# Keeps in `words` what is written on a canvas, and where, in place of writing it.
WORDS = """  let words = [];
  for (const draw of ['strokeText', 'fillText'])
    CanvasRenderingContext2D.prototype[draw] = function (text, x, y) {
      const { width, actualBoundingBoxAscent: high } = this.measureText(text);
      const { a: dots, e, f } = this.getTransform();
      const box = [x * dots + e, (y - high) * dots + f, width * dots, high * dots].map(Math.round);
      if (draw === 'fillText' && text) words.push([text, ...box]);
    };
"""

# Draws records on a paper of its own without their words, and tells which words lie on a trace or in what is measured.
CROSSED = (
    """async ([signals, drawing, zoom, changes, twice]) => {
  const { Paper, WHOLE_WIDTH } = await import('./js/paper.js');
  const sheets = document.getElementById('sheets');
  sheets.replaceChildren(document.getElementById('sheet').content.cloneNode(true));
  sheets.querySelector('.empty').hidden = true;
  const value = { heart_rate_bpm: '188', axis_deg: '−179°' };
  for (const dd of sheets.querySelectorAll('dd')) {
    const unit = dd.dataset.unit === '°' ? '' : `<small> ${dd.dataset.unit}</small>`;
    dd.innerHTML = (value[dd.dataset.measure] ?? '444') + unit;
  }
  if (twice) sheets.querySelector('.facts').append(sheets.querySelector('.measured').cloneNode(true));
"""
    + WORDS
    + """  const paper = new Paper(sheets.querySelector('.paper'));
  const facts = sheets.querySelector('.facts');
  const seconds = signals[0][0].length / 100;
  if (seconds > 10) sheets.querySelector('.of').textContent = '0:20–0:30';
  paper.setDrawing({ speed: 25, gain: 10, rhythm: 'II', at: 0, ...drawing });
  if (zoom === 'fit') paper.zoomTo(WHOLE_WIDTH);
  const [crossed, lines] = [[], new Set()];
  let seen = 0;
  for (const [k, signal] of signals.entries()) {
    paper.show([{ signal, colour: 'ink', alpha: 1 }], { roomFor: [signal], seconds, changes });
    await new Promise(requestAnimationFrame);
    words = [];
    paper.repaint();
    await new Promise(requestAnimationFrame);
    const { canvas } = paper.layers[1];
    const [box, { dots }] = [facts.getBoundingClientRect(), paper];
    const at = canvas.getBoundingClientRect();
    const measured = [box.left - at.left, box.top - at.top, box.width, box.height];
    const said = ['measured', ...measured.map((px) => Math.round(px * dots))];
    for (const [text, left, top, width, height] of [said, ...words]) {
      if (left < 0 || left + width > canvas.width || top < 0 || top + height > canvas.height) continue;
      seen++;
      const { data } = paper.layers[1].getImageData(left, top, width, height);
      if (data.some((ink, i) => i % 4 === 3 && ink > 60)) crossed.push(`${text} of ${k}`);
      const into = text !== 'measured' && top < said[2] + said[4] && left < said[1] + said[3];
      if (into) crossed.push(`${text} of ${k} and what is measured`);
    }
    lines.add(Math.round(facts.offsetHeight / parseFloat(getComputedStyle(facts).lineHeight)));
  }
  const { scrollWidth, clientWidth } = paper.scroller;
  return { crossed, seen, lines: [...lines], hidden: scrollWidth - clientWidth };
}"""
)


@pytest.fixture(scope="module")
def signals(service):  # noqa: F811
    """24 records, with tall and wide beats."""
    asked = [["AFIB", "LVH"], ["CLBBB"], ["PVC"], ["RVH", "STACH"], ["NORM"], ["PACE"]]
    answers = [from_service(service, statements=one, quality="draft", seed=1, count=4) for one in asked]
    return [record["signal"] for answer in answers for record in json.loads(answer)["records"]]


@pytest.mark.parametrize("layout", ["3x4", "6x2", "12x1", "strip"])
@pytest.mark.parametrize(
    ("width", "height", "zoom"), [(390, 844, "usual"), (390, 844, "fit"), (1366, 768, "usual")]
)
def test_words_are_clear_of_the_traces(open_page, signals, width, height, zoom, layout):  # noqa: F811
    """Fails when a trace goes through a lead's name, a time, a change or a measurement, or these take two lines."""
    page = open_page(**device(width, height))
    shown = signals
    if layout == "strip":  # of 40 s
        leads = [zip(*signals[k : k + 4], strict=True) for k in range(0, len(signals), 4)]
        shown = [[sum(parts, []) for parts in record] for record in leads]
    changes = [{"at": 3, "words": "AFIB LVH"}, {"at": 8, "words": "PACE"}]
    for marks, twice in (([], False), (changes, True)):  # measurements of two that are overlaid
        found = page.evaluate(CROSSED, [shown, {"layout": layout}, zoom, marks, twice])
        assert found["crossed"] == []
        assert (found["lines"] == [1] or twice) and (zoom == "usual" or found["hidden"] <= 1)
        if zoom == "fit" and width == 390:
            words = {"3x4": 14, "6x2": 14, "12x1": 13, "strip": 5}[layout] + len(marks)
            assert found["seen"] >= words * len(shown)


# Scrolls a record sideways, and tells for each place which names are on the paper, which of them have ink of a trace or
# of a pulse behind them, and which leads are beside the left edge.
SCROLLED = (
    """async ([signal, drawing]) => {
  const { Paper } = await import('./js/paper.js');
  const sheets = document.getElementById('sheets');
  sheets.replaceChildren(document.getElementById('sheet').content.cloneNode(true));
  sheets.querySelector('.empty').hidden = true;
"""
    + WORDS
    + """  const paper = new Paper(sheets.querySelector('.paper'));
  const changes = [{ at: 3, words: 'AFIB LVH' }];
  paper.setDrawing({ speed: 25, gain: 10, rhythm: 'II', at: 0, ...drawing });
  paper.show([{ signal, colour: 'ink', alpha: 1 }], { roomFor: [signal], seconds: signal[0].length / 100, changes });
  paper.zoomTo(Math.max(3.1, 1.5 * paper.fit));
  const frame = () => new Promise(requestAnimationFrame);
  const found = [];
  for (let left = 0; left < paper.scroller.scrollWidth - paper.scroller.clientWidth; left += 23) {
    paper.scroller.scrollLeft = left;
    await frame(), await frame();
    words = [];
    paper.repaint();
    await frame(), await frame();
    const inked = words.filter(([text, x, y, width, height]) => {
      if (text.includes(' ') || y < 0 || y + height > paper.layers[1].canvas.height) return false;
      const data = (k) => paper.layers[k].getImageData(x, y, width, height).data;
      const plain = (grid) => grid.every((value, i) => value === grid[i % 4]); // nothing but paper
      return data(1).some((ink, i) => i % 4 === 3 && ink > 60) || (x <= 8 * paper.dots && !plain(data(0)));
    });
    const names = words.filter(([text]) => !text.includes(' '));
    const edge = names.filter(([, x]) => x >= 0 && x <= 8 * paper.dots).map(([text]) => text);
    const beside = paper.geometry.rows.map(({ segments }) => {
      const mm = (left + 60) / paper.scale; // more than the margin takes
      return segments.filter(({ x }) => x <= mm).at(-1)?.name ?? segments[0].name;
    });
    found.push({ left, edge, beside, inked: inked.map(([text]) => text), names: names.map(([text, x]) => [text, x]) });
  }
  return found;
}"""
)


@pytest.mark.parametrize("layout", ["3x4", "6x2", "12x1", "strip"])
@pytest.mark.parametrize("width", [390, 1366])
def test_names_that_stay_in_sight_have_a_margin(open_page, signals, width, layout):  # noqa: F811
    """Fails when a name that stays in the window meets a trace, is missing, is there twice, or is of another lead."""
    page = open_page(**device(width, 844 if width == 390 else 768))
    signal = signals[0]
    if layout == "strip":
        signal = [lead * 3 for lead in signal]
    found = page.evaluate(SCROLLED, [signal, {"layout": layout}])
    rows, with_margin = len(found[0]["beside"]), [one for one in found if one["edge"]]
    assert len(with_margin) >= 5 and not found[0]["edge"]
    for one in found:
        assert one["inked"] == [], one
        assert all(x >= 0 for _, x in one["names"]), one
    for one in with_margin:
        assert len(one["edge"]) == rows, one
        apart = [pair for pair in zip(one["edge"], one["beside"], strict=True) if pair[0] != pair[1]]
        assert len(apart) == 0 or len(apart) >= rows - 1, (
            one
        )  # all rows change at once, but for a lead in full length


@pytest.mark.parametrize(("width", "height"), sorted(DESKS))
@pytest.mark.parametrize("arrange", ["beside", "over"])
def test_sliders_of_two_stay_in_the_window(open_page, width, height, arrange):  # noqa: F811
    """Fails when the captions of two ECGs push the first slider out of the window, or take many lines."""
    page = open_page(CROWDED, **device(width, height))
    wait_until_done(page, 2)
    page.locator(f"#arrange label:has([value={arrange}])").click()
    page.wait_for_timeout(300)
    seen = page.evaluate(PAPER)
    assert seen["film"] <= height + 1, seen
    lines = """() => [...document.querySelectorAll('.sheet h2')]
        .map((h2) => h2.offsetHeight / parseFloat(getComputedStyle(h2).lineHeight))"""
    assert max(page.evaluate(lines)) < 3.6


def test_the_paper_follows_its_caption(open_page):  # noqa: F811
    """Fails when the words of a caption stay away although there is room again, or the paper does not grow back."""
    page = open_page(RECORD, viewport={"width": 1366, "height": 768})
    wait_until_done(page)
    before = page.evaluate(PAPER)
    assert "left ventricular hypertrophy" in page.inner_text(".names")
    page.goto(page.url.split("#")[0] + MANY)
    wait_until_done(page)
    assert "hypertrophy" not in page.inner_text(".names")
    assert page.get_attribute(".names .asked:has-text('LVH')", "title") == "left ventricular hypertrophy"
    page.set_viewport_size({"width": 3000, "height": 768})
    page.wait_for_function("() => document.querySelector('.names').innerText.includes('hypertrophy')")
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(page.url.split("#")[0] + RECORD)
    wait_until_done(page)
    page.wait_for_timeout(300)
    assert page.evaluate(PAPER) == before


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_at_each_size(open_page, width, height, scheme):  # noqa: F811
    """Fails when axe finds a violation at one of the sizes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(RECORD, **device(width, height), color_scheme=scheme)
    wait_until_done(page)
    found = axe.run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def test_a_higher_window_shows_a_larger_paper(open_page):  # noqa: F811
    """Fails when the paper keeps its size while the window grows, or is cut off when it becomes lower."""
    page = open_page(RECORD, viewport={"width": 1366, "height": 600})
    wait_until_done(page)
    low = page.evaluate(PAPER)
    assert low["bottom"] <= 600 and low["hidden"][1] <= 1
    page.set_viewport_size({"width": 1366, "height": 768})
    page.wait_for_function("was => document.querySelector('.extent').clientWidth > was", arg=low["width"])
    assert page.evaluate(PAPER)["bottom"] <= 768
