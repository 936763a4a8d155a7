"""Strips on the page, in headless Chromium: made, shown in rows and in stretches, measured, taken away and printed."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sssd import Ecg
from sssd.measurements import intervals, measurements
from tests.page import CHROMIUM, Service, downloaded, wait_until_done
from tests.test_heart_rate import model
from tests.test_page import PHONE, PIXELS, browser, from_service, made_by, open_page, service  # noqa: F401

pytest.importorskip("playwright.sync_api")
pytest.importorskip("fastapi")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
]
CHANGED = "#ecg=NORM@0-12.5,AFIB,LVH@12.5-22,PACE@22-25&quality=draft&seed=1"
PARTS = ["NORM@0-12.5", "AFIB+LVH@12.5-22", "PACE@22-25"]
STRIP = "#ecg=NORM&quality=draft&seed=1&duration=25"
ASKED = {"statements": ["NORM"], "quality": "draft", "seed": 1, "duration": 25}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A service whose model makes minutes within seconds."""
    folder = tmp_path_factory.mktemp("quick")
    quick = Service("--checkpoint", str(model(patient=True).save_checkpoint(folder / "quick.safetensors")))
    yield quick
    quick.stop()


@pytest.fixture(scope="module")
def signal(service):  # noqa: F811
    """What the service makes of the same request (12, 2500) in mV, and its statements."""
    (record,) = json.loads(from_service(service, **ASKED))["records"]
    return np.array(record["signal"]), record["statements"]


def test_the_length_by_keyboard(open_page):  # noqa: F811
    """Fails when a length cannot be chosen by keyboard, is not asked for, or the strip does not form step by step."""
    page = open_page()
    page.focus("#search-a")
    page.keyboard.type("NORM")
    page.keyboard.press("Enter")
    page.locator("#first .quality label", has_text="Draft").click()
    page.locator("[name=length-a]:checked").focus()
    page.keyboard.press("ArrowRight")
    assert page.input_value("#duration-a") == "30"
    page.focus("#duration-a")
    page.keyboard.press("Control+a")
    page.keyboard.type("25")
    assert page.locator("[name=length-a]:checked").count() == 0
    page.evaluate(
        """() => {
          window.seen = new Set();
          new MutationObserver(() => seen.add(document.querySelector('.film output').textContent))
            .observe(document.querySelector('.film output'), { childList: true });
        }"""
    )
    page.keyboard.press("Enter")
    wait_until_done(page)
    assert "&duration=25&" in page.url and "--duration 25 " in page.inner_text("#command")
    assert {f"step {i} of 8" for i in range(1, 9)} <= set(page.evaluate("[...seen]"))
    assert page.locator("#layout :checked").get_attribute("value") == "strip"
    assert page.is_disabled("#like-this")
    page.locator("#first .length label", has_text="10 s").click()
    page.click("#generate")
    wait_until_done(page)
    assert "duration" not in page.url and page.locator("#stretch").is_hidden()
    assert page.locator("#layout :checked").get_attribute("value") == "3x4"


def test_rows_and_stretches_hold_every_sample_once(open_page):  # noqa: F811
    """Fails when a sample of a strip is in no row or in two, or 12 leads show another stretch than is chosen."""
    page = open_page()
    rows, leads, times = page.evaluate(
        """async () => {
          const { clock, layOut, stretchOf } = await import('./js/layout.js');
          const strip = layOut({ layout: 'strip', rhythm: 'V2', at: 20 }, { seconds: 25 });
          const leads = layOut({ layout: '3x4', at: 20 }, { seconds: 25 });
          const ends = ({ rows }) => rows.map(({ segments }) => segments.map((s) => [s.lead, s.first, s.last, s.x]));
          return [[ends(strip), strip.chosen], ends(leads), [stretchOf(20, 25), [0, 9.5, 75, 600].map(clock)]];
        }"""
    )
    assert rows == [[[["V2", 1000 * k, min(1000 * (k + 1), 2500), 15]] for k in range(3)], 2]
    assert times == [[15, 25], ["0:00", "0:09.5", "1:15", "10:00"]]
    assert [[one[0] for one in row] for row in leads][0] == ["I", "aVR", "V1", "V4"]
    assert [one[1:] for one in leads[0]] == [
        [1500 + 250 * k, 1750 + 250 * k, 15 + 62.5 * k] for k in range(4)
    ]
    assert leads[-1] == [["II", 1500, 2500, 15]]


