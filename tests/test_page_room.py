"""A recording of one's own on the page, in headless Chromium: read, varied, edited, completed, and taken away."""

import base64
import io
import json
import re
import time
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from sssd import Ecg
from sssd.config.names import EDIT_STRENGTH, VARY_STRENGTH
from sssd.detail import plausible
from sssd.leads import to_eight
from sssd.signals.rates import decimated
from tests.inputs.records import beats_mv
from tests.page import CHROMIUM, wait_until_done
from tests.test_page import PHONE, browser, open_page, service  # noqa: F401  (fixtures)

pytest.importorskip("playwright.sync_api")
pytest.importorskip("fastapi")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
]
SAID = "document.querySelector('[data-room=said]').textContent"
HAVE, MADE = "[data-room=have]:not([hidden])", ".sheet:nth-child(2) .take:not([hidden])"
FORMS = ("WFDB", "CSV", "NPZ", "JSON", "EDF", "DICOM", "PNG", "SVG", "PDF")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A recording of 500 Hz in every form, and one of two leads: paths by suffix."""
    folder = tmp_path_factory.mktemp("recordings")
    ecg = Ecg(beats_mv(3, seconds=10.5, fs_hz=500.0), 500.0, statements=("NORM", "SR"))
    for suffix in (".hea", ".npz", ".csv", ".edf", ".dcm"):
        ecg.save(folder / f"r{suffix}")
    made = {suffix: [folder / f"r{suffix}"] for suffix in (".npz", ".csv", ".edf", ".dcm")}
    made[".hea"] = [folder / "r.hea", folder / "r.dat"]
    rows = ["time_s,I,II", *(f"{k / 500:.3f},{a:.4f},{b:.4f}" for k, (a, b) in enumerate(ecg.signal[:2].T))]
    (folder / "two.csv").write_text("\n".join(rows))
    made["two"] = [folder / "two.csv"]
    (folder / "notes.txt").write_text("no recording")
    made["wrong"] = [folder / "notes.txt"]
    return made


@pytest.fixture
def room(open_page):  # noqa: F811
    """Open the page with a recording."""

    def room(paths, **options):
        page = open_page("#recording", **options)
        page.set_input_files("[data-room=files]", [str(path) for path in paths])
        page.wait_for_selector(HAVE)
        return page

    return room


def made(page):
    """Make what is asked for, and wait for it."""
    page.click("[data-room=make]")
    page.wait_for_function(
        "() => /^(Varied|Edited|Completed)/.test(document.querySelector('[data-room=said]').textContent)",
        timeout=60_000,
    )


def choose(page, task):
    page.locator(".tasks label", has_text=task).click()


def post(service, path, body):  # noqa: F811
    request = urllib.request.Request(
        service.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return json.load(urllib.request.urlopen(request, timeout=120))


def read(service, paths):  # noqa: F811
    sent = {path.name: base64.b64encode(path.read_bytes()).decode() for path in paths}
    return post(service, "v1/recordings", {"files": sent})


def take(page, form):
    with page.expect_download() as download:
        page.get_by_role("group", name="Download ECG B").get_by_role("button", name=form, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_an_empty_room_claims_nothing(open_page, files):  # noqa: F811
    """Fails when the page speaks of A and B before they are there, or calls the paper of a recording synthetic."""
    page = open_page("#recording")
    assert not page.is_visible(".synthetic >> nth=0") and not page.is_visible(".of-room")
    page.set_input_files("[data-room=files]", [str(path) for path in files[".npz"]])
    page.wait_for_selector(HAVE)
    assert not page.is_visible(".synthetic >> nth=0") and not page.is_visible(".of-room")
    page.wait_for_selector("[data-room=make]")
    made(page)
    assert page.is_visible(".sheet:nth-child(2) .synthetic") and page.is_visible(".of-room")


@pytest.mark.parametrize("suffix", [".hea", ".npz", ".csv", ".edf", ".dcm"])
def test_every_form_is_read_and_drawn(room, service, files, suffix):  # noqa: F811
    """What was done to it is said, and the paper shows the recording, which nobody calls synthetic."""
    page = room(files[suffix])
    told = read(service, files[suffix])
    assert page.locator("[data-room=notes] li").all_inner_texts() == told["notes"]
    assert "resampled from 500 to 100 Hz" in told["notes"] and "the first 10 s are used" in told["notes"]
    chips = page.locator("[data-room=own] .chip b").all_inner_texts()
    assert chips == told["recording"]["statements"] == ([] if suffix == ".csv" else ["NORM", "SR"])
    assert page.locator(".sheet:visible").count() == 1 and not page.is_visible(".synthetic >> nth=0")
    rate = page.inner_text("[data-measure=heart_rate_bpm] >> nth=0")
    assert rate == f"{round(told['measured']['heart_rate_bpm'])} bpm"
    label = page.get_attribute("canvas.traces >> nth=0", "aria-label")
    assert label == f"Recorded ECG{', said to show: NORM, SR' if chips else ': nothing is known of it'}"
    assert page.inner_text(".names >> nth=0").startswith("Said to show\nNORM" if chips else "")
    assert page.locator(".take:visible").count() == 0
    assert (
        page.evaluate(
            """() => { const c = document.querySelector('canvas.traces');
          const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
          let ink = 0; for (let i = 3; i < data.length; i += 4) ink += data[i] > 128; return ink; }"""
        )
        > 3000
    )


def test_edit_by_keyboard_alone(open_page, service, files):  # noqa: F811
    """Fails where a control cannot be reached or used without a mouse, or the result is not the service's."""
    page = open_page()
    page.keyboard.press("r")
    assert page.evaluate("() => document.activeElement.dataset.room") == "files"
    page.set_input_files("[data-room=files]", [str(path) for path in files[".hea"]])
    page.wait_for_selector(HAVE)
    page.wait_for_function("() => document.activeElement.dataset.room === 'task'")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("[data-room=make]") == "Edit"

    def tab_to(selector):
        for _ in range(40):
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached")

    tab_to("#search-wanted")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.type("CLBBB")
    page.keyboard.press("Enter")
    assert page.locator("[data-room=wanted] .chip b").all_inner_texts() == ["CLBBB"]
    tab_to("[data-room=strength]")
    assert page.get_attribute("[data-room=strength]", "aria-valuetext") == f"{EDIT_STRENGTH:.2f}, changed"
    page.keyboard.press("ArrowLeft")
    strength = round(EDIT_STRENGTH - 0.01, 2)
    assert page.get_attribute("[data-room=strength]", "aria-valuetext") == f"{strength:.2f}, changed"
    tab_to("[data-room=make]")
    page.keyboard.press("Enter")
    page.wait_for_selector(MADE, timeout=60_000)
    seed = int(page.input_value("[data-room=seed]"))
    name, content = take(page, "JSON")
    assert name == f"r_edit_seed{seed}.json"
    told = read(service, files[".hea"])["recording"]
    asked = {"recording": told, "statements": ["CLBBB"], "strength": strength, "seed": seed}
    expected = post(service, "v1/edit", asked)["records"][0]
    np.testing.assert_allclose(json.loads(content)["records"][0]["signal"], expected["signal"], atol=1.1e-3)
    assert page.locator(".sheet:nth-child(2) .names b").all_inner_texts() == ["CLBBB"]
    assert page.inner_text(".sheet:nth-child(2) .names").startswith("Asked for\nCLBBB")
    assert page.is_visible(".sheet:nth-child(2) .synthetic")
    assert f"strength {strength}" in page.inner_text(".sheet:nth-child(2) .plain")
    tab_to("#end-room")
    page.keyboard.press("Enter")
    assert page.is_visible("#controls") and not page.is_visible("#room")
    assert page.evaluate("() => document.activeElement.id") == "start-room" and "#" not in page.url


