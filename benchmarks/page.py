"""Measure how long a frame of the page takes to draw 12 x 1000 samples, in Chromium's own trace.

    python benchmarks/page.py

"whole" is all that the main thread does for a frame: script, style, layout, paint and, without a GPU, the raster of
the canvases. It is given in the thread's own time, and in wall-clock time with its 95th percentile. "plain" is a
drawing for comparison: the same lines as one stroke of 1.25 pixels for each lead, in a canvas of the same size.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.page import (
    FILM,
    PAINT,
    PLAIN,
    RASTER,
    SCRIPT,
    WHOLE,
    Service,
    chromium,
    frame_times,
    wait_until_done,
)

CASES = (("3x4", 1360, 900), ("12x1", 1360, 900), ("12x1", 1920, 1200), ("12x1, plain", 1360, 900))


def main() -> None:
    service = Service()
    try:
        with chromium() as browser:
            print(f"Chromium {browser.version}, software raster; ms per frame, median of 120 frames")
            head = ("whole", "wall", "p95", "script", "paint", "raster")
            print(f"{'layout':<13}{'canvas':<13}" + "".join(f"{name:>8}" for name in head))
            for case, width, height in CASES:
                layout, _, plain = case.partition(", ")
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(f"{service.url}#ecg=LVH&steps=10&seed=5&layout={layout}")
                wait_until_done(page)
                page.wait_for_timeout(1000)
                size = "(c => `${c.width} x ${c.height}`)(document.querySelector('canvas.traces'))"
                canvas, script = page.evaluate(size), PLAIN if plain else FILM
                own = frame_times(browser, page, script)
                wall = frame_times(browser, page, script, clock="dur")[WHOLE]
                middle = [times[len(times) // 2] for times in (own[WHOLE], wall)]
                parts = [own[name][len(own[name]) // 2] for name in (SCRIPT, PAINT, RASTER)]
                row = (*middle, wall[int(0.95 * len(wall))], *parts)
                print(f"{case:<13}{canvas:<13}" + "".join(f"{value:8.1f}" for value in row))
                page.close()
    finally:
        service.stop()


if __name__ == "__main__":
    main()