def test_a_stretch_is_chosen_and_measured(open_page, signal):  # noqa: F811
    """Two routes, the page and the library: fails when what is said of a stretch is measured elsewhere in the strip."""
    page = open_page(STRIP)
    wait_until_done(page)
    mv, statements = signal
    whole = page.evaluate(PIXELS)

    def told(first):
        ecg = Ecg(mv[:, first : first + 1000], 100.0, statements=tuple(statements))
        found = intervals(measurements(ecg))
        return {"Rate": found["heart_rate_bpm"], "QRS": found["qrs_ms"], "QT": found["qt_ms"]}

    def said():
        page.wait_for_function(
            "() => /\\d/.test(document.querySelector('[data-measure=heart_rate_bpm]').textContent)"
        )
        parts = page.evaluate(
            """() => [...document.querySelectorAll('.sheet:first-child .measured div')]
                 .map((one) => [one.children[0].textContent, parseFloat(one.children[1].textContent)])"""
        )
        return {name: value for name, value in parts if name in ("Rate", "QRS", "QT")}

    assert said() == told(0)
    page.focus("#stretch input")
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelector('.of').textContent === '0:15–0:25'")
    assert page.get_attribute("#stretch input", "aria-valuetext") == "0:15 to 0:25 of 0:25"
    assert page.text_content("[data-measure=heart_rate_bpm]") == "–"  # what was measured elsewhere is gone
    assert said() == told(1500)
    assert "&at=20" in page.url
    page.focus(".paper")
    page.keyboard.press("Enter")  # 12 leads of the row
    page.wait_for_function("was => document.querySelector('canvas.traces').toDataURL() !== was", arg=whole)
    assert "&layout=3x4&at=20" in page.url and "0:15–0:25 of 0:25" in page.inner_text(".scale")
    assert said() == told(1500)

    again = open_page(page.url[page.url.index("#") :])
    wait_until_done(again)
    page.wait_for_timeout(200)
    assert again.evaluate(PIXELS) == page.evaluate(PIXELS)
    again.locator("#layout label", has_text="Strip").click()
    again.wait_for_timeout(200)
    geometry = again.locator(".paper").first.bounding_box()
    mm = again.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('.extent')).getPropertyValue('--mm'))"
    )
    again.mouse.click(geometry["x"] + geometry["width"] / 2, geometry["y"] + (10 + 15 + 22) * mm)
    again.wait_for_function("() => location.hash.includes('&layout=3x4&at=10&')")


def test_calipers_on_a_strip(open_page):  # noqa: F811
    """Fails when the time between two rows is not counted, or lines run through rows of other times."""
    page = open_page(STRIP)
    wait_until_done(page)
    page.click("#calipers")
    ms = int(page.text_content("#reading").split()[0])
    assert 300 <= ms <= 1500
    low = page.evaluate("document.querySelector('.calipers path').getAttribute('d').match(/V([\\d.]+)/)[1]")
    assert float(low) < page.locator(".extent").first.bounding_box()["height"] / 2
    page.locator(".handle").nth(1).focus()
    for _ in range(8):  # 0.5 mV each time, from wherever the beat is
        if int(page.text_content("#reading").split()[0]) == ms:
            page.keyboard.press("Shift+ArrowDown")
    assert int(page.text_content("#reading").split()[0]) == ms + 10_000
    assert page.locator(".handle").nth(1).get_attribute("aria-label").split(": ")[1].startswith("1")


