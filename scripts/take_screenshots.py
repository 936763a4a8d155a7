"""Pictures of the page for docs/images: python scripts/take_screenshots.py (needs Chromium and Playwright)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sssd import SSSDECG
from sssd.io import wfdb
from tests.page import ROOT, Service, chromium, wait_until_done

IMAGES = ROOT / "docs" / "images"
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


def recording(suffix: str) -> Any:
    """A file that stands for a recording: a generated one, as recordings of patients are not shown."""
    ecg = SSSDECG.from_pretrained().generate_ecgs("NORM+SR", seed=5, exact=True)[0]
    content = dict(zip(("hea", "dat"), wfdb.render("recording", ecg), strict=True))[suffix]
    given = content.encode() if isinstance(content, str) else content
    return {"name": f"recording.{suffix}", "mimeType": "application/octet-stream", "buffer": given}


def main() -> None:
    service = Service()
    try:
        with chromium() as browser:

            def show(fragment: str, records: int = 1, **options: Any) -> Any:
                page = browser.new_context(**options).new_page()
                page.goto(service.url + fragment)
                wait_until_done(page, records)
                page.wait_for_timeout(500)
                return page

            page = show("#ecg=AFIB&quality=best&seed=1", viewport={"width": 1360, "height": 900})
            page.click("#calipers")
            page.screenshot(path=IMAGES / "page.png", full_page=True)
            strip = "#ecg=NORM@0-30,AFIB@30-60&quality=best&seed=2&at=20"
            page = show(strip, viewport={"width": 1360, "height": 768})
            page.wait_for_function("() => /\\d/.test(document.querySelector('[data-measure]').textContent)")
            page.screenshot(path=IMAGES / "page_strip.png")
            both = "#ecg=CLBBB&quality=best&seed=2&vs.ecg=NORM"
            page = show(both, 2, viewport={"width": 1600, "height": 800}, color_scheme="dark")
            page.screenshot(path=IMAGES / "page_compare.png", full_page=True)
            page.locator("label", has_text="Overlaid").click()
            page.screenshot(path=IMAGES / "page_dark.png", full_page=True)
            page = show("#ecg=NORM&quality=best&seed=2", **PHONE)
            page.screenshot(path=IMAGES / "page_phone.png", full_page=True)
            page = browser.new_context(viewport={"width": 1600, "height": 900}).new_page()
            page.goto(service.url + "#recording")
            page.set_input_files("[data-room=files]", [recording(suffix) for suffix in ("hea", "dat")])
            page.locator(".tasks label", has_text="Edit").click()
            page.locator("[data-room=wanted] .chip button").first.click()
            page.keyboard.type("CLBBB")
            page.keyboard.press("Enter")
            page.evaluate("() => { document.querySelector('[data-room=seed]').value = 7; }")
            page.click("[data-room=make]")
            page.wait_for_selector(".sheet:nth-child(2) .take:not([hidden])")
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / "page_recording.png", full_page=True)
    finally:
        service.stop()


if __name__ == "__main__":
    main()
