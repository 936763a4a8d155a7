"""A service on loopback for tests: real sockets, uvicorn in a thread, a small model."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

from sssd.server.app import create_app
from sssd.server.generator import Generator
from sssd.server.serve import Server, listen
from sssd.server.settings import Settings
from tests.test_wrapper import tiny


class Service:
    """url, app, and `ask` for one request: (status, headers, body)."""

    def __init__(self, app, port):
        self.app, self.port, self.url = app, port, f"http://127.0.0.1:{port}"

    def ask(self, path, body=None, *, method=None, timeout=60, **headers):
        """A body of bytes goes as it is, anything else as JSON; header names with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
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
        """The JSON of an answer that must be fine."""
        status, _, content = self.ask(path, body, **given)
        assert status < 300, (status, content)
        return json.loads(content)

    def refusal(self, path, body=None, **given):
        """(status, message) of an answer that must be a refusal."""
        status, _, content = self.ask(path, body, **given)
        return status, json.loads(content)["detail"]

    def raw(self, data, *, wait=5.0):
        """All that comes back for these bytes within `wait` seconds."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as sock:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
                sock.sendall(data)
            answer = b""
            try:
                while part := sock.recv(65536):
                    answer += part
            except (TimeoutError, ConnectionResetError):
                pass
            return answer


@contextmanager
def service(model=None, name="tiny", **limits):
    settings = Settings(**limits)
    app = create_app(Generator(model or tiny(), name), settings)
    bound = listen("127.0.0.1", 0)
    server = Server(app, settings)
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
    """Whether it holds before so many seconds have passed."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