def test_downloads_of_a_strip(open_page, signal, tmp_path):  # noqa: F811
    """Fails when a file, or the command beside the link, holds another strip than the page shows."""
    wfdb = pytest.importorskip("wfdb")
    page = open_page(STRIP)
    wait_until_done(page)

    def take(form):
        name, content = downloaded(page, form)
        assert name.startswith("NORM_25s_draft_seed1.")
        return content

    zipfile.ZipFile(io.BytesIO(take("WFDB"))).extractall(tmp_path)
    (header,) = tmp_path.rglob("*.hea")
    np.testing.assert_allclose(wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T, signal[0], atol=0.0016)
    (record,) = json.loads(take("JSON"))["records"]
    np.testing.assert_allclose(record["signal"], signal[0], atol=0.0016)
    assert record["measured"] is None
    svg = take("SVG").decode()
    assert len(re.findall(r'<g id="V5-\d+">', svg)) == 1  # every lead in full length
    np.testing.assert_allclose(made_by(page.inner_text("#command"), tmp_path / "ecg"), signal[0], atol=0.0021)


def test_a_strip_is_printed_on_pages_of_rows(open_page):  # noqa: F811
    """Fails when rows are missing in print, or a stretch is printed under another time."""
    page = open_page(STRIP)
    wait_until_done(page)

    def pages():
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        return [svg.locator("text").all_text_contents() for svg in page.locator("#print svg").all()]

    (texts,) = pages()
    assert {"0:00", "0:10", "0:20"} <= set(texts) and "synthetic, not for diagnosis" in texts
    assert any("lead II, 0:00 to 0:25 of 0:25" in text for text in texts)
    page.locator("#layout label", has_text="3 × 4").click()
    (texts,) = pages()
    assert "aVR" in texts and any("0:00–0:10 of 0:25" in text for text in texts)
    names = page.evaluate(
        """async () => {
          const { fill } = await import('./js/print.js');
          const { USUAL } = await import('./js/layout.js');
          const signal = Array(12).fill(new Float32Array(15000));
          const words = { asked: '', drawn: '', facts: '', rare: '', how: '' };
          const parts = [[0, 7], [7, 14], [14, 15]];
          const root = document.createElement('div');
          fill(root, parts.map((part) => ({ drawing: { ...USUAL, layout: 'strip' }, seconds: 150, part, ...words,
            traces: [{ signal, colour: 'ink' }] })));
          return [...root.children].map((svg) => [...svg.querySelectorAll('text')].map((t) => t.textContent)
            .filter((text) => /^\\d+:\\d\\d$/.test(text)).length);
        }"""
    )
    assert names == [7, 7, 1]


def test_what_a_strip_cannot_have(open_page, quick):  # noqa: F811
    """Fails when a wrong length is sent, or the page is silent on what the service or a format does not take."""
    page = open_page("#ecg=NORM&steps=2&seed=1&duration=150", url=quick.url)
    wait_until_done(page)
    assert "in one piece" in page.inner_text(".plain") and "rules" in page.inner_text(".plain")
    assert page.locator(".checks li").count() == 0
    for form in ("DICOM", "PNG", "SVG", "PDF"):
        button = page.get_by_role("group", name="Download ECG A").get_by_role("button", name=form, exact=True)
        assert button.is_disabled() and "at most" in button.get_attribute("title")
    for wrong in ("2", "601"):
        page.fill("#duration-a", wrong)
        page.click("#generate")
        assert "2.5 to 600" in page.inner_text("#duration-problem-a")
    page.fill("#duration-a", "600")
    page.click("#generate")
    page.wait_for_selector("#error:not([hidden])")
    assert "75 windows" in page.inner_text("#error")
    page.goto(page.url.split("#")[0] + "#ecg=NORM&steps=2&seed=1&layout=strip")
    page.wait_for_function("() => /layout is/.test(document.getElementById('notice').textContent)")