def test_files_are_dropped_anywhere(open_page, service, files):  # noqa: F811
    """A WFDB pair, on the page for generating: it opens the room. The browser does not open the file."""
    page = open_page()
    given = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in files[".hea"]]
    drop = """(given) => {
      const data = new DataTransfer();
      const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      for (const [name, text] of given) data.items.add(new File([bytes(text)], name));
      const fire = (type) => {
        const event = new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector('.paper').dispatchEvent(event);
        return event.defaultPrevented;
      };
      return [fire('dragenter'), document.body.classList.contains('dropping'), fire('dragover'), fire('drop')];
    }"""
    assert page.evaluate(drop, given) == [True, True, True, True]
    page.wait_for_selector(HAVE)
    assert page.inner_text("[data-room=name]") == "r.hea, r.dat" and page.url.endswith("#recording")
    assert not page.evaluate("() => document.body.classList.contains('dropping')")


def test_missing_leads_are_completed(room, service, files):  # noqa: F811
    """Two leads can only be completed: what is known stays, and what was missing is drawn on the second sheet only."""
    page = room(files["two"])
    assert page.is_visible("[data-room=partial]") and page.is_disabled("[data-room=task][value=vary]")
    assert page.inner_text("[data-room=make]") == "Complete"
    assert page.is_disabled(".leads [value=V1]") and page.is_checked(".leads [value=II]")
    assert "V1, V2, V3, V4, V5, V6 are missing" in page.inner_text("[data-room=notes]")
    made(page)
    told = read(service, files["two"])["recording"]
    signal = np.array(json.loads(take(page, "JSON")[1])["records"][0]["signal"])
    np.testing.assert_allclose(signal[:6], np.array(told["signal"][:6], dtype=float), atol=2e-3)


