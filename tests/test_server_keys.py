"""API keys: every protected route asks for one, wherever the application is mounted and however it is asked."""

import asyncio
import json
import re
import urllib.parse

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from starlette.applications import Starlette
from starlette.routing import Mount

from sssd.cli import main
from sssd.server import serve
from sssd.server.middleware import LocalNames
from sssd.server.security import digest, is_known
from sssd.server.settings import Settings
from tests.service import eventually, recording, service
from tests.test_wrapper import tiny

KEY, OTHER_KEY = "correct horse", "battery staple"
NORM = {"statements": ["NORM"], "steps": 1}
CHANGES = {
    "/v1/recordings": {"recording": recording()},
    "/v1/vary": {"recording": recording(), "steps": 1},
    "/v1/edit": {"recording": recording(), "steps": 1, "statements": ["AFIB"]},
    "/v1/complete": {"recording": recording(), "steps": 1, "known": ["I", "II"]},
}
PUBLIC = {"/healthz", "/readyz"}  # of what the OpenAPI schema describes
PUBLIC_PAGES = [  # of what it does not describe: the description itself, and the page
    "/openapi.json",
    "/docs",
    "/swagger/swagger-ui-bundle.js",
    "/swagger/swagger-ui.css",
    "/swagger/favicon-32x32.png",
    "/",
    "/index.html",
    "/style.css",
    "/icon.svg",
    "/js/main.js",
]


def mounted(app):
    """As part of a larger Starlette application, below /ecg."""
    return Starlette(routes=[Mount("/ecg", app)], lifespan=app.router.lifespan_context)


def with_root_path(app):
    """As servers call it that set root_path and leave the path as the client sent it."""

    async def outer(scope, receive, send):
        await app({**scope, "root_path": "/ecg"} if scope["type"] == "http" else scope, receive, send)

    return outer