def test_stop_a_strip(open_page, quick):  # noqa: F811
    """Fails when Escape does not end a strip, or a record of 10 s cannot be made after it."""
    page = open_page("#ecg=NORM&sampler=ddpm&seed=1&duration=300", url=quick.url)
    page.wait_for_function("() => document.querySelector('.film output').textContent.startsWith('step')")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.getElementById('notice').textContent === 'Stopped.'")
    page.goto(page.url.split("#")[0] + "#ecg=NORM&steps=3&seed=1")
    wait_until_done(page)
    assert page.locator("#stretch").is_hidden() and page.input_value("#duration-a") == "10"


def test_two_strips_side_by_side(open_page, quick):  # noqa: F811
    """Fails when two strips have other lengths or show other stretches."""
    page = open_page("#ecg=NORM&steps=2&seed=1&duration=40&vs.ecg=AFIB&layout=6x2&at=30", url=quick.url)
    wait_until_done(page, 2)
    assert page.locator(".of").all_inner_texts() == ["0:30–0:40"] * 2
    assert page.locator(".how").all_inner_texts() == ["DDIM · 2 steps · 40\u00a0s · seed 1"] * 2
    assert page.locator("#second .length").is_hidden() and "vs.duration" not in page.url
    page.locator("#first .length label", has_text="30 s").click()
    page.click("#generate")
    wait_until_done(page, 2)
    assert page.locator(".how").all_inner_texts() == ["DDIM · 2 steps · 30\u00a0s · seed 1"] * 2


def test_a_long_strip_is_scrolled_to_its_stretch(open_page, quick):  # noqa: F811
    """Fails when the row that is chosen, or what was measured in it, is out of sight, or the page is too high."""
    page = open_page("#ecg=NORM&steps=2&seed=1&duration=303&at=200&gain=5", url=quick.url)
    wait_until_done(page)
    assert page.locator(".frame").first.bounding_box()["height"] < page.viewport_size["height"] - 200

    def in_sight(row):
        """Rows are at least 20 mm apart."""
        return page.evaluate(
            """async (row) => {
              const { scrollTop, clientHeight } = document.querySelector('.paper');
              const extent = document.querySelector('.extent');
              const mm = parseFloat(getComputedStyle(extent).getPropertyValue('--mm'));
              const y = (25 + 20 * row) * mm;
              return extent.clientHeight > 2 * clientHeight && y > scrollTop && y < scrollTop + clientHeight;
            }""",
            row,
        )

    assert in_sight(20)
    paper, told = (page.locator(one).first.bounding_box() for one in (".paper", ".of"))
    assert paper["y"] <= told["y"] < paper["y"] + 20
    page.focus("#stretch input")
    page.keyboard.press("Home")
    assert in_sight(0)
    page.click(".made summary")
    assert "Length, s\n303" in page.locator(".made dl").first.inner_text()


# --- statements that change on the way ----------------------------------------------------------------------