def test_several_completions_are_a_band(room, service, files):  # noqa: F811
    """Two routes: the band is where the largest completion is far from the least; no band where leads are known."""
    page = room(files["two"])
    page.evaluate("() => { document.querySelector('[data-room=seed]').value = '7'; }")
    page.fill("[data-room=count]", "4")
    made(page)
    assert "One of 4 is drawn" in page.inner_text(".sheet:nth-child(2) .plain")
    records = json.loads(take(page, "JSON")[1])["records"]
    signals = np.array([one["signal"] for one in records])
    assert signals.shape[0] == 4 and [one["index"] for one in records] == [0, 1, 2, 3]
    table = np.genfromtxt(io.BytesIO(take(page, "CSV")[1]), delimiter=",", names=True)
    np.testing.assert_allclose(
        table["V3"], signals[0, 8], atol=1.1e-3
    )  # files of one record hold that on the paper
    ink = """() => { const c = document.querySelectorAll('canvas.traces')[1];
      const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
      let ink = 0; for (let i = 3; i < data.length; i += 4) ink += data[i] > 60 && data[i] < 68; return ink; }"""
    several = page.evaluate(ink)
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    areas = page.evaluate(
        """() => [...document.querySelectorAll('#print svg:last-of-type polygon')].map((area) =>
          area.getAttribute('points').split(' ').map((point) => Number(point.split(',')[1])))"""
    )
    shown = [
        (lead, part) for row in ((0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8, 11)) for part, lead in enumerate(row)
    ]
    assert len(areas) == len(shown) + 1  # of the rhythm strip, too
    for (lead, part), area in zip(shown, areas, strict=False):
        upper, lower = np.split(np.array(area), 2)  # in mm downwards, 10 for each mV
        spread = np.ptp(signals[:, lead], axis=0)[250 * part : 250 * (part + 1)]
        np.testing.assert_allclose((lower[::-1] - upper) / 10, spread, atol=2e-3)
    page.emulate_media(media="screen")
    page.fill("[data-room=count]", "1")
    made(page)
    page.wait_for_function(
        "() => !/is drawn/.test(document.querySelectorAll('.sheet .plain')[1].textContent)"
    )
    page.wait_for_timeout(100)
    assert several > 2 * page.evaluate(ink)  # a quarter of the colour of the trace
    assert len(json.loads(take(page, "JSON")[1])["records"]) == 1
    page.fill("[data-room=count]", "13")
    page.click("[data-room=make]")
    assert "Completions are 1 to 12" in page.inner_text("[data-room=said]")


def test_a_gap_has_two_ends(room, files):
    page = room(files["two"])
    page.fill("[data-room=from]", "2")
    page.click("[data-room=make]")
    assert "A gap has a beginning and an end" in page.inner_text("[data-room=said]")
    page.fill("[data-room=to]", "3.5")
    made(page)
    _, content = take(page, "JSON")
    answer = json.loads(content)
    signal, known = np.array(answer["records"][0]["signal"]), answer["provenance"]
    assert known["known"] == "I+II+III+aVR+aVL+aVF" and known["gaps_s"] == [[2.0, 3.5]]
    assert np.abs(signal[6:]).max() > 0.05


