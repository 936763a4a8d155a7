"""A small stand-in for the Hugging Face Hub over HTTP: it keeps files by revision, as the client of the Hub asks."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class StandIn:
    """Its address; the files of each model and branch; the requests that it got."""

    address: str = ""
    models: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    token: str | None = None  # the only one that may write, if there is one

    def put(self, model: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Keep files, and return the commit, which names them as a revision, too."""
        kept = {**self.models.setdefault(model, {}).get(revision, {}), **files}
        content = "".join(f"{name} {hashlib.sha1(kept[name]).hexdigest()}\n" for name in sorted(kept))
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.models[model][revision] = self.models[model][commit] = kept
        return commit

    def commit(self, model: str, revision: str) -> str | None:
        branches = self.models.get(model, {})
        same = (name for name in branches if len(name) == 40 and branches[name] is branches.get(revision))
        return next(same, None)


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        sent = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, content: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(content).encode(), Content_Type="application/json")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        about = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/?]+)(\?.*)?", self.path)
        if about and about[1] in self.hub.models:
            return self._json({"id": about[1], "sha": self.hub.commit(about[1], about[2]), "siblings": []})
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        if not match or match[1] not in self.hub.models:
            return self._answer(401, X_Error_Code="RepoNotFound")
        commit = self.hub.commit(match[1], match[2])
        if commit is None:
            return self._answer(404, X_Error_Code="RevisionNotFound")
        content = self.hub.models[match[1]][commit].get(match[3])
        if content is None:
            return self._answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        return self._answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=commit)

    def do_POST(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._answer(403)
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            model = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            if model not in self.hub.models:
                self.hub.put(model, {})
            return self._json({"url": f"{self.hub.address}/{model}", "name": model})
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        match = re.fullmatch(
            r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch)/([^/?]+)(\?.*)?", self.path
        )
        if not match:
            return self._answer(404)
        model, what, revision = match[1], match[2], match[3]
        if what == "branch":
            self.hub.models[model][revision] = self.hub.models[model]["main"]
            return self._answer(200)
        if what == "preupload":
            files = json.loads(body)["files"]
            plain = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]
            return self._json({"files": plain})
        lines = [json.loads(line) for line in body.splitlines() if line]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        commit = self.hub.put(model, files, revision)
        return self._json(
            {"success": True, "commitOid": commit, "commitUrl": f"{self.hub.address}/{model}/commit/{commit}"}
        )


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Run a stand-in on a free port of this machine."""
    hub = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
