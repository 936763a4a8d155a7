"""A service on the loopback interface for tests: real sockets, uvicorn in a thread, a small model."""

import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

from sssd.leads import CLINICAL
from sssd.server.app import create_app
from sssd.server.generator import Generator
from sssd.server.serve import Server, listen
from sssd.server.settings import Settings
from tests.inputs.records import beats_mv
from tests.test_wrapper import tiny


class Service:
    """A service that runs: its url and app, and `ask` for one request, which gives (status, headers, body).

    prefix stands before every path that is asked for; headers are sent with every request.
    """

    def __init__(self, app, port, prefix="", **headers):
        self.app, self.port, self.url = app, port, f"http://127.0.0.1:{port}{prefix}"
        self.headers = headers

    def ask(self, path, body=None, *, method=None, timeout=60, **headers):
        """A body of bytes is sent as it is, anything else as JSON. Header names have _ in place of -."""
        named = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
        if body is not None:
            named = {"content-type": "application/json", **named}
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def get(self, path, body=None, **given):
        """The JSON of an answer, which must be a success."""
        status, _, content = self.ask(path, body, **given)
        assert status < 300, (status, content)
        return json.loads(content)

    def refusal(self, path, body=None, **given):
        """(status, message) of an answer, which must be an error."""
        status, _, content = self.ask(path, body, **given)
        return status, json.loads(content)["detail"]

    def raw(self, data, *, wait=5.0):
        """Everything that the service sends back for these bytes within `wait` seconds."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as sock:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before everything was sent
                sock.sendall(data)
            answer = b""
            try:
                while part := sock.recv(65536):
                    answer += part
            except (TimeoutError, ConnectionResetError):
                pass
            return answer


def recording(seconds=0.64, seed=3, fs_hz=100.0, **changed):
    """A recording as clients send it, which shows NORM and SR."""
    signal = beats_mv(seed, seconds=seconds, fs_hz=fs_hz)
    rounded = [[round(float(value), 3) for value in row] for row in signal]
    whole = {"fs_hz": fs_hz, "leads": list(CLINICAL), "signal": rounded, "statements": ["NORM", "SR"]}
    return {**whole, **changed}


@contextmanager
def service(model=None, name="tiny", *, around=lambda app: app, root_path="", only_here=False, **limits):
    """A running service. around(app) wraps the application; root_path is uvicorn's option of that name."""
    settings = Settings(**limits)
    app = create_app(Generator(model or tiny(), name), settings, only_here=only_here)
    bound = listen("127.0.0.1", 0)
    server = Server(app, settings)
    server.config.app, server.config.root_path = around(app), root_path
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    running = Service(app, bound.getsockname()[1])
    running.server, running.thread = server, thread
    until = time.monotonic() + 30
    while not (server.started and app.state.gate.ready):
        assert time.monotonic() < until
        time.sleep(0.01)
    try:
        yield running
    finally:
        server.should_exit = True
        thread.join(30)


def eventually(condition, seconds=10):
    """Whether the condition becomes true within so many seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def no_disk():
    """Fails where the block opens, makes or renames a file outside of the Python installation."""
    opened, watching = [], [True]

    def hook(event, arguments):
        if watching[0] and event in ("open", "os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"):
            opened.append((event, *map(str, arguments[:1])))

    sys.addaudithook(hook)
    try:
        yield
        assert not [name for event, name in opened if os.sep in name and not name.startswith(sys.prefix)]
    finally:
        watching[0] = False