def test_vary_again_and_take_every_format(room, service, files):  # noqa: F811
    """Every download is what the second paper shows; another seed gives another record."""
    page = room(files[".edf"])
    made(page)
    first = page.evaluate("() => document.querySelectorAll('canvas.traces')[1].toDataURL()")
    page.click("[data-room=again]")
    page.wait_for_function(
        "(before) => document.querySelectorAll('canvas.traces')[1].toDataURL() !== before",
        arg=first,
        timeout=60_000,
    )
    page.wait_for_function("() => document.querySelector('[data-room=make]').textContent === 'Vary'")
    made_of = page.locator(".sheet:nth-child(2) .made dl div", has=page.get_by_text("Seed", exact=True))
    assert made_of.locator("dd").text_content() == page.input_value("[data-room=seed]")
    truth = np.array(json.loads(take(page, "JSON")[1])["records"][0]["signal"])
    for form in FORMS:
        name, content = take(page, form)
        assert re.fullmatch(r"r_vary_seed\d+\.\w+", name) and len(content) > 1000
        if form == "CSV":
            table = np.genfromtxt(io.BytesIO(content), delimiter=",", names=True, usecols=range(13))
            np.testing.assert_allclose(table["V3"], truth[8], atol=1.1e-3)
        if form == "WFDB":
            assert len(zipfile.ZipFile(io.BytesIO(content)).namelist()) == 3
    page.locator("label", has_text="Overlaid").click()
    assert page.locator(".synthetic:visible").count() == 1  # one of the two traces is
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#print svg").count() == 1


def test_what_was_made_comes_at_500_hz(room, files):  # noqa: F811
    page = room(files[".edf"])
    made(page)
    coarse = json.loads(take(page, "JSON")[1])["records"][0]
    page.get_by_label("Sampling rate of files of ECG B").select_option("500 Hz")
    name, content = take(page, "JSON")
    fine = json.loads(content)["records"][0]
    assert re.fullmatch(r"r_vary_seed\d+_500hz\.json", name)
    assert fine["fs_hz"] == 500 and len(fine["signal"][0]) == 5 * len(coarse["signal"][0])
    difference = decimated(to_eight(np.array(fine["signal"]))) - plausible(
        to_eight(np.array(coarse["signal"]))
    )
    assert np.abs(difference[:, 50:-50]).max() < 0.01


def test_what_is_wrong_is_said(open_page, files):  # noqa: F811
    page = open_page("#recording")
    page.set_input_files("[data-room=files]", str(files["wrong"][0]))
    page.wait_for_function(
        "() => document.querySelector('[data-room=said]').textContent.startsWith('the recording')"
    )
    assert "got 'notes.txt'; expected a WFDB header" in page.inner_text("[data-room=said]")
    page.set_input_files("[data-room=files]", str(files[".hea"][0]))
    page.wait_for_function(f"() => /signal file 'r.dat' is missing/.test({SAID})")
    page.set_input_files("[data-room=files]", [str(path) for path in files[".hea"]])
    page.wait_for_selector(HAVE)
    choose(page, "Edit")
    page.evaluate("() => { document.querySelector('[data-room=seed]').value = '-1'; }")
    page.click("[data-room=make]")
    assert "The seed is a whole number" in page.inner_text("[data-room=said]")
    page.evaluate("() => { document.querySelector('[data-room=seed]').value = '7'; }")
    page.click("[data-room=make]")  # with its own statements
    assert "It shows that already" in page.inner_text("[data-room=said]")
    assert not page.is_visible("#error")


