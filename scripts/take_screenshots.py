"""Pictures of the page for docs/images: python scripts/take_screenshots.py (needs Chromium and Playwright)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.page import ROOT, Service, chromium, wait_until_done

IMAGES = ROOT / "docs" / "images"
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


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
            both = "#ecg=CLBBB&quality=best&seed=2&vs.ecg=NORM"
            page = show(both, 2, viewport={"width": 1600, "height": 800}, color_scheme="dark")
            page.screenshot(path=IMAGES / "page_compare.png", full_page=True)
            page.locator("label", has_text="Overlaid").click()
            page.screenshot(path=IMAGES / "page_dark.png", full_page=True)
            page = show("#ecg=NORM&quality=best&seed=2", **PHONE)
            page.screenshot(path=IMAGES / "page_phone.png", full_page=True)
    finally:
        service.stop()


if __name__ == "__main__":
    main()