def test_a_change_by_keyboard(open_page):  # noqa: F811
    """Fails when a change cannot be added or removed by keyboard, is not sent, or is offered for a record of 10 s."""
    page = open_page()
    sent = []
    page.on("request", lambda asked: sent.append(asked.post_data) if "/stream" in asked.url else None)
    page.focus("#search-a")
    page.keyboard.type("NORM")
    page.keyboard.press("Enter")
    page.locator("#first .quality label", has_text="Draft").click()
    assert page.is_hidden("#first .changes")
    page.locator("#first .length label", has_text="30 s").click()
    page.focus("#duration-a")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Change the statements on the way"
    page.keyboard.press("Enter")
    page.keyboard.type("a-fib")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")  # the chip
    page.keyboard.press("Shift+Tab")  # remove the change
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.value") == "15"  # half-way
    page.keyboard.press("Control+a")
    page.keyboard.type("12.5")
    page.keyboard.press("Enter")
    wait_until_done(page)
    asked = json.loads(sent.pop())
    assert asked["statements"] == ["NORM@0-12.5", "AFIB@12.5-30"] and "duration" not in asked
    assert not asked["measure"] and page.is_disabled("#like-this")
    assert "#ecg=NORM@0-12.5,AFIB@12.5-30&quality=draft&" in page.url and "duration" not in page.url
    assert "--label 'NORM@0-12.5' --label 'AFIB@12.5-30' --quality" in page.inner_text("#command")
    assert page.locator(".then").first.inner_text() == "then, from 0:12.5"
    page.locator("#first .length label", has_text="10 s").click()
    assert page.is_hidden("#first .changes")
    page.click("#generate")
    wait_until_done(page)
    assert json.loads(sent.pop())["statements"] == ["NORM"] and "#ecg=NORM&" in page.url
    page.locator("#first .length label", has_text="30 s").click()
    assert page.locator("#first .part .chip b").all_inner_texts() == ["AFIB"]  # it is still there
    page.locator("#first .part .from button").press("Enter")
    assert page.locator("#first .part").count() == 0
    assert page.evaluate("document.activeElement.className") == "add"
    page.click("#generate")
    wait_until_done(page)
    asked = json.loads(sent.pop())
    assert (asked["statements"], asked["duration"]) == (["NORM"], 30)


def test_a_link_with_changes(open_page, service, tmp_path):  # noqa: F811
    """Fails when link, caption, files or command name or hold another strip than the service makes of the request."""
    page = open_page(CHANGED)
    wait_until_done(page)
    (record,) = json.loads(from_service(service, statements=PARTS, quality="draft", seed=1))["records"]
    assert page.locator("#first .part .from input").evaluate_all("all => all.map((one) => one.value)") == [
        "12.5",
        "22",
    ]
    assert page.locator(".part .chip b").all_inner_texts() == ["AFIB", "LVH", "PACE"]
    assert CHANGED in page.url and page.input_value("#duration-a") == "25"
    asked = ["NORM", "AFIB", "LVH", "PACE"]
    assert page.locator(".names .asked b").all_inner_texts() == asked
    assert page.locator(".then").all_inner_texts() == ["then, from 0:12.5", "then, from 0:22"]
    drawn = [
        sorted(set(names.split("+")) - set(part.split("@")[0].split("+")))
        for names, part in zip(record["parts"], PARTS, strict=True)
    ]
    assert page.locator(".names .also b").all_inner_texts() == sum(drawn, [])
    assert any(drawn)
    said = page.inner_text(".plain")
    assert "From 0:12.5 on: The atria quiver" in said and "fades over within 1 s" in said
    label = page.get_attribute("canvas.traces", "aria-label")
    assert ", from 0:12.5 AFIB" in label and ", from 0:22 " in label
    page.click(".made summary")
    facts = page.locator(".made dl").first.inner_text()
    assert "Length, s\n25\n" in facts and f"{record['parts'][1]} from 0:12.5" in facts
    page.wait_for_function(
        "() => /\\d/.test(document.querySelector('[data-measure=heart_rate_bpm]').textContent)"
    )

    name, content = downloaded(page, "JSON")
    assert name == "NORM_0-12_5_AFIB_LVH_12_5-22_PACE_22-25_draft_seed1.json"
    (held,) = json.loads(content)["records"]
    assert held["parts"] == record["parts"] and held["measured"] is None
    np.testing.assert_allclose(held["signal"], record["signal"], atol=0.0016)
    made = made_by(page.inner_text("#command"), tmp_path / "ecg")
    np.testing.assert_allclose(made, record["signal"], atol=0.0021)
    page.select_option("#gain", "5")  # which writes the link anew
    assert f"{CHANGED}&gain=5" in page.url
    again = open_page(page.url[page.url.index("#") :])
    wait_until_done(again)
    page.click(".made summary")
    page.wait_for_timeout(200)
    assert again.evaluate(PIXELS) == page.evaluate(PIXELS)