def test_stop_back_and_forward(room, files):
    """Escape stops; the address opens the room; going back shows the page for generating again."""
    page = room(files[".npz"])
    choose(page, "Complete")
    page.uncheck(".leads [value=V1]")
    page.route("**/v1/complete", lambda route: time.sleep(0.5) or route.continue_())
    page.click("[data-room=make]")
    assert page.inner_text("[data-room=make]") == "Stop"
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelector('[data-room=said]').textContent === 'Stopped.'")
    assert page.inner_text("[data-room=make]") == "Complete"
    page.click("#start-quiz")
    assert not page.is_visible("#room") and page.is_visible("#quiz")
    page.go_back()
    page.wait_for_selector("#room:not([hidden])")
    assert page.is_visible(HAVE)  # what was opened is still there
    page.click("#end-room")
    assert page.is_visible("#controls") and page.locator(".recorded").count() == 0
    page.keyboard.press("r")
    assert page.is_visible("#room")


def test_phone(room, files):
    """Fails when something is wider than the screen or too small for a finger."""
    page = room(files[".hea"], **PHONE)
    takes = json.load(urllib.request.urlopen(page.url.split("#")[0] + "v1/models"))[0]
    for task in ("Vary", "Edit", "Complete"):
        choose(page, task)
        for name, field in (("age", "#room-age"), ("sex", "#room-sex"), ("heart_rate", "#room-heart-rate")):
            assert page.is_visible(field) == (task == "Edit" and takes[name])
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        small = page.evaluate(
            """() => [...document.querySelectorAll('#room :is(button, select, input, summary)')]
              .filter((e) => e.checkVisibility() && !['radio', 'checkbox'].includes(e.type))
              .map((e) => [e.textContent || e.dataset.room, e.getBoundingClientRect()])
              .filter(([, { width, height }]) => width < 24 || height < 24).map(([name]) => name)"""
        )
        assert small == [], small
    for lead in ("V1", "V2"):
        page.locator(f".leads label:has([value={lead}])").tap()
    page.locator("[data-room=make]").tap()
    page.wait_for_selector(MADE, timeout=60_000)
    page.wait_for_function(
        "() => document.querySelector('.sheet:nth-child(2)').getBoundingClientRect().top < innerHeight / 2"
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe(open_page, files, scheme, device):  # noqa: F811
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page("#recording", color_scheme=scheme, **(PHONE if device == "phone" else {}))

    def check():
        found = axe.run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()

    check()
    page.set_input_files("[data-room=files]", [str(path) for path in files[".hea"]])
    page.wait_for_selector(HAVE)
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => (d.open = true))")
    for task in ("Vary", "Edit", "Complete"):
        choose(page, task)
        check()
    choose(page, "Vary")
    made(page)
    check()
    page.set_input_files("[data-room=files]", str(files["wrong"][0]))
    page.wait_for_selector("[data-room=said].problem")
    check()


# --- a sentence in the field for statements -----------------------------------------------------------------


def test_a_sentence_in_the_search_line(open_page, service):  # noqa: F811
    """By keyboard: what was understood and what was not is said, and the record is what the sentence asks for."""
    text = "70-year-old woman, atrial fibrillation with LBBB, rate about 120, wibble"
    told = json.load(urllib.request.urlopen(f"{service.url}v1/understand?{urlencode({'text': text})}"))
    page = open_page()
    page.focus("#search-a")
    page.keyboard.type(text)
    page.wait_for_selector("#options-a [data-sentence]")
    option = page.locator("#options-a [role=option]").first
    assert "AFIB + CLBBB" in option.inner_text() and "Not understood: 'wibble'." in option.inner_text()
    assert page.get_attribute("#search-a", "aria-activedescendant") == "options-a-sentence"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()
    page.keyboard.press("Enter")
    assert page.locator("#first .chip b").all_inner_texts() == told["statements"] == ["AFIB", "CLBBB"]
    said = " ".join(f"{line[0].upper()}{line[1:]}." for line in told["said"])
    assert page.inner_text("#first .understood") == said
    for name, field in (("age", "#age-a"), ("sex", "#sex-a"), ("heart_rate", "#heart-rate-a")):
        if told[name] is not None:
            value = page.input_value(field)
            assert (value if name == "sex" else float(value)) == told[name]
    assert page.input_value("#search-a") == ""
    page.keyboard.press("Enter")
    wait_until_done(page)
    assert page.locator(".names .asked b").all_inner_texts() == ["AFIB", "CLBBB"]
    page.focus("#search-a")
    page.keyboard.type("l")  # what was said of the sentence before goes
    assert page.inner_text("#first .understood") == ""