def behind_stripping_proxy(app):
    """As a proxy forwards to it that takes /ecg off the path and says so in root_path."""

    async def outer(scope, receive, send):
        if scope["type"] == "http":
            path = scope["path"].removeprefix("/ecg")
            scope = {**scope, "root_path": "/ecg", "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    return outer


def behind_silent_proxy(app):
    """As a proxy forwards to it that takes /ecg off the path and does not say so."""

    async def outer(scope, receive, send):
        if scope["type"] == "http":
            path = scope["path"].removeprefix("/ecg")
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    return outer


ARRANGEMENTS = {  # how the application is reached: options of `service`, and the prefix that clients see
    "at the root": ({}, ""),
    "mounted": ({"around": mounted}, "/ecg"),
    "root_path": ({"around": with_root_path}, "/ecg"),
    "stripping proxy": ({"around": behind_stripping_proxy}, "/ecg"),
    "silent stripping proxy": ({"around": behind_silent_proxy}, "/ecg"),
    "uvicorn --root-path": ({"root_path": "/ecg"}, ""),  # uvicorn puts it before the path that it is sent
}


@pytest.fixture(scope="module", params=ARRANGEMENTS)
def placed(request):
    """(running service with two keys, prefix that clients put before each path)."""
    options, prefix = ARRANGEMENTS[request.param]
    with service(tiny(), key_sha256=[digest(KEY), digest(OTHER_KEY)], **options) as running:
        yield running, prefix


@pytest.fixture(scope="module")
def up():
    with service(tiny(), key_sha256=[digest(KEY), digest(OTHER_KEY)]) as running:
        yield running


def operations(up, prefix=""):
    """(method, path with its parameters filled in, body, whether it is public) of each operation of the schema."""
    schema = up.get(f"{prefix}/openapi.json")
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            body = CHANGES.get(path, NORM) if "requestBody" in operation else None
            yield method.upper(), path.replace("{name}", "nothing"), body, not operation.get("security")


def bearer(key):
    return {"authorization": f"Bearer {key}"}


WRONG = {
    "no key": {},
    "a wrong key": bearer("wrong"),
    "an empty key": bearer(""),
    "a key's hash": bearer(digest(KEY)),
    "half a key": bearer(KEY[:-1]),
    "another scheme": {"authorization": f"Basic {KEY}"},
    "no scheme": {"authorization": KEY},
    "another header": {"x_api_key": KEY, "proxy_authorization": f"Bearer {KEY}"},
    "a cookie": {"cookie": f"authorization=Bearer {KEY}; access_token={KEY}"},
    "a path for the application to believe": {"x_original_url": "/healthz", "x_forwarded_prefix": "/docs"},
    "a method for the application to believe": {"x_http_method_override": "OPTIONS"},
}


def test_what_is_public_is_what_is_listed(placed):
    """Fails when a route that is not in the lists above can be had without a key, or one that is cannot."""
    up, prefix = placed
    assert {path for _, path, _, public in operations(up, prefix) if public} == PUBLIC
    for path in [*PUBLIC, *PUBLIC_PAGES]:
        assert up.ask(prefix + path)[0] == 200, path


def test_every_protected_route_wants_a_key(placed):
    """Fails when a route that declares the key answers without it, whatever is sent in its place."""
    up, prefix = placed
    found = [(method, path, body) for method, path, body, public in operations(up, prefix) if not public]
    assert {path for _, path, _ in found} >= {
        "/metrics",
        "/v1/labels",
        "/v1/ecgs",
        "/v1/ecgs/stream",
        "/v1/jobs",
        *CHANGES,
    }
    for method, path, body in found:
        for name, headers in WRONG.items():
            status, answer, content = up.ask(prefix + path, body, method=method, **headers)
            assert (status, answer["www-authenticate"]) == (401, "Bearer"), (method, path, name)
            assert "API key" in json.loads(content)["detail"]
            assert answer["content-security-policy"] and answer["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("body", [b"{", b"", b"[" * 5000, b"x" * 70_000, b'{"statements": ["NOBODY"]}'])
def test_a_wrong_body_without_a_key(placed, body):
    """Fails when somebody without a key learns what is wrong with a body, or has it read."""
    up, prefix = placed
    posts = [path for method, path, _, public in operations(up, prefix) if method == "POST" and not public]
    assert len(posts) == 7
    for path in posts:
        status, said = up.refusal(prefix + path, body)
        assert status == 401 and "API key" in said
        assert up.refusal(prefix + path, body, **bearer(KEY))[0] in (400, 413, 422)


def test_every_protected_route_takes_each_key(placed):
    """Fails when a right key is refused: 404 is what the job routes say of a job that there is not."""
    up, prefix = placed
    for method, path, body, public in operations(up, prefix):
        for headers in (
            [{}] if public else [bearer(KEY), bearer(OTHER_KEY), {"authorization": f"bEARER  {KEY} "}]
        ):
            status, _, content = up.ask(prefix + path, body, method=method, **headers)
            assert status == 404 if "nothing" in path else status in (200, 202), (method, path, content)


def test_known_keys():
    """Fails when a key is known that has no hash in the list, or a later one in the list is not."""
    assert is_known("b", [digest("a"), digest("b")])
    assert not is_known("", [digest("a")]) and not is_known("A", [digest("a")]) and not is_known("a", [])


def test_keys_in_the_query(up):
    """Fails when a key is taken from the address, which logs keep."""
    for method, path, body, public in operations(up):
        for query in (f"key={KEY}", f"api_key={KEY}", f"access_token={KEY}", f"authorization=Bearer {KEY}"):
            if not public:
                query = urllib.parse.quote(query, safe="=")
                assert up.ask(f"{path}?{query}", body, method=method)[0] == 401


def test_paths_that_mean_a_protected_one(placed):
    """Fails when another spelling of a path reaches its route without a key."""
    up, prefix = placed
    for path in (
        "/%76%31/labels", "/v1%2Flabels", "/v1/%6c%61bels", "//v1/labels", "/v1//labels", "/v1/labels/", "/V1/labels",
        "/v1/./labels", "/healthz/../v1/labels", "/docs/%2e%2e/metrics", "//metrics", "/metrics/", "/%6detrics",
        "/v1/labels;a=b", "/v1/labels%00", "/v1/labels#", "/healthz/..%2fmetrics", "/js/../v1/labels",
    ):  # fmt: skip
        for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "get"):
            answer = up.raw(
                f"{method} {prefix}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            status = int(re.match(rb"HTTP/1.1 (\d+)", answer)[1])
            assert status in (307, 400, 401, 404, 405), (method, path, answer[:200])
            assert b"atrial" not in answer and b"sssd_requests" not in answer
    absolute = b"GET http://x/v1/labels HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b"atrial" not in up.raw(absolute)


HEADS = {  # more than one Authorization header, and ways to write one
    "the wrong one first": ("Authorization: Bearer wrong\r\nAuthorization: Bearer {key}", 401),
    "joined": ("Authorization: Bearer wrong, Bearer {key}", 401),
    "a space before the colon": ("Authorization : Bearer {key}", 400),
    "a folded line": ("Authorization: Bearer\r\n {key}", 200),  # RFC 7230 lets a server take it as a space
    "a tab": ("Authorization: Bearer\t{key}", 401),
    "a null": ("Authorization: Bearer {key}\0", 400),
    "a name with an underscore": ("Authorization_: Bearer {key}", 401),
    "bytes that are no ASCII": ("Authorization: Bearer \xff\xfe{key}", 401),
    "8 kB": ("Authorization: Bearer {key}" + "a" * 8000, 401),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(up, name):
    """Fails when a key passes that a proxy in front, which reads the head otherwise, has not seen, or a 500 comes."""
    head, status = HEADS[name]
    head = head.replace("{key}", KEY)
    request = f"GET /v1/models HTTP/1.1\r\nHost: x\r\n{head}\r\nConnection: close\r\n\r\n".encode("latin-1")
    assert up.raw(request).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_request_within_a_request(up):
    """Fails when a body's length is read in two ways, so that a request hides in another one's body."""
    hidden = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    for length in (5, len(hidden) + 5):
        head = f"POST /v1/ecgs HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked"
        answer = up.raw(f"{head}\r\nAuthorization: Bearer {KEY}\r\n\r\n0\r\n\r\n".encode() + hidden)
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1") == 1
        assert b"connection: close" in answer.lower()


def test_a_web_socket_is_closed(up):
    """Fails when a server that speaks WebSocket gets a traceback, or a route, in place of a refusal."""
    for path in ("/", "/v1/labels", "/v1/ecgs/stream", "/metrics"):
        sent = []
        scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
            "headers": [], "subprotocols": [], "client": None, "server": None, "scheme": "ws", "state": {},
        }  # fmt: skip

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message, sent=sent):
            sent.append(message["type"])

        asyncio.run(up.app(scope, receive, send))
        assert sent == ["websocket.close"]


def test_jobs_belong_to_their_key(up):
    """Fails when the holder of one key sees, fetches or deletes a job that another key started."""
    status, headers, body = up.ask("/v1/jobs", NORM, **bearer(KEY))
    where, job = headers["location"], json.loads(body)
    assert status == 202
    assert eventually(lambda: up.get(where, **bearer(KEY))["state"] == "done")
    for path, method in ((where, "GET"), (f"{where}/result", "GET"), (where, "DELETE")):
        mine, theirs = (
            up.refusal(p, method=method, **bearer(OTHER_KEY)) for p in (path, path.replace(job["id"], "x"))
        )
        assert mine == theirs and mine[0] == 404  # as if there were none
    assert up.get(f"{where}/result", **bearer(KEY))["records"]
    assert up.get(where, method="DELETE", **bearer(KEY))["state"] == "cancelled"


def test_a_job_is_found_where_its_answer_says(placed):
    """Fails when Location leaves out the prefix that clients have to use."""
    up, prefix = placed
    _, headers, _ = up.ask(f"{prefix}/v1/jobs", NORM, **bearer(KEY))
    where = headers["location"]
    if up.server.config.root_path:  # its proxy takes this off again
        assert where.startswith("/ecg/")
        where = where.removeprefix("/ecg")
    if where.startswith(prefix):  # all but where the proxy does not say what it took off
        assert up.ask(where, **bearer(KEY))[0] == 200


def test_the_page_and_the_docs_below_a_prefix(placed):
    """Fails when the page, or its description of the interface, asks for files beside the prefix."""
    up, prefix = placed
    page = up.ask(f"{prefix}/")[2].decode()
    links = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert len(links) >= 4
    for link in links:
        assert not link.startswith("/") and up.ask(f"{prefix}/{link}")[0] == 200
    docs = up.ask(f"{prefix}/docs")[2].decode()
    links = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", docs)
    assert len(links) >= 4
    for link in (urllib.parse.urlsplit(a or b).path for a, b in links):
        if up.server.config.root_path:  # its proxy takes this off again
            assert link.startswith("/ecg/")
            link = link.removeprefix("/ecg")
        if link.startswith(prefix):  # all but where the proxy does not say what it took off
            assert up.ask(link)[0] == 200


def test_metrics_count_by_route_wherever_it_is(placed):
    """Fails when a prefix, or a path that a client makes up, becomes a label of its own."""
    up, prefix = placed
    for path in ("/v1/labels", "/v1/jobs/made-up", "/made-up", "/js/made-up.js"):
        up.ask(prefix + path, **bearer(KEY))
    text = up.ask(f"{prefix}/metrics", **bearer(KEY))[2].decode()
    routes = set(re.findall(r'sssd_requests_total\{method="\w+",route="([^"]*)"', text))
    assert {"/v1/labels", "/v1/jobs/{name}", "other"} <= routes
    assert not any("made-up" in route or route.startswith("/ecg") for route in routes)


# --- without a key ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here():
    with service(tiny(), only_here=True) as running:
        yield running


@pytest.mark.parametrize(
    "name",
    ["localhost", "localhost:{port}", "LocalHost", "127.0.0.1:{port}", "127.0.0.2", "[::1]", "[::1]:80"],
)
def test_names_of_this_machine(here, name):
    assert here.get("/v1/ecgs", NORM, host=name.format(port=here.port))["records"]


@pytest.mark.parametrize(
    "name",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "localhost@a.example",
     "a.example@localhost", "a.example/localhost", "0.0.0.0", "10.0.0.7", "[fe80::1]", "[::1", "127.1", ""],
)  # fmt: skip
def test_names_that_somebody_else_can_point_here(here, name):
    """Fails when a page of another site can use the service by letting its own name mean 127.0.0.1."""
    for path, body in (("/", None), ("/healthz", None), ("/v1/labels", None), ("/v1/ecgs", NORM)):
        status, said = here.refusal(path, body, host=name.format(port=here.port))
        assert status == 403 and "the Host header is" in said and "--allow-anyone-without-a-key" in said


def test_a_request_without_a_name(here):
    assert b"403 Forbidden" in here.raw(b"GET /v1/labels HTTP/1.0\r\n\r\n")


def test_which_services_are_for_this_machine_alone():
    """Fails when a service that other machines may use looks at names, or one that they may not does not."""
    keyed = Settings(key_sha256=[digest(KEY)])
    assert serve.only_here("127.0.0.1", Settings(), False) and serve.only_here("::1", Settings(), False)
    for case in (("0.0.0.0", Settings(), True), ("127.0.0.1", keyed, False), ("localhost", Settings(), True)):
        assert not serve.only_here(*case)


@pytest.mark.parametrize(
    ("options", "refuses"),
    [([], True), (["--host", "localhost"], True), (["--allow-anyone-without-a-key"], False), (["--settings"], False)],
)  # fmt: skip
def test_the_command_knows_whether_it_is_for_this_machine_alone(options, refuses, tmp_path, monkeypatch):
    """Fails when `sssd-ecg serve` without a key takes any name, or with a key only those of this machine."""
    checkpoint, started = tiny().save_checkpoint(tmp_path / "tiny.safetensors"), []
    monkeypatch.setattr(serve, "serve", lambda app, settings, bound: started.append(app) or bound.close())
    if options == ["--settings"]:
        (tmp_path / "settings.json").write_text(json.dumps({"key_sha256": [digest(KEY)]}))
        options = ["--settings", str(tmp_path / "settings.json")]
    assert main(["serve", "--port", "0", "--device", "cpu", "--checkpoint", str(checkpoint), *options]) == 0
    (app,) = started
    assert (LocalNames in [middleware.cls for middleware in app.user_middleware]) == refuses
    app.state.backend.batcher.close()