# How many pixels of the grid's canvas have about the colour of marks, within a pixel of x mm.
ACCENT = """(x) => {
  const canvas = document.querySelector('canvas.grid');
  const mm = parseFloat(getComputedStyle(document.querySelector('.extent')).getPropertyValue('--mm'));
  const accent = getComputedStyle(canvas).getPropertyValue('--accent').match(/\\d+/g).map(Number);
  const { data } = canvas.getContext('2d').getImageData(Math.floor(x * mm) - 1, 0, 3, canvas.height);
  const near = (i) => accent.every((value, k) => Math.abs(value - data[i + k]) < 30);
  return Array.from({ length: 3 * canvas.height }, (_, i) => 4 * i).filter(near).length;
}"""


def test_changes_are_marked_on_the_paper(open_page):  # noqa: F811
    """Fails when a mark is at another time, covers a trace or a name, or is missing on the screen or in print."""
    page = open_page(CHANGED)
    wait_until_done(page)
    found = page.evaluate(
        """async () => {
          const { layOut, LEADS } = await import('./js/layout.js');
          const signal = Array.from({ length: 12 }, () => new Float32Array(2500));
          signal[LEADS.indexOf('II')][1300] = 2.5; // a spike of 25 mm, 0.5 s after the first change
          const changes = [{ at: 12.5, words: 'AFIB LVH' }, { at: 20, words: 'PACE' }];
          const lay = (drawing, more) => layOut(drawing, { seconds: 25, signals: [signal], changes, ...more });
          const marks = ({ rows }) => rows.map(({ marks }) => marks.map(({ x, words }) => [x, words]));
          const strip = lay({ layout: 'strip' });
          const twelve = lay({ layout: '3x4', at: 10 });
          const late = lay({ layout: 'strip' }, { changes: [{ at: 19.9, words: 'AFIB LVH' }] });
          const [mark] = late.rows[1].marks;
          const under = Math.max(...mark.line.map(([, y]) => y)) < mark.dy;
          return { strip: marks(strip), dy: strip.rows[1].marks[0].dy, twelve: marks(twelve),
                   apart: [twelve.rows[0].marks[0].dy, twelve.rows[0].segments[1].label.dy],
                   none: marks(lay({ layout: '3x4', at: 0 })), part: marks(lay({ layout: 'strip' }, { part: [2, 3] })),
                   late: [mark.right < late.width, mark.left > late.leadIn, under] };
        }"""
    )
    assert found["strip"] == [[], [[15 + 62.5, "AFIB LVH"]], [[15, "PACE"]]]
    assert found["dy"] > 25  # over the spike
    assert found["twelve"] == [[[15 + 62.5, "AFIB LVH"]], *[[[15 + 62.5, ""]]] * 3]
    assert found["apart"][0] >= found["apart"][1] + 4.5  # over the name of the lead that begins there
    assert found["none"] == [[]] * 4 and found["part"] == [[[15, "PACE"]]]
    assert found["late"] == [True] * 3

    assert page.evaluate(ACCENT, 15 + 62.5) > 40 and page.evaluate(ACCENT, 15 + 30) == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    texts = page.locator("#print svg").first.locator("text").all_text_contents()
    assert {"AFIB LVH", "PACE", "Asked for NORM, from 0:12.5 AFIB  LVH, from 0:22 PACE"} <= set(texts)
    page.locator("#layout label", has_text="3 × 4").click()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert "AFIB LVH" not in page.locator("#print svg").first.locator("text").all_text_contents()  # 0:00–0:10


