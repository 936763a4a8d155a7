"""Measure the page without a service in Chromium: seconds until its first ECG and its measurements, and what it loads.

    python benchmarks/static_page.py [--against FOLDER]

A visit begins with a browser that holds nothing. The first ECG is there when the record of the quality `draft` is
complete, with its downloads. Then it is measured, and a picture of it is downloaded. The page comes from a server on
this machine, so the seconds are without those of a network. With a folder that another version of `sssd-ecg page
--static` has written, both pages are visited in turn, so that whatever else the machine does slows both down.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sssd.static_page.build import write_static_page
from tests.page import chromium, compressed, serve

VISITS = 5
RECORD = ".sheet .take:not([hidden])"
MEASURED = ".sheet .checks li"
PNG = ".sheet:first-child .take button:text-is('PNG')"
PYTHON = ("python/", "js/local/python.js")


def visit(address: str, seed: int) -> tuple[str, list[float], list[list[str]]]:
    """Return the version of the browser, the seconds until record, measurements and picture, and what each loaded."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        loaded: list[str] = []
        page.on("request", lambda request: loaded.append(request.url.removeprefix(address).split("#")[0]))
        began = time.monotonic()
        page.goto(f"{address}#ecg=AFIB&quality=draft&seed={seed}")
        page.wait_for_selector(RECORD, timeout=120_000)
        seconds = [time.monotonic() - began]
        page.wait_for_selector(MEASURED, timeout=120_000)
        seconds.append(time.monotonic() - began)
        for_record = [name for name in loaded if not name.startswith(PYTHON)]
        for_python = [name for name in loaded if name.startswith(PYTHON)]
        count, began = len(loaded), time.monotonic()
        with page.expect_download(timeout=120_000):
            page.click(PNG)
        seconds.append(time.monotonic() - began)
        return browser.version, seconds, [for_record, for_python, loaded[count:]]


def tell(folder: Path, visits: list[tuple[str, list[float], list[list[str]]]]) -> None:
    """Print what the visits of a page took, and what they loaded."""
    loaded, *more = visits[0][2]
    instead = [name.replace("ort.wasm", "ort.jspi").replace("threaded.", "threaded.jspi.") for name in loaded]
    sizes = [compressed(folder, names) / 1e6 for names in (loaded, instead, *more)]
    for k, what in enumerate(("first ECG of draft", "measured", "picture, from a click")):
        seconds = sorted(taken[k] for _, taken, _ in visits)
        print(f"{what:22} {seconds[len(seconds) // 2]:.1f} s ({seconds[0]:.1f} to {seconds[-1]:.1f})")
    print(
        f"{'loaded, compressed':22} {sizes[0]:.1f} MB by WebAssembly, {sizes[1]:.1f} MB by WebGPU, for the ECG"
    )
    print(f"{'':22} {sizes[2]:.1f} MB more for measurements, {sizes[3]:.1f} MB more for a picture")


def main() -> None:
    of = argparse.ArgumentParser()
    of.add_argument("--against", type=Path, help="the folder of a page that another version has written")
    of.add_argument("--visits", type=int, default=VISITS, help="visits of each page")
    options = of.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folders = {"this version": write_static_page(Path(temporary) / "page")}
        if options.against is not None:
            folders = {"the version before": options.against, **folders}
        servers = {name: serve(folder) for name, folder in folders.items()}
        visits: dict[str, list[tuple[str, list[float], list[list[str]]]]] = {name: [] for name in folders}
        for seed in range(options.visits):
            for name, server in servers.items():
                visits[name].append(visit(f"http://127.0.0.1:{server.server_port}/", seed))
        for server in servers.values():
            server.shutdown()
        version = visits["this version"][0][0]
        load = f", others on this machine: load {os.getloadavg()[1]:.1f}" if hasattr(os, "getloadavg") else ""
        print(f"Chromium {version}, one thread, {options.visits} visits of each page, in turn{load}")
        for name, folder in folders.items():
            print(f"-- {name}")
            tell(folder, visits[name])


if __name__ == "__main__":
    main()
