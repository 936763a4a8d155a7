"""What clients should not send: each gets a clear error, and the service stays up."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from sssd.server import serve
from tests.service import eventually, service
from tests.test_wrapper import tiny

NORM = {"statements": ["NORM"]}


@pytest.fixture(scope="module")
def up():
    with service(tiny(), body_bytes=4096, body_s=0.5) as running:
        yield running
        assert running.get("/v1/ecgs", NORM)["records"]  # the service is still up


def text(**given):
    return json.dumps({**NORM, **given}).encode()


DEEP = b"[" * 2000 + b"]" * 2000


def readable(body: bytes) -> bool:
    """Whether this Python reads JSON that is nested so deeply: 3.13 does, those before it do not."""
    try:
        json.loads(body)
    except RecursionError:
        return False
    return True


BODIES = {
    "a huge count": (text(count=10**9), 422, "count"),
    "a count of more than 64 bits": (text(count=10**30), 422, "count"),
    "a number of 5000 digits": (b'{"statements":["NORM"],"count":1' + b"0" * 3900 + b"}", 422, "count"),
    "a count of zero": (text(count=0), 422, "count"),
    "a negative count": (text(count=-1), 422, "count"),
    "a fraction": (text(count=1.5), 422, "count"),
    "a boolean": (text(count=True), 422, "count"),
    "a text": (text(count="2"), 422, "count"),
    "more steps than the schedule has": (text(steps=21), 422, "steps is 21: expected 1"),
    "DDPM in few steps": (text(sampler="ddpm", steps=5), 422, "ddpm always takes all 20 steps"),
    "NaN": (b'{"statements":["NORM"],"eta":NaN}', 422, "eta"),
    "Infinity": (b'{"statements":["NORM"],"eta":-Infinity}', 422, "eta"),
    "1e999": (b'{"statements":["NORM"],"eta":1e999}', 422, "eta"),
    "eta above 1": (text(eta=1.01), 422, "eta"),
    "a negative seed": (text(seed=-1), 422, "seed"),
    "a seed of more than 64 bits": (text(seed=2**64), 422, "seed"),
    "an index that is too large": (text(index=2**63), 422, "index"),
    "an age, which the model does not take": (
        text(age=60),
        422,
        "age is given, but this model does not take it",
    ),
    "a sex, which the model does not take": (
        text(sex="male"),
        422,
        "sex is given, but this model does not take it",
    ),
    "an age that is too high": (text(age=121), 422, "age"),
    "an age that is text": (text(age="60"), 422, "age"),
    "a heart rate, which the model does not take": (
        text(heart_rate=60),
        422,
        "heart_rate is given, but this model does not take it",
    ),
    "a heart rate that is too low": (text(heart_rate=24), 422, "heart_rate"),
    "a heart rate that is text": (text(heart_rate="60"), 422, "heart_rate"),
    "an unknown sex": (text(sex="f"), 422, "'female' or 'male'"),
    "an unknown quality": (text(quality="good"), 422, "'draft', 'standard' or 'best'"),
    "a quality whose weights are missing": (text(quality="draft"), 422, "has standard and best"),
    "quality and sampler": (text(quality="best", sampler="ddim"), 422, "quality chooses sampler itself"),
    "quality and steps": (text(quality="best", steps=5), 422, "quality chooses steps itself"),
    "quality and eta": (text(quality="best", eta=0.0), 422, "quality chooses eta itself"),
    "consistency, which needs a distilled model": (
        text(sampler="consistency"),
        422,
        "only distilled models have it",
    ),
    "no statement": (text(statements=[]), 422, "statements"),
    "a statement, not a list": (text(statements="NORM"), 422, "statements"),
    "72 statements": (text(statements=["NORM"] * 72), 422, "statements"),
    "unknown": (text(statements=["NORMAL ISH"]), 422, "unknown statement"),
    "a surrogate": (b'{"statements":["\\ud800"]}', 422, ""),
    "a zero byte": (text(statements=["NORM\0"]), 200, ""),
    "a path": (text(statements=["../../etc/passwd"]), 422, "unknown statement"),
    "a path to load": (text(checkpoint="/etc/passwd"), 422, "unknown key 'checkpoint'"),
    "a long name": (text(statements=["A" * 3000]), 422, "statements"),
    "a long key": (text(**{"k" * 3000: 1}), 422, "unknown key"),
    "deep JSON": (DEEP, 422, "object") if readable(DEEP) else (DEEP, 400, "JSON"),
    "deep JSON, open": (b'{"statements":' + b"[" * 4000, 400, "JSON"),
    "no JSON": (b"statements=NORM", 400, "as JSON"),
    "nothing": (b"", 422, "body"),
    "null": (b"null", 422, "body"),
    "a list": (b"[]", 422, "object"),
    "invalid UTF-8": (b'{"statements":["\xff\xfe"]}', 400, ""),
    "Latin-1": ('{"statements":["é"]}'.encode("latin-1"), 400, ""),
    "zero bytes": (b"\0" * 100, 400, ""),
    "too large": (b" " * 4097, 413, "4096 bytes"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(up, name):
    """Fails when the answer is a 500, has no single message, or never comes."""
    body, status, message = BODIES[name]
    got, headers, content = up.ask("/v1/ecgs", body)
    assert got == status, content
    if status >= 400:
        assert headers.get_content_type() == "application/json"
        detail = json.loads(content)["detail"]
        assert message in detail and 0 < len(detail) < 500 and "\n" not in detail


def test_other_encodings_of_json(up):
    """Fails when JSON in an encoding that RFC 8259 no longer allows gives a 500."""
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        assert up.ask("/v1/ecgs", json.dumps(NORM).encode(encoding))[0] in (200, 400, 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_other_content_types(up, kind):
    """Fails when a body of another type is read as JSON. Forms on other sites can send these types without asking."""
    status, message = up.refusal("/v1/ecgs", json.dumps(NORM).encode(), **{"content-type": kind})
    assert status == 422 and "application/json" in message


PATHS = [
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/%00",
    "/static/../../app.py",
    "/app.py",
    "//etc/passwd",
    "/\\..\\..\\etc\\passwd",
    "/" + "a" * 8000,
    "/v1/jobs/..%2f..%2fetc%2fpasswd",
    "/v1/jobs/%00",
    "/v1/jobs/" + "a" * 41,
    "/v1/jobs/../ecgs",
    "/v1/labels/",
    "/openapi.json/x",
    "/%ff%fe",
    "/con",
    "/?file=/etc/passwd",
]


@pytest.mark.parametrize("path", PATHS)
def test_paths(up, path):
    """Fails when a path reaches a file outside of the page, or gives a 500."""
    answer = up.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
    status = int(re.match(rb"HTTP/1.1 (\d+)", answer)[1])
    assert status in (200, 307, 308, 400, 404, 405, 422), answer[:200]
    assert b"root:" not in answer and b"import " not in answer
    assert status != 200 or path.startswith("/?")


REQUESTS = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, 400),
    "no length and no chunks": (b"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 422),
    "a body without a type": (  # forms on other sites can send it without asking
        b'POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 23\r\n\r\n{"statements":["NORM"]}',
        422,
    ),
    "a length that is not a number": (
        b"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        400,
    ),
    "a negative length": (b"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "an enormous length": (b"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
    "length and chunks": (
        b"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        b"\r\n0\r\n\r\n",
        400,
    ),
    "chunks without end": (
        b"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"400\r\n"
        + b" " * 1024
        + b"\r\n"
        b"1000\r\n" + b" " * 4096 + b"\r\n",
        413,
    ),
    "a head without end": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 12_000, 400),
    "an unknown method": (b"BREW /v1/ecgs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
    "a body that never comes": (b"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{", 408),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(up, name):
    """Fails when the connection stays open without an answer, or the answer is not an error."""
    request, status = REQUESTS[name]
    assert up.raw(request).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    "accept", ["\x00", "a" * 8000, "," * 8000, "*/*;q=" + "9" * 4000, "text/html", "\xff"]
)
def test_accept(up, accept):
    raw = f"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
    body = json.dumps(NORM)
    request = f"{raw}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode("latin-1")
    assert re.match(rb"HTTP/1.1 (200|400|406) ", up.raw(request))


def test_slow_heads(up, monkeypatch):
    """Fails when a client keeps its connection without ever ending the head of its request."""
    monkeypatch.setattr(serve, "HEAD_S", 0.3)
    for begun in (b"", b"GET / HTTP/1.1\r\nX: "):
        with socket.create_connection(("127.0.0.1", up.port), timeout=5) as sock:
            sock.sendall(begun)
            try:
                assert sock.recv(100) == b""
            except ConnectionResetError:
                pass
    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", up.port), timeout=5) as sock:
        sock.sendall(get)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        sock.sendall(get[:10])  # the second request of a connection
        try:
            while sock.recv(1000):
                pass
        except ConnectionResetError:
            pass


def test_a_slow_but_honest_client(up):
    """Fails when the limits for slow clients end a request that only takes long to generate."""
    body = json.dumps({**NORM, "sampler": "ddpm", "count": 8})
    head = f"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", up.port), timeout=30) as sock:
        for piece in (head, "\r\n", body[:5], body[5:]):
            sock.sendall(piece.encode())
            time.sleep(0.05)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")


def test_a_body_that_nobody_reads(up):
    """Fails when a route that takes no body waits for one."""
    head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n"
    assert up.raw(head, wait=0.4).startswith(b"HTTP/1.1 200 ")


def test_clients_that_do_not_read(up, monkeypatch):
    """Fails when a client that does not read its answers keeps its connection."""
    monkeypatch.setattr(serve, "ANSWER_S", 0.3)
    body = json.dumps({**NORM, "steps": 1, "count": 64})
    head = (
        f"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    connections = up.server.server_state.connections
    assert eventually(lambda: not connections)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", up.port))
    for _ in range(40):  # their answers do not fit into the buffers of the sockets
        sock.sendall(f"{head}\r\n\r\n{body}".encode())
    try:
        assert eventually(lambda: connections)
        assert eventually(lambda: not connections)
    finally:
        sock.close()


def test_too_many_connections():
    """Fails when too many connections are accepted or dropped without a message, or the server does not recover."""
    with service(tiny(), connections=3) as running:
        idle = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(3)]
        assert eventually(lambda: len(running.server.server_state.connections) == 3)
        status, headers, body = running.ask("/v1/ecgs", NORM)
        assert status == 429 and headers["retry-after"] and b"more than 3 connections" in body
        assert running.refusal("/v1/labels")[0] == running.refusal("/metrics")[0] == 429  # these have no body
        head = b"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n"
        assert running.raw(head).startswith(b"HTTP/1.1 429 ")  # before a body is read
        assert running.get("/healthz") and running.ask("/readyz")[0] == 200  # a load balancer may always ask
        for sock in idle:
            sock.close()
        assert eventually(lambda: running.ask("/v1/ecgs", NORM)[0] == 200)


def test_a_hundred_at_once(up):
    """Fails when hostile and honest clients together cause a 500, or a 429 lacks Retry-After."""
    bodies = [body for body, _, _ in BODIES.values()]

    def one(i):
        status, headers, _ = up.ask("/v1/ecgs", text(seed=i) if i % 2 else bodies[i % len(bodies)])
        return status < 500 and (status != 429 or headers["retry-after"] is not None)

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(one, range(100)))
    assert eventually(lambda: up.app.state.backend.batcher.idle)


@pytest.mark.slow
def test_the_description_holds():
    """Fails when schemathesis finds an answer that is a 5xx or does not match /openapi.json."""
    schemathesis = pytest.importorskip("schemathesis")
    # The description does not say what the model and the limits of one server refuse.
    from hypothesis import HealthCheck, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    with service(tiny()) as running:
        description = running.get("/openapi.json")
        names = description["components"]["schemas"]["GenerateRequest"]["properties"]["statements"]["items"]
        names["enum"] = [
            label["name"] for label in running.get("/v1/labels")
        ]  # otherwise nearly all names would be unknown
        schema = schemathesis.openapi.from_dict(description)
        schema.config.update(base_url=running.url)
        statuses = {}

        def check(operation):
            @given(case=operation.as_strategy())
            @settings(
                max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
            )
            def run(case):
                answer = case.call()
                statuses.setdefault(operation.label, set()).add(answer.status_code)
                case.validate_response(answer, excluded_checks=[positive_data_acceptance])

            run()

        for found in schema.get_all_operations():
            check(found.ok())
        assert 200 in statuses["POST /v1/ecgs"] and 202 in statuses["POST /v1/jobs"]
        assert not {code for codes in statuses.values() for code in codes if code >= 500}
