"""The page in a browser: Debian's Chromium, driven by Playwright, and the service behind the page."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
SOFTWARE_WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
COMMAND = "import sys; from sssd.cli import main; sys.exit(main())"


class Service:
    """`sssd-ecg serve` in a process of its own, which can be stopped and started again on the same port.

    before: Python statements that the process runs first.
    """

    def __init__(self, *options: str, before: str = "") -> None:
        self.options, self.before, self.port, self.process = options, before, 0, None
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        code = f"{self.before}\n{COMMAND}"
        command = [sys.executable, "-c", code, "serve", "--port", str(self.port), *self.options]
        self.process: Any = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        address = self.process.stdout.readline().split()[0]
        self.url = address + "/"
        self.port = int(address.rsplit(":", 1)[1])
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url + "readyz", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the service did not become ready")

    def stop(self) -> None:
        """Kill the process, as if the machine had failed. Does nothing if it is stopped already."""
        if self.process.stdout.closed:
            return
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def with_webgpu(browser: Any) -> Iterator[Any]:
    """Start another browser, in which the processor computes WebGPU."""
    arguments = [*(one for one in ARGUMENTS if one != "--disable-gpu"), *SOFTWARE_WEBGPU]
    other = browser.browser_type.launch(executable_path=CHROMIUM, args=arguments)
    yield other
    other.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def serve(folder: Path, handler: type[Quiet] = Quiet) -> http.server.ThreadingHTTPServer:
    """Serve the files of a folder until the server that is returned is shut down."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def compressed(folder: Path, names: Iterable[str]) -> int:
    """Return how many bytes a server that compresses sends for these files of a folder."""
    paths = {folder / name for name in names}
    return sum(len(gzip.compress(path.read_bytes())) for path in paths if path.is_file())


def downloaded(page: Any, form: str) -> tuple[str, bytes]:
    """Return the name and the content of a file of ECG A, in a form such as "WFDB", that the page gives."""
    with page.expect_download() as download:
        page.get_by_role("group", name="Download ECG A").get_by_role("button", name=form, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def wait_until_done(page: Any, records: int = 1) -> None:
    page.wait_for_function(
        """n => document.querySelectorAll('.sheet:not([hidden]) .take:not([hidden])').length >= n
                && document.getElementById('generate').textContent === 'Generate'""",
        arg=records,
        timeout=120_000,
    )


# Moves the slider through the steps of a record, which draws 12 x 1000 new samples in each frame.
FILM = """async frames => {
  const film = document.querySelector('.film input');
  for (let i = 0; i < frames; i++) {
    film.value = 1 + i % (film.max - 1);
    film.dispatchEvent(new Event('input'));
    await new Promise(requestAnimationFrame);
  }
}"""

# Draws the same lines in the plain way: one stroke of 1.25 pixels for each lead.
PLAIN = """async frames => {
  const { width, height } = document.querySelector('.window canvas:last-child');
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  document.querySelector('.window').replaceChildren(canvas);
  const context = canvas.getContext('2d');
  const signal = Array.from({ length: 12 }, (_, lead) =>
    Array.from({ length: 1000 }, (_, i) => Math.exp(-(((i + 7 * lead) % 80 - 40) ** 2) / 8) + 0.05 * Math.sin(i / 9)));
  for (let n = 0; n < frames; n++) {
    context.clearRect(0, 0, width, height);
    context.lineWidth = 1.25;
    context.lineJoin = 'round';
    signal.forEach((lead, r) => {
      context.beginPath();
      lead.forEach((mv, i) => context.lineTo(55 + i * (width - 75) / 1000, (r + 0.8) * height / 12.6 - 36 * mv));
      context.stroke();
    });
    await new Promise(requestAnimationFrame);
  }
}"""

# The names of what the main thread does for a frame in Chromium's trace: all of it, and its parts.
WHOLE = "ProxyMain::BeginMainFrame"
SCRIPT, RASTER = "FrameRequestCallbackCollection::ExecuteFrameCallbacks", "LayerTreeHost::DoUpdateLayers"
PAINT = "WebFrameWidgetImpl::UpdateLifecycle"  # style, layout, paint


def frame_times(
    browser: Any, page: Any, script: str, frames: int = 120, *, clock: str = "tdur"
) -> dict[str, list[float]]:
    """Milliseconds on the main thread for each frame of `script`, sorted: whole, script, layout and paint, raster.

    clock: "tdur" is the thread's own time, which other processes do not lengthen; "dur" is wall-clock time.
    Without a GPU, canvases are rasterised on the main thread, and the whole includes that.
    """
    browser.start_tracing(page=page, categories=["devtools.timeline", "cc", "blink"])
    page.evaluate(script, frames)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    return {
        name: sorted(e[clock] / 1000 for e in events if e.get("ph") == "X" and e["name"] == name)
        for name in (WHOLE, SCRIPT, PAINT, RASTER)
    }
