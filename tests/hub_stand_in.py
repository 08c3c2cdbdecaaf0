"""A small HTTP server that speaks the Hub's protocol, as far as huggingface_hub asks for models with it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LFS = (".safetensors", ".bin", ".h5", ".ckpt")


@dataclass
class Repository:
    """`commits` maps a commit to its files, `branches` a branch to its commit; `pulls` lists (number, author, title).

    `status` makes every request fail with it; `gated` only those for files; `lies` maps a path to what is sent of it.
    """

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str] = field(default_factory=dict)
    pulls: list[tuple[int, str, str]] = field(default_factory=list)
    status: int = 200
    gated: bool = False
    lies: dict[str, bytes] = field(default_factory=dict)


class Hub:
    """The repositories by their names, and the paths of the files that were sent."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.sent: list[str] = []
        self.url = ""


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` on a free port of this machine; its `url` is the endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        steps = [unquote(step) for step in urlsplit(self.path).path.strip("/").split("/")]
        api = steps[:2] == ["api", "models"]
        name, rest = "/".join(steps[2:4] if api else steps[:2]), steps[4:] if api else steps[2:]
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound"}, body)
        if repository.status != 200:
            return self._send(repository.status, b"", {}, body)
        if rest[:1] == ["discussions"]:
            return self._send(200, json.dumps(self._discussions(name, repository)).encode(), {}, body)
        if repository.gated and not api:
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"}, body)
        revision = rest[1] if rest else "main"
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
        files = repository.commits[commit]
        if api:
            info = self._info(name, commit, files) | {"gated": "auto" if repository.gated else False}
            return self._send(200, json.dumps(info).encode(), {}, body)
        path = "/".join(rest[2:])
        if path not in files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, body)
        if body:
            self.hub.sent.append(f"{name}/{path}")
        digest = hashlib.sha256(files[path]).hexdigest()
        return self._send(200, repository.lies.get(path, files[path]), {"X-Repo-Commit": commit, "ETag": f'"{digest}"'},
                          body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start and status == 200:
            headers |= {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            status, content = 206, content[start:]
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    @staticmethod
    def _info(name: str, commit: str, files: dict[str, bytes]) -> dict:
        def sibling(path: str, content: bytes) -> dict:
            entry: dict = {"rfilename": path, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
            if path.endswith(LFS):
                entry["lfs"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
            return entry

        return {"id": name, "modelId": name, "sha": commit, "private": False, "tags": [], "downloads": 0, "likes": 0,
                "siblings": [sibling(path, content) for path, content in files.items()]}

    @staticmethod
    def _discussions(name: str, repository: Repository) -> dict:
        found = [{"num": number, "author": {"name": author}, "title": title, "status": "open", "isPullRequest": True,
                  "createdAt": "2023-01-01T00:00:00.000Z", "repo": {"name": name, "type": "model"}}
                 for number, author, title in repository.pulls]
        return {"discussions": found, "count": len(found), "start": 0}