def test_a_late_answer_is_dropped(open_page):  # noqa: F811
    """Fails when what was understood of a sentence is offered after the text has become a name."""
    page, held = open_page(), []
    page.route("**/v1/understand*", lambda route: held.append(route))
    with page.expect_request("**/v1/understand*"):
        page.fill("#search-a", "woman of 70 years with LBBB")
    page.fill("#search-a", "LBBB")
    with page.expect_response("**/v1/understand*"):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert page.locator("[data-sentence]").count() == 0
    assert page.locator("#options-a .active").get_attribute("data-name") == "CLBBB"


def test_a_name_is_no_sentence(open_page):  # noqa: F811
    """The name of one statement is found as ever, and a sentence without anything known is not offered."""
    page = open_page()
    page.focus("#search-a")
    page.keyboard.type("complete left bundle branch block")
    page.wait_for_timeout(800)
    assert page.locator("[data-sentence]").count() == 0
    assert page.locator("#options-a .active").get_attribute("data-name") == "CLBBB"
    page.fill("#search-a", "who knows what this is")
    page.wait_for_timeout(800)
    assert page.locator("[data-sentence]").count() == 0 and "Nothing matches" in page.inner_text(
        "#first .count"
    )
    page.fill("#search-a", "a man of 55 years")  # nothing matches by name
    page.wait_for_selector("[data-sentence]")
    page.keyboard.press("Escape")
    page.wait_for_timeout(400)
    assert not page.is_visible("#options-a")


def test_a_generated_record_is_varied(open_page, service, files):  # noqa: F811
    """Fails when the variation is not the service's, a record passes for a recording, or the way back loses it."""
    page = open_page("#ecg=AFIB,LVH&quality=draft&seed=3&age=61")
    wait_until_done(page)
    address, names = page.url, page.locator(".names >> nth=0").inner_text()
    page.click("#vary-this")
    page.wait_for_selector(MADE, timeout=60_000)
    assert page.inner_text("[data-room=said]") == "Varied. It is beside the record."
    assert page.inner_text("#room-title") == "A generated record"
    assert page.locator(".synthetic:visible").count() == 2 and not page.locator(".recorded").count()
    assert page.locator(".names").nth(0).inner_text() == names
    said = [page.locator(part).all_inner_texts() for part in (".foot span:visible", ".plain")]
    assert not [text for text in sum(said, []) if "personal" in text or "our recording" in text]
    body = {"statements": ["AFIB", "LVH"], "quality": "draft", "seed": 3, "age": 61}
    (record,) = post(service, "v1/ecgs", body)["records"]
    sent = {name: record[name] for name in ("fs_hz", "leads", "signal", "statements")}
    seed = int(page.input_value("[data-room=seed]"))
    expected = post(
        service, "v1/vary", {"recording": sent, "strength": VARY_STRENGTH, "seed": seed, "age": 61}
    )["records"][0]
    name, content = take(page, "JSON")
    assert name == f"AFIB_LVH_draft_seed3_vary_seed{seed}.json"
    varied = json.loads(content)["records"][0]
    np.testing.assert_allclose(varied["signal"], expected["signal"], atol=1.1e-3)
    assert sorted(varied["statements"]) == sorted(record["statements"])

    page.click("#end-room")
    wait_until_done(page)
    assert page.url == address and page.locator(".names >> nth=0").inner_text() == names
    page.click("#start-room")  # it is not kept as a recording
    assert page.is_hidden("[data-room=have]") and page.inner_text("#room-title") == "Your recording"
    page.set_input_files("[data-room=files]", [str(path) for path in files[".csv"]])
    page.wait_for_selector(HAVE)
    assert page.input_value("[data-room=own-age]") == "" and page.locator(".synthetic:visible").count() == 0
    page.go_back()
    wait_until_done(page)
    assert page.url == address and page.is_visible("#controls")
    page.goto(page.url.split("#")[0] + "#ecg=SR&quality=draft&seed=1&duration=20")
    wait_until_done(page)
    assert page.is_disabled("#vary-this")