def test_changes_that_cannot_be(open_page, quick):  # noqa: F811
    """Fails when a change at a wrong time or without statements is sent, or a wrong link is silently something else."""
    page = open_page("#ecg=NORM@0-20,AFIB@20-40&steps=2&seed=1", url=quick.url)
    wait_until_done(page)
    at, said = page.locator("#first .part .from input").first, page.locator("#first .part .problem")
    for wrong in ("1", "38", "", "x"):
        at.evaluate("(input, value) => { input.value = value; }", wrong)
        page.click("#generate")
        assert said.inner_text() == (
            "Each part must last at least 2.5 s: this change can come from 2.5 to 37.5 s."
        )
        assert at.get_attribute("aria-invalid") == "true" and page.evaluate(
            "document.activeElement.type === 'number'"
        )
        assert at.get_attribute("aria-describedby") == said.get_attribute("id")
    at.fill("20")
    assert said.inner_text() == "" and at.get_attribute("aria-invalid") is None
    page.click("#first .add")
    page.click("#generate")
    assert said.nth(1).inner_text() == "Choose what the ECG shows from then on, or remove this change."
    assert page.locator("#first [aria-invalid]").count() == 1
    page.locator("#first .part .from button").nth(1).click()
    page.click("#generate")
    wait_until_done(page)
    for wrong in ("NORM@0-20,AFIB@25-40", "NORM@0-1,AFIB@1-40", "NORM@0-5,AFIB@5-9", "NORM@0-20,AFIB"):
        page.goto(page.url.split("#")[0] + f"#ecg={wrong}&steps=2&seed=1")
        page.wait_for_function(f"() => document.getElementById('notice').textContent.includes('{wrong}')")
        assert "NORM is used instead" in page.inner_text("#notice")
        assert page.locator(".names b").first.inner_text() == "NORM"
        assert page.locator("#first .part").count() == 0


def test_two_strips_of_which_one_changes(open_page, quick):  # noqa: F811
    """Fails when the second strip changes too, has another length, or the link does not say what each is."""
    fragment = "#ecg=NORM@0-20,AFIB@20-40&steps=2&seed=1&vs.ecg=NORM"
    page = open_page(fragment.replace("&vs.ecg=NORM", ""), url=quick.url)
    wait_until_done(page)
    page.click("#comparing")
    page.click("#generate")
    wait_until_done(page, 2)
    assert page.locator(".then").all_inner_texts() == ["then, from 0:20"]
    assert page.locator("#second .part").count() == 0 and page.is_hidden("#second .changes")
    assert "&vs.ecg=NORM&" in page.url and "duration" not in page.url
    again = open_page(page.url[page.url.index("#") :], url=quick.url)
    wait_until_done(again, 2)
    assert again.locator(".how").all_inner_texts() == page.locator(".how").all_inner_texts()
    assert "40\u00a0s" in again.locator(".how").nth(1).inner_text()
    other = open_page(fragment.replace("vs.ecg=NORM", "vs.ecg=SR@0-20,LVH@20-40"), url=quick.url)
    other.wait_for_function("() => /only the first/.test(document.getElementById('notice').textContent)")
    assert other.locator(".names").nth(1).locator(".asked").all_inner_texts() == ["SR sinus rhythm"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE])
def test_axe_with_changes(open_page, quick, scheme, device):  # noqa: F811
    """Fails when axe finds any violation, also with a message under a change."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    fragment = "#ecg=NORM@0-20,AFIB@20-40&steps=2&seed=1"
    page = open_page(fragment, url=quick.url, color_scheme=scheme, **device)
    wait_until_done(page)
    page.click("#first .add")
    page.click("#generate")
    assert page.locator("#first .part .problem").nth(1).inner_text()
    found = axe.run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE])
def test_axe_with_a_strip(open_page, quick, scheme, device):  # noqa: F811
    """Fails when axe finds any violation."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page("#ecg=NORM&steps=2&seed=1&duration=150", url=quick.url, color_scheme=scheme, **device)
    wait_until_done(page)
    found = axe.run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()
