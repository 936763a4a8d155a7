"""Measure the page without a service in Chromium: seconds until its first ECG, and what it loads for that.

    python benchmarks/static_page.py

A visit begins with a browser that holds nothing, and ends when the record of the quality `draft` is complete, with its
downloads. The page comes from a server on this machine, so the seconds are without those of a network.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sssd.static_page import write_static_page
from tests.page import chromium, compressed, serve

VISITS = 5
RECORD = ".sheet .take:not([hidden])"


def visit(address: str, seed: int) -> tuple[str, float, list[str]]:
    """Return the version of the browser, the seconds until the record, and the files that were loaded."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        loaded: list[str] = []
        page.on("request", lambda request: loaded.append(request.url.removeprefix(address).split("#")[0]))
        began = time.monotonic()
        page.goto(f"{address}#ecg=AFIB&quality=draft&seed={seed}")
        page.wait_for_selector(RECORD, timeout=120_000)
        return browser.version, time.monotonic() - began, loaded


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_static_page(Path(temporary) / "page")
        server = serve(folder)
        visits = [visit(f"http://127.0.0.1:{server.server_port}/", seed) for seed in range(VISITS)]
        server.shutdown()
        version, _, loaded = visits[0]
        seconds = sorted(taken for _, taken, _ in visits)
        instead = [
            name.replace("ort.wasm", "ort.jspi").replace("threaded.", "threaded.jspi.") for name in loaded
        ]
        sizes = [compressed(folder, names) / 1e6 for names in (loaded, instead)]
    print(f"Chromium {version}, one thread, {VISITS} visits")
    print(f"first ECG of draft  {seconds[VISITS // 2]:.1f} s ({seconds[0]:.1f} to {seconds[-1]:.1f})")
    print(f"loaded, compressed  {sizes[0]:.1f} MB by WebAssembly, {sizes[1]:.1f} MB by WebGPU")


if __name__ == "__main__":
    main()
